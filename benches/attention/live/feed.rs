//! Plays a timeline into a running gridd as its appliances: sessions, boots and events, each at its time.
//!
//! Guarantees that each step waits for its turn of the told clock, and that the clock waits for each answer.
//! Judges nothing.

use std::collections::BTreeMap;

use grid_broker::client::{APPLIANCE_METADATA, connect};
use grid_broker::contract::proto::appliance_service_client::ApplianceServiceClient;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::session_request::Message as Said;
use grid_broker::contract::proto::session_response::Message as Answer;
use grid_broker::contract::proto::{
    AddApplianceRequest, Alert, ApplianceSettings, Event, Hello, Maintenance, Outcome,
    SessionRequest, SessionResponse, Severity, StartFailed, StartedOk,
};
use grid_broker::grid::values::event::Severity as Grave;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::told_clock::ToldClock;
use super::{Failure, begin_ns};
use crate::timeline::{Act, LENGTH, Millis, Step, Timeline};

/// Messages that wait for a session.
const WAITING: usize = 8;

/// A session of an appliance.
struct Session {
    says: mpsc::Sender<SessionRequest>,
    hears: Streaming<SessionResponse>,
    sent: u64,
}

struct Feed<'t> {
    timeline: &'t Timeline,
    clock: ToldClock,
    events: EventServiceClient<Channel>,
    sessions: Vec<Option<Session>>,
    boots: Vec<u128>,
    outcomes: BTreeMap<String, u64>,
}

/// Plays the timeline into the broker at `address`; returns what became of it, as JSON.
pub(super) async fn feed(
    timeline: &Timeline,
    address: &str,
    clock: &ToldClock,
) -> Result<serde_json::Value, Failure> {
    let channel = connect(address).await?;
    add_machines(timeline, channel.clone()).await?;
    let mut feed = Feed {
        timeline,
        clock: clock.clone(),
        events: EventServiceClient::new(channel),
        sessions: timeline.machines.iter().map(|_| None).collect(),
        boots: vec![0; timeline.machines.len()],
        outcomes: BTreeMap::new(),
    };
    for step in &timeline.steps {
        feed.until(step.at).await;
        feed.clock.asked();
        let done = feed.act(step).await;
        feed.clock.answered();
        done.map_err(|error| format!("step at {} ms: {error}", step.at))?;
    }
    feed.until(LENGTH).await;
    let stood = clock.stood().as_secs();
    Ok(serde_json::json!({
        "steps": timeline.steps.len(), "outcomes": feed.outcomes, "stood_seconds": stood,
    }))
}

async fn add_machines(timeline: &Timeline, channel: Channel) -> Result<(), Failure> {
    let mut appliances = ApplianceServiceClient::new(channel);
    for machine in &timeline.machines {
        let class = Some(machine.class.to_owned());
        let settings = Some(ApplianceSettings { class, ..ApplianceSettings::default() });
        let request = AddApplianceRequest { name: machine.name.clone(), settings };
        appliances.add_appliance(request).await?;
    }
    Ok(())
}

impl Feed<'_> {
    /// Waits until told time is there.
    async fn until(&self, at: Millis) {
        let at = i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        while self.clock.now_ns() < begin_ns().saturating_add(at) {
            tokio::time::sleep(std::time::Duration::from_micros(300)).await;
        }
    }

    async fn act(&mut self, step: &Step) -> Result<(), Failure> {
        let machine = step.machine;
        let (kind, text) = match &step.act {
            Act::Boot => return self.boot(machine).await,
            Act::Disconnect => {
                self.sessions[machine] = None;
                return Ok(());
            }
            Act::StartedOk => (Kind::StartedOk(StartedOk {}), String::new()),
            Act::StartFailed(text) => (Kind::StartFailed(StartFailed {}), text.clone()),
            Act::Maintenance { progress, text } => {
                let progress = Some(*progress);
                (Kind::Maintenance(Maintenance { progress }), text.clone())
            }
            Act::Alert(said) | Act::Over(said) => {
                let event = Event {
                    kind: Some(Kind::Alert(Alert { counter: None })),
                    text: said.text.clone(),
                    severity: wire_severity(said.severity).into(),
                    alert_key: said.key.clone().unwrap_or_default(),
                    alert_resolved: matches!(step.act, Act::Over(_)),
                    ..Event::default()
                };
                return self.send(machine, event).await;
            }
        };
        self.send(machine, Event { kind: Some(kind), text, ..Event::default() }).await
    }

    async fn boot(&mut self, machine: usize) -> Result<(), Failure> {
        self.sessions[machine] = None;
        self.boots[machine] += 1;
        self.open(machine, 1).await
    }

    /// Opens a session of the current boot.
    async fn open(&mut self, machine: usize, uptime_ms: u64) -> Result<(), Failure> {
        let boot = uuid::Uuid::from_u128(self.boots[machine] << 32 | (machine as u128 + 1));
        let hello = Hello {
            protocol_revision: 1,
            tool_version: "attention".to_owned(),
            boot_id: boot.to_string(),
            uptime_ms,
            ..Hello::default()
        };
        let (says, said) = mpsc::channel(WAITING);
        says.send(SessionRequest { message: Some(Said::Hello(hello)) }).await?;
        let mut request = Request::new(ReceiverStream::new(said));
        let name = self.timeline.machines[machine].name.parse()?;
        request.metadata_mut().insert(APPLIANCE_METADATA, name);
        let hears = self.events.session(request).await?.into_inner();
        let mut session = Session { says, hears, sent: 0 };
        let Some(Answer::Welcome(_)) = session.next().await? else {
            return Err("a session without a welcome".into());
        };
        self.sessions[machine] = Some(session);
        Ok(())
    }

    async fn send(&mut self, machine: usize, event: Event) -> Result<(), Failure> {
        let outcome = match self.try_send(machine, &event).await {
            Ok(outcome) => outcome,
            // The connection broke: an agent opens its session again.
            Err(_) => {
                *self.outcomes.entry("session opened again".to_owned()).or_default() += 1;
                self.open(machine, 60_000).await?;
                self.try_send(machine, &event).await?
            }
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        Ok(())
    }

    /// Sends an event; returns its outcome.
    async fn try_send(&mut self, machine: usize, event: &Event) -> Result<String, Failure> {
        let session = self.sessions[machine].as_mut().ok_or("no session")?;
        session.sent += 1;
        let message = Some(Said::Event(event.clone()));
        session.says.send(SessionRequest { message }).await?;
        loop {
            let Some(Answer::Ack(ack)) = session.next().await? else { continue };
            if ack.through < session.sent {
                continue;
            }
            let other = ack.exceptions.first().and_then(|it| Outcome::try_from(it.outcome).ok());
            return Ok(other.map_or("STORED", |it| it.as_str_name()).to_owned());
        }
    }
}

impl Session {
    async fn next(&mut self) -> Result<Option<Answer>, Failure> {
        match self.hears.message().await? {
            Some(SessionResponse { message: Some(Answer::GoAway(away)) }) => {
                Err(away.explanation.into())
            }
            Some(response) => Ok(response.message),
            None => Err("the broker ended the session".into()),
        }
    }
}

fn wire_severity(severity: Grave) -> Severity {
    match severity {
        Grave::Debug => Severity::Debug,
        Grave::Info => Severity::Info,
        Grave::Warn => Severity::Warn,
        Grave::Error => Severity::Error,
        Grave::Fatal => Severity::Fatal,
    }
}
