//! Implements `AlertService`: administrators list and show open alerts.

use std::collections::BTreeSet;

use globset::GlobSet;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::appliances::ROWS_PER_QUERY;
use super::grid_log::check_page_size;
use super::{Services, filter, page, principal, status};
use crate::contract;
use crate::contract::decode::violation;
use crate::contract::proto::{
    AlertFilter, GetAlertRequest, GetAlertResponse, ListAlertsRequest, ListAlertsResponse,
    OpenAlert,
};
use crate::contract::servers::alert_service_server::AlertService;
use crate::contract::{encode, proto};
use crate::grid::Grid;
use crate::grid::decide::CommandRejection;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::values::event::Severity;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};

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
        let from = decode_position(&request.page_token)?;
        let page = self.broker.query(move |grid, _| list(grid, &wanted, from, size));
        let (alerts, next) = page.await.map_err(status::unavailable)?;
        let next_page_token = next.map_or_else(String::new, encode_position);
        Ok(Response::new(ListAlertsResponse { alerts, next_page_token }))
    }

    async fn get_alert(
        &self,
        request: Request<GetAlertRequest>,
    ) -> Result<Response<GetAlertResponse>, Status> {
        principal::administrator(&request)?;
        let GetAlertRequest { appliance, kind } = request.into_inner();
        let name = match appliance.as_str() {
            "" => None,
            name => Some(
                ApplianceName::from_stored(name)
                    .map_err(|error| status::invalid_field("appliance", error.to_string()))?,
            ),
        };
        let kind = proto::AlertKind::try_from(kind).ok().and_then(contract::decode_alert_kind);
        let kind = kind.ok_or_else(|| status::invalid_field("kind", "is not an alert kind"))?;
        let found = self.broker.query(move |grid, _| find(grid, name.as_ref(), kind));
        let alert = found.await.map_err(status::unavailable)??;
        Ok(Response::new(GetAlertResponse { alert: Some(alert) }))
    }
}

/// Where a page starts: an appliance's index, none for the broker itself, and an alert kind.
type AlertPosition = (Option<ApplianceIndex>, FindingKind);

/// `INDEX.KIND`, both as numbers; index 0 is the broker.
fn encode_position((row, kind): AlertPosition) -> String {
    format!("{}.{}", row.map_or(0, |row| row.0), i32::from(encode::alert::alert_kind(kind)))
}

fn decode_position(token: &str) -> Result<AlertPosition, Status> {
    if token.is_empty() {
        return Ok((None, FindingKind::FIRST));
    }
    let read = || {
        let (row, kind) = token.split_once('.')?;
        let row = Some(row.parse().ok()?).filter(|row| *row > 0).map(ApplianceIndex);
        let kind = proto::AlertKind::try_from(kind.parse::<i32>().ok()?).ok()?;
        Some((row, contract::decode_alert_kind(kind)?))
    };
    read().ok_or_else(|| status::invalid_field("page_token", "is not the token of an earlier page"))
}

/// A validated filter.
struct AlertMatcher {
    names: Option<GlobSet>,
    severity_at_least: Severity,
    of_broker: bool,
}

impl AlertMatcher {
    fn new(filter: Option<AlertFilter>) -> Result<Self, Status> {
        let AlertFilter { appliances, severity_at_least, of_broker } = filter.unwrap_or_default();
        let mut violations = Vec::new();
        let names = filter::patterns("filter.appliances", &appliances, &mut violations);
        let severity = proto::Severity::try_from(severity_at_least);
        if severity.is_err() {
            violations.push(violation("filter.severity_at_least", "is not a severity"));
        }
        if !violations.is_empty() {
            return Err(status::invalid(violations));
        }
        let at_least = severity.ok().and_then(contract::decode_severity).unwrap_or(Severity::Debug);
        Ok(Self { names, severity_at_least: at_least, of_broker })
    }

