//! Implements `AlertService`: administrators list and show alerts, acknowledge and resolve them.

mod matcher;

use std::collections::BTreeSet;

use prost::Message as _;
use tonic::{Request, Response, Status};

use self::matcher::AlertMatcher;
use super::appliances::ROWS_PER_QUERY;
use super::grid_log::check_page_size;
use super::{Services, page, principal, status};
use crate::contract::proto::{
    AcknowledgeAlertRequest, AcknowledgeAlertResponse, ExplainAlertRequest, ExplainAlertResponse,
    GetAlertRequest, GetAlertResponse, ListAlertsRequest, ListAlertsResponse, OpenAlert,
    ResolveAlertRequest, ResolveAlertResponse, UnacknowledgeAlertRequest,
    UnacknowledgeAlertResponse,
};
use crate::contract::servers::alert_service_server::AlertService;
use crate::contract::{decode_timestamp, encode, proto};
use crate::grid::Grid;
use crate::grid::decide::CommandRejection;
use crate::grid::decide::alerts::command::AlertRejection;
use crate::grid::log::alert_input::AlertCommand;
use crate::grid::model::alert::{ALERT_NOTE_BYTES_MAX, Alert, AlertSource};
use crate::grid::model::finding::FindingKind;
use crate::grid::values::id::{AlertId, ApplianceName};

#[tonic::async_trait]
impl AlertService for Services {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        principal::administrator(&request)?;
        let request = request.into_inner();
        let wanted = AlertMatcher::new(request.filter)?;
        let size = check_page_size(request.page_size)?;
        let from = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| {
                status::invalid_field("page_token", "is not the token of an earlier page")
            })?,
        };
        let listed = self.broker.query(move |grid, _| list(grid, &wanted, AlertId(from), size));
        Ok(Response::new(listed.await.map_err(status::unavailable)?))
    }

    async fn get_alert(
        &self,
        request: Request<GetAlertRequest>,
    ) -> Result<Response<GetAlertResponse>, Status> {
        principal::administrator(&request)?;
        let GetAlertRequest { appliance, kind, id } = request.into_inner();
        if id > 0 {
            let alert = Some(self.alert_of(AlertId(id)).await?);
            return Ok(Response::new(GetAlertResponse { alert }));
        }
        let name = match appliance.as_str() {
            "" => None,
            name => Some(
                ApplianceName::from_stored(name)
                    .map_err(|error| status::invalid_field("appliance", error.to_string()))?,
            ),
        };
        let kind = proto::AlertKind::try_from(kind).ok().and_then(encode::alert::alert_kind_name);
        let kind = kind.ok_or_else(|| status::invalid_field("kind", "is not an alert kind"))?;
        let found = self.broker.query(move |grid, _| find(grid, name.as_ref(), kind));
        let alert = found.await.map_err(status::unavailable)??;
        Ok(Response::new(GetAlertResponse { alert: Some(alert) }))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<AcknowledgeAlertRequest>,
    ) -> Result<Response<AcknowledgeAlertResponse>, Status> {
        let by = principal::administrator(&request)?;
        let AcknowledgeAlertRequest { id, until, note } = request.into_inner();
        let until = until.as_ref().map(|until| {
            let outside = || status::invalid_field("until", "is outside the years 1 to 9999");
            decode_timestamp(until).ok_or_else(outside)
        });
        let (until, note) = (until.transpose()?, check_note(note)?);
        let command = AlertCommand::Acknowledge { until, note, is_first: false };
        let (record_number, alert) = self.command_alert(&by, id, command).await?;
        Ok(Response::new(AcknowledgeAlertResponse { record_number, alert }))
    }

    async fn unacknowledge_alert(
        &self,
        request: Request<UnacknowledgeAlertRequest>,
    ) -> Result<Response<UnacknowledgeAlertResponse>, Status> {
        let by = principal::administrator(&request)?;
        let id = request.into_inner().id;
        let (record_number, alert) =
            self.command_alert(&by, id, AlertCommand::Unacknowledge).await?;
        Ok(Response::new(UnacknowledgeAlertResponse { record_number, alert }))
    }

    async fn resolve_alert(
        &self,
        request: Request<ResolveAlertRequest>,
    ) -> Result<Response<ResolveAlertResponse>, Status> {
        let by = principal::administrator(&request)?;
        let ResolveAlertRequest { id, note } = request.into_inner();
        let command = AlertCommand::Resolve { note: check_note(note)? };
        let (record_number, alert) = self.command_alert(&by, id, command).await?;
        Ok(Response::new(ResolveAlertResponse { record_number, alert }))
    }

    async fn explain_alert(
        &self,
        request: Request<ExplainAlertRequest>,
    ) -> Result<Response<ExplainAlertResponse>, Status> {
        principal::administrator(&request)?;
        let id = AlertId(request.into_inner().id);
        let alert = self.alert_of(id).await?;
        let records: BTreeSet<u64> = alert.steps.iter().map(|step| step.record_number).collect();
        let (mut decisions, mut trimmed) = (Vec::new(), Vec::new());
        for number in records {
            match self.record_at(number).await? {
                Some(record) => decisions.extend(self.explain(&record, Some(id)).await?),
                None => trimmed.push(number),
            }
        }
        Ok(Response::new(ExplainAlertResponse { alert: Some(alert), decisions, trimmed }))
    }
}

