//! Implements `EventService`: receives the events of appliances.

use std::num::NonZeroU64;
use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{Services, principal, revocation, session, status};
use crate::broker::IncomingEvent;
use crate::contract::decode;
use crate::contract::decode::InvalidEvent;
use crate::contract::event_server::event_service_server::EventService;
use crate::contract::proto::{Outcome, ReportResponse, Violation};
use crate::contract::raw::{RawReportRequest, RawSessionRequest};
use crate::contract::raw_response::RawSessionResponse;
use crate::contract::{encode, encode_timestamp};
use crate::grid::explain;
use crate::grid::values::id::{ApplianceName, SpoolId};
use crate::grpc::batch::UNSUPPORTED;
use crate::identity::peer::{Credential, Principal};

#[tonic::async_trait]
impl EventService for Services {
    async fn report(
        &self,
        request: Request<RawReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let name = principal::appliance(&request)?;
        self.ensure_not_stopping()?;
        self.ensure_known(principal::of(&request)?, &name).await?;
        let request = request.into_inner();
        let Some(bytes) = request.event else {
            return Err(status::invalid_field("event", "is missing"));
        };
        let checked = match decode::event(&bytes) {
            Ok(checked) => checked,
            Err(InvalidEvent::Unsupported) => {
                self.count_invalid(Outcome::Unsupported);
                return Ok(Response::new(unsupported()));
            }
            Err(InvalidEvent::Invalid(violations)) => {
                self.count_invalid(Outcome::Invalid);
                return Err(invalid(violations));
            }
        };
        if checked.boot_id.is_none() && checked.event.body.is_lifecycle() {
            self.count_invalid(Outcome::Invalid);
            let text = "is missing; a lifecycle event must name its boot";
            return Err(status::invalid_field("event.boot_id", text));
        }
        let spool = NonZeroU64::new(request.spool_id).map(SpoolId);
        if spool.is_none() && checked.sequence.is_some() {
            self.count_invalid(Outcome::Invalid);
            let text = "is missing; event.sequence is a number of a spool";
            return Err(status::invalid_field("spool_id", text));
        }
        let event = IncomingEvent {
            boot: checked.boot_id,
            sequence: checked.sequence,
            event: checked.event,
        };
        let answer = self
            .broker
            .submit_event(name, spool, event, bytes.len())
            .await
            .map_err(status::unavailable)?;
        let (reason, explanation) = explain::describe_outcome(answer.outcome);
        Ok(Response::new(ReportResponse {
            outcome: encode::outcome(answer.outcome).into(),
            record_number: answer.record.unwrap_or(0),
            reason: reason.to_owned(),
            explanation: explanation.to_owned(),
            suppressed_until: answer.suppressed_until.map(encode_timestamp),
            flags: answer.flags.labels().map(str::to_owned).collect(),
        }))
    }

    type SessionStream = Pin<Box<dyn Stream<Item = Result<RawSessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<RawSessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let name = principal::appliance(&request)?;
        self.ensure_not_stopping()?;
        let caller = principal::of(&request)?;
        self.ensure_known(caller, &name).await?;
        let revocation = revocation::of(self.authenticator.as_ref(), caller);
        let inbound = request.into_inner();
        Ok(Response::new(Box::pin(session::open(self.clone(), name, revocation, inbound))))
    }
}

impl Services {
    /// Refuses an appliance whose name nobody has added, although a CA of the operator vouches for it. All
    /// other credentials are of appliances that exist.
    async fn ensure_known(
        &self,
        principal: &Principal,
        name: &ApplianceName,
    ) -> Result<(), Status> {
        let is_of_operator =
            matches!(&principal.credential, Credential::Certificate(it) if !it.is_own);
        if !is_of_operator {
            return Ok(());
        }
        let wanted = name.clone();
        let found = self.broker.query(move |grid, _| grid.state().find(&wanted).is_some()).await;
        if found.map_err(status::unavailable)? {
            return Ok(());
        }
        let text = format!("{name} is not known here: `gridctl appliance add {name}` adds it");
        if let Some(authenticator) = &self.authenticator {
            let who = principal.caller.to_string();
            authenticator.refused(principal.address, who, "a report", text.clone(), None);
        }
        Err(status::denied("UNKNOWN_APPLIANCE", text))
    }
}

fn unsupported() -> ReportResponse {
    let (reason, explanation) = UNSUPPORTED;
    ReportResponse {
        outcome: Outcome::Unsupported.into(),
        reason: reason.to_owned(),
        explanation: explanation.to_owned(),
        ..ReportResponse::default()
    }
}

fn invalid(mut violations: Vec<Violation>) -> Status {
    for violation in &mut violations {
        if violation.field != "event" {
            violation.field.insert_str(0, "event.");
        }
    }
    status::invalid(violations)
}