    /// `name` is none for the broker itself.
    fn matches(&self, name: Option<&str>, alert: &Finding) -> bool {
        let is_about = match (name, &self.names) {
            (None, names) => names.is_none(),
            (Some(_), _) if self.of_broker => false,
            (Some(name), names) => names.as_ref().is_none_or(|names| names.is_match(name)),
        };
        is_about && alert.severity >= self.severity_at_least
    }
}

fn name_of(grid: &Grid, row: Option<ApplianceIndex>) -> Option<&str> {
    row.map(|row| grid.state().name(row).map_or("", ApplianceName::as_str))
}

/// One page, and where the next one starts.
fn list(
    grid: &Grid,
    wanted: &AlertMatcher,
    from: AlertPosition,
    size: usize,
) -> (Vec<OpenAlert>, Option<AlertPosition>) {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let (row, kind) = from;
    for ((row, kind, alert), examined) in grid.state().findings_from(row, kind).zip(0..) {
        let is_full = found.len() == size || bytes >= page::ENCODED_BYTES_MAX;
        if is_full || examined == ROWS_PER_QUERY {
            return (found, Some((row, kind)));
        }
        let name = name_of(grid, row);
        if wanted.matches(name, alert) {
            let shown = encode::alert::alert(name.unwrap_or_default(), kind, alert);
            bytes += shown.encoded_len();
            found.push(shown);
        }
    }
    (found, None)
}

fn find(grid: &Grid, name: Option<&ApplianceName>, kind: FindingKind) -> Result<OpenAlert, Status> {
    let row = match name {
        None => None,
        Some(name) => Some(grid.state().find(name).ok_or_else(|| {
            let name = name.clone();
            status::command_rejected(&CommandRejection::NotFound { name })
        })?),
    };
    if let Some(alert) = grid.state().finding(row, kind) {
        return Ok(encode::alert::alert(name.map_or("", ApplianceName::as_str), kind, alert));
    }
    let about = name.map_or("the broker itself", ApplianceName::as_str);
    let of_row = grid.state().findings_from(row, FindingKind::FIRST);
    let open: BTreeSet<&str> =
        of_row.take_while(|(of, _, _)| *of == row).map(|(_, kind, _)| kind.as_str()).collect();
    let open = if open.is_empty() { vec!["none"] } else { open.into_iter().collect() };
    let text =
        format!("{} of {about} is not open; open alerts: {}", kind.as_str(), open.join(", "));
    Err(status::not_found("NOT_OPEN", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_continues_where_the_last_one_ended() {
        for at in
            [(None, FindingKind::DiskLow), (Some(ApplianceIndex(7)), FindingKind::StartFailed)]
        {
            assert_eq!(decode_position(&encode_position(at)).unwrap(), at);
        }
        for odd in ["1", "x.1", "1.x", "1.0", "1.99", "-1.1", "1.1.1"] {
            let status = decode_position(odd).unwrap_err();
            assert_eq!(
                status.message(),
                "page_token: is not the token of an earlier page",
                "{odd}"
            );
        }
    }

    #[test]
    fn alerts_of_the_broker_match_no_appliance_name() {
        let alert = Finding {
            severity: Severity::Error,
            since: crate::grid::values::time::Timestamp::EPOCH,
            text: "x".into(),
        };
        let filter = |filter| AlertMatcher::new(Some(filter)).unwrap();
        let all = filter(AlertFilter::default());
        assert!(all.matches(None, &alert) && all.matches(Some("db1"), &alert));
        let named = AlertFilter { appliances: vec!["*".to_owned()], ..AlertFilter::default() };
        let named = filter(named);
        assert!(!named.matches(None, &alert) && named.matches(Some("db1"), &alert));
        let of_broker = filter(AlertFilter { of_broker: true, ..AlertFilter::default() });
        assert!(of_broker.matches(None, &alert) && !of_broker.matches(Some("db1"), &alert));
        let severity_at_least = proto::Severity::Fatal.into();
        let fatal = filter(AlertFilter { severity_at_least, ..AlertFilter::default() });
        assert!(!fatal.matches(None, &alert));
    }
}