impl Services {
    /// An alert with its history.
    async fn alert_of(&self, id: AlertId) -> Result<OpenAlert, Status> {
        let found = self.broker.query(move |grid, _| {
            grid.state().alerts().get(id).map(|alert| encoded(grid, alert, true))
        });
        let found = found.await.map_err(status::unavailable)?;
        found.ok_or_else(|| alert_rejection(&AlertRejection::NotFound { id }))
    }

    /// Executes a command; returns its record, and the alert afterwards.
    async fn command_alert(
        &self,
        by: &str,
        id: u64,
        command: AlertCommand,
    ) -> Result<(u64, Option<OpenAlert>), Status> {
        let id = AlertId(id);
        let answer = self.broker.alert_command(by, id, command).await;
        let record = answer
            .map_err(status::unavailable)?
            .map_err(|rejection| alert_rejection(&rejection))?;
        let queried = self.broker.query(move |grid, _| {
            grid.state().alerts().get(id).map(|alert| encoded(grid, alert, false))
        });
        Ok((record, queried.await.map_err(status::unavailable)?))
    }
}

fn alert_rejection(rejection: &AlertRejection) -> Status {
    let text = rejection.to_string();
    match rejection {
        AlertRejection::NotFound { .. } => status::not_found("NOT_FOUND", text),
        AlertRejection::Ended { .. } => status::precondition("ENDED", text),
        AlertRejection::Acknowledged { .. } => status::precondition("ACKNOWLEDGED", text),
        AlertRejection::NotAcknowledged { .. } => status::precondition("NOT_ACKNOWLEDGED", text),
        AlertRejection::UntilPassed { .. } => status::precondition("UNTIL_PASSED", text),
    }
}

fn check_note(note: String) -> Result<Box<str>, Status> {
    if note.len() > ALERT_NOTE_BYTES_MAX {
        let text = format!("has {} bytes; at most {ALERT_NOTE_BYTES_MAX} are allowed", note.len());
        return Err(status::invalid_field("note", text));
    }
    Ok(note.into())
}

/// The names of its appliance and of that one's class; empty for the broker.
fn names_of<'a>(grid: &'a Grid, alert: &Alert) -> (&'a str, &'a str) {
    let Some(number) = alert.appliance else { return ("", "") };
    let name = grid.state().name(number).map_or("", ApplianceName::as_str);
    (name, grid.state().appliance(number).map_or("", |appliance| &*appliance.class))
}

fn encoded(grid: &Grid, alert: &Alert, has_steps: bool) -> OpenAlert {
    let (name, class) = names_of(grid, alert);
    match has_steps {
        true => encode::alert::alert_with_steps(name, class, alert),
        false => encode::alert::alert(name, class, alert),
    }
}

/// One page.
fn list(grid: &Grid, wanted: &AlertMatcher, from: AlertId, size: usize) -> ListAlertsResponse {
    let (mut alerts, mut bytes) = (Vec::new(), 0);
    for (alert, examined) in grid.state().alerts().from(from).zip(0..) {
        let is_full = alerts.len() == size || bytes >= page::ENCODED_BYTES_MAX;
        if is_full || examined == ROWS_PER_QUERY {
            return ListAlertsResponse { alerts, next_page_token: alert.id.0.to_string() };
        }
        let (name, class) = names_of(grid, alert);
        if wanted.matches(name, class, alert) {
            let shown = encode::alert::alert(name, class, alert);
            bytes += shown.encoded_len();
            alerts.push(shown);
        }
    }
    ListAlertsResponse { alerts, next_page_token: String::new() }
}

/// The newest open alert of that kind. A start that timed out or hung is one that failed, too.
fn find(grid: &Grid, name: Option<&ApplianceName>, kind: &str) -> Result<OpenAlert, Status> {
    let row = match name {
        None => None,
        Some(name) => Some(grid.state().find(name).ok_or_else(|| {
            let name = name.clone();
            status::command_rejected(&CommandRejection::NotFound { name })
        })?),
    };
    let is_wanted = |alert: &&Alert| {
        let failed = AlertSource::Finding(FindingKind::StartFailed);
        alert.kind == kind || kind == "start_failed" && alert.source == failed
    };
    let open = || grid.state().alerts().of(row).filter(|alert| alert.is_open());
    if let Some(alert) = open().filter(is_wanted).max_by_key(|alert| alert.id) {
        return Ok(encoded(grid, alert, true));
    }
    let about = name.map_or("the broker itself", ApplianceName::as_str);
    let open: BTreeSet<&str> = open().map(|alert| alert.kind).collect();
    let open = if open.is_empty() { vec!["none"] } else { open.into_iter().collect() };
    let text = format!("{kind} of {about} is not open; open alerts: {}", open.join(", "));
    Err(status::not_found("NOT_OPEN", text))
}

#[cfg(test)]
mod tests;
