//! Implements `BrokerService`: administrators query the status and reports of the broker itself.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};

use super::{Services, principal, status};
use crate::contract::proto::{
    GetReportRequest, GetReportResponse, GetStatusRequest, GetStatusResponse, ReportFormat,
    StateCount,
};
use crate::contract::servers::broker_service_server::BrokerService;
use crate::contract::{encode, encode_timestamp, encode_uuid};
use crate::grid::Grid;
use crate::grid::state::outbox::OutboxStats;
use crate::guru_meditation::{ReportEncoding, ReportError};
use crate::identity::authenticator::{AuthenticationMode, Authenticator};
use crate::journal::DiskUsage;
use crate::process_stats::ProcessStats;
use crate::tasks;

/// Most open alerts in a status.
const ALERTS_MAX: usize = 100;

#[tonic::async_trait]
impl BrokerService for Services {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        principal::administrator(&request)?;
        let reader = self.reader.clone();
        let journal = tasks::spawn_blocking("journal status", move || reader.status())
            .await
            .map_err(|_| Status::internal("reading the journal's status was interrupted"))?
            .map_err(|error| status::journal_unreadable(&error))?;
        let room = DiskUsage {
            journal_bytes: journal.commit_log_bytes
                + journal.archive_bytes
                + journal.checkpoint_bytes,
            free_bytes: journal.free_bytes,
            low_water: journal.low_water,
            retention_bytes: journal.retention_bytes,
        };
        let overview = self.broker.query(|grid, _| summarize(grid));
        let overview = overview.await.map_err(status::unavailable)?;
        let BrokerSummary {
            sessions,
            appliances,
            open_alerts,
            acknowledged_alerts,
            silenced_alerts,
            mail_recipients,
            outbox,
        } = overview;
        let process = ProcessStats::read();
        Ok(Response::new(GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            broker_id: encode_uuid(self.identity.broker),
            journal_id: encode_uuid(self.identity.journal),
            term: self.term,
            started_at: Some(encode_timestamp(self.started_at)),
            server_time: Some(encode_timestamp(self.broker.now())),
            first_record: self.reader.first(),
            last_record: self.reader.durable(),
            archived_through: self.reader.archived_through(),
            journal_bytes: room.journal_bytes,
            disk_free_bytes: room.free_bytes,
            sessions,
            appliances,
            open_alerts,
            trust: self.describe_trust().to_owned(),
            mail_recipients,
            mails_queued: outbox.queued,
            mails_queued_since: outbox.oldest_queued_at.map(encode_timestamp),
            mails_failed: outbox.failed,
            growth_bytes_per_day: journal.growth.map(|rate| rate.bytes_per_day),
            growth_measured_s: journal.growth.map_or(0, |rate| rate.measured.as_secs()),
            retention_bytes: room.retention_bytes,
            low_water_bytes: room.low_water,
            disk_lasts_s: journal
                .growth
                .and_then(|rate| rate.time_until_full(room))
                .map(|lasts| lasts.as_secs()),
            benchmark: self.is_benchmark,
            cpu_time_us: process.cpu_time_us(),
            resident_bytes: process.resident_bytes,
            written_bytes: process.written_bytes,
            archive_bytes: journal.archive_bytes,
            acknowledged_alerts,
            silenced_alerts,
        }))
    }

    async fn get_report(
        &self,
        request: Request<GetReportRequest>,
    ) -> Result<Response<GetReportResponse>, Status> {
        let by = principal::administrator(&request)?;
        self.record_access(by, "a Guru Meditation Report was read").await?;
        let format = match request.get_ref().format() {
            ReportFormat::Unspecified | ReportFormat::Text => ReportEncoding::Text,
            ReportFormat::Json => ReportEncoding::Json,
        };
        let reporter = self.reporter.clone();
        let reporter = reporter
            .ok_or_else(|| status::precondition("NO_REPORTS", "this gridd has no reporter"))?;
        let written = tasks::spawn_blocking("report", move || reporter.report(format)).await;
        let written =
            written.map_err(|_| Status::internal("writing the report was interrupted"))?;
        let report = written.map_err(|error| match error {
            ReportError::TooMany => Status::resource_exhausted(error.to_string()),
            ReportError::TimedOut => Status::deadline_exceeded(error.to_string()),
            ReportError::Failed => Status::internal(error.to_string()),
        })?;
        Ok(Response::new(GetReportResponse { report }))
    }
}

impl Services {
    /// Which clients the broker trusts.
    fn describe_trust(&self) -> &'static str {
        match self.authenticator.as_ref().map(Authenticator::mode) {
            None | Some(AuthenticationMode::Off) => "everyone on loopback",
            Some(AuthenticationMode::Required) => "certificates and tokens",
        }
    }
}

/// What a status contains of the grid.
struct BrokerSummary {
    sessions: u32,
    appliances: Vec<StateCount>,
    open_alerts: Vec<String>,
    acknowledged_alerts: u64,
    silenced_alerts: u64,
    mail_recipients: u32,
    outbox: OutboxStats,
}

fn summarize(grid: &Grid) -> BrokerSummary {
    let mut counts = BTreeMap::new();
    for appliance in grid.state().appliances() {
        *counts.entry(i32::from(encode::state(&appliance.lifecycle))).or_insert(0) += 1;
    }
    let counts = counts.into_iter().map(|(state, count)| StateCount { state, count }).collect();
    let (mut alerts, mut acknowledged_alerts, mut silenced_alerts) = (Vec::new(), 0, 0);
    for alert in grid.state().alerts().open() {
        match alert.state() {
            "acknowledged" => acknowledged_alerts += 1,
            "silenced" => silenced_alerts += 1,
            _ => alerts.push(alert),
        }
    }
    alerts.sort_by_key(|alert| std::cmp::Reverse((alert.opened_at, alert.id)));
    let alerts = alerts.into_iter().take(ALERTS_MAX).map(|alert| alert.text.to_string());
    let recipients = grid.settings().mail().map_or(0, |mail| mail.recipients.len());
    BrokerSummary {
        sessions: grid.sessions().open_count(),
        appliances: counts,
        open_alerts: alerts.collect(),
        acknowledged_alerts,
        silenced_alerts,
        mail_recipients: u32::try_from(recipients).unwrap_or(u32::MAX),
        outbox: grid.state().outbox().stats(),
    }
}
