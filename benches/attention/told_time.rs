//! Drives the pure core through a timeline in told time, with a mail server that is dead for two days.
//!
//! Guarantees that the core learns only what a broker would: sessions, events, timeouts and the results of
//! deliveries, each at its time. Judges nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use grid_broker::grid::decide::{Decision, Reply};
use grid_broker::grid::driver::Driver;
use grid_broker::grid::log::alert_effect::AlertEffect;
use grid_broker::grid::log::command::AdminCommand;
use grid_broker::grid::log::effect::{Effect, MailEffect};
use grid_broker::grid::log::input::{Input, ReceivedEvent, SessionHello};
use grid_broker::grid::log::record::Record;
use grid_broker::grid::log::silence_input::SilenceInput;
use grid_broker::grid::model::mail_message::{Delivery, DeliveryState, MailMessage, MessageNumber};
use grid_broker::grid::model::matcher::Matchers;
use grid_broker::grid::model::settings::{
    ClassSettings, GridSettings, MAIL_TRIGGERS, MailPolicy, Overrides,
};
use grid_broker::grid::model::silence::Silence;
use grid_broker::grid::occurrence::Occurrence;
use grid_broker::grid::state::State;
use grid_broker::grid::values::event::{BoundedText, Event, EventBody, Progress, Severity};
use grid_broker::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId, SilenceId};
use grid_broker::grid::values::outcome::Outcome;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::grid::{Grid, MAILS_IN_FLIGHT_MAX};
use uuid::Uuid;

use crate::arrival::arrived;
use crate::mails::ArrivedMail;
use crate::timeline::{
    Act, DEAD_FROM, DEAD_UNTIL, LENGTH, Millis, PlannedWork, Said, Step, Timeline,
};

/// When timelines begin: Monday, 2 November 2026, 00:00 UTC, in seconds since 1970.
const BEGIN_SECONDS: u64 = 1_793_577_600;

/// How long the mail server takes to accept a mail, or to refuse a connection.
const DELIVERY_TAKES: Millis = 200;

/// The time of a timeline as the core has it.
pub(crate) fn timestamp(at: Millis) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(BEGIN_SECONDS) + Duration::from_millis(at))
}

pub(crate) fn millis(at: Timestamp) -> Millis {
    let since = at.since(timestamp(0));
    since.as_millis().try_into().unwrap_or(Millis::MAX)
}

/// What came of a timeline.
pub(crate) struct CoreRun {
    pub(crate) mails: Vec<ArrivedMail>,
    /// How many alerts of each appliance the rate limits suppressed.
    pub(crate) suppressed: BTreeMap<String, u64>,
    pub(crate) records: u64,
    /// Decisions on notifications, for a trace: when, on which appliance, on what, and why.
    pub(crate) decisions: Vec<(Millis, String, String, &'static str)>,
}

/// Which alerts are mailed: `mail.on` as shipped.
pub(crate) fn shipped_triggers() -> Vec<&'static str> {
    let shipped = include_str!("../../config/gridd.toml").parse::<toml::Table>();
    let table = shipped.expect("the shipped settings are TOML");
    let on = table.get("mail").and_then(|mail| mail.get("on")).and_then(toml::Value::as_str);
    let on = on.expect("mail.on is shipped");
    MAIL_TRIGGERS.into_iter().filter(|word| on.split(", ").any(|it| it == *word)).collect()
}

fn settings(timeline: &Timeline, triggers: &[&'static str]) -> GridSettings {
    let classes = timeline.machines.iter().map(|it| it.class.to_owned());
    let classes: BTreeMap<_, _> = classes.map(|class| (class, ClassSettings::default())).collect();
    GridSettings::new(classes).with_mail(Some(MailPolicy {
        recipients: vec!["ops@example.org".into()],
        triggers: triggers.iter().copied().collect(),
        ..MailPolicy::default()
    }))
}

struct ToldTime<'t> {
    timeline: &'t Timeline,
    driver: Driver<()>,
    now: Timestamp,
    /// The open session of each appliance.
    sessions: Vec<Option<SessionId>>,
    boots: Vec<u128>,
    next_session: u64,
    /// Deliveries that end then.
    deliveries: Vec<(Timestamp, MessageNumber)>,
    run: CoreRun,
}

/// Runs the core through a timeline.
pub(crate) fn run(timeline: &Timeline, triggers: &[&'static str]) -> CoreRun {
    let grid = Grid::new(State::default(), settings(timeline, triggers), timestamp(0));
    let count = timeline.machines.len();
    let mut told = ToldTime {
        timeline,
        driver: Driver::new(grid),
        now: timestamp(0),
        sessions: vec![None; count],
        boots: vec![0; count],
        next_session: 0,
        deliveries: Vec::new(),
        run: CoreRun {
            mails: Vec::new(),
            suppressed: BTreeMap::new(),
            records: 0,
            decisions: Vec::new(),
        },
    };
    told.add_machines();
    let mut planned: Vec<_> = timeline.planned.iter().collect();
    planned.sort_by_key(|it| it.from);
    let mut planned = planned.into_iter().peekable();
    for step in &timeline.steps {
        while let Some(work) = planned.next_if(|work| work.from <= step.at) {
            told.advance_to(timestamp(work.from));
            told.silence(work);
        }
        told.advance_to(timestamp(step.at));
        told.act(step);
    }
    told.advance_to(timestamp(LENGTH));
    told.run
}

impl ToldTime<'_> {
    fn handle(&mut self, occurrence: impl Into<Occurrence>) -> Decision {
        let decision = self.driver.handle(occurrence, self.now);
        self.keep(&decision);
        decision
    }

    fn keep(&mut self, decision: &Decision) {
        let records: Vec<Record> = decision.records().cloned().collect();
        records.iter().for_each(|record| self.keep_record(record));
    }

    /// Notes the mails that a record hands over, and what was decided on notifications.
    fn keep_record(&mut self, record: &Record) {
        self.run.records += 1;
        for effect in &record.effects {
            if let Effect::Mail(MailEffect::Header { message }) = effect
                && message.state == DeliveryState::InFlight
            {
                let done = self.now.after(Duration::from_millis(DELIVERY_TAKES));
                self.deliveries.push((done, message.number));
            } else if let Effect::Alert(AlertEffect::Decided(trace)) = effect {
                let state = self.driver.grid().state();
                let Some(alert) = state.alerts().get(trace.alert) else { continue };
                let name = alert.appliance.and_then(|it| state.name(it));
                let name = name.map_or_else(String::new, |it| it.as_str().to_owned());
                let key = alert.key.to_string();
                self.run.decisions.push((millis(self.now), name, key, trace.reason.as_str()));
            }
        }
    }

    /// Advances the time to `until`: timers, tallies and deliveries, in their order.
    fn advance_to(&mut self, until: Timestamp) {
        loop {
            let wake = self.driver.grid().poll_timeout();
            let flush = self.driver.flush_due();
            let delivery = self.deliveries.iter().map(|(at, _)| *at).min();
            let next = wake.into_iter().chain(flush).chain(delivery).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.end_deliveries();
            self.fire_timers();
            self.flush();
        }
        self.now = self.now.max(until);
    }

    fn flush(&mut self) {
        let mut tallies = Vec::new();
        self.driver.flush_if_due(self.now, |tally| {
            tallies.push(tally);
            true
        });
        tallies.iter().for_each(|tally| self.keep_record(tally));
        let _ = self.driver.released();
    }

    fn fire_timers(&mut self) {
        for appliance in self.driver.due(self.now) {
            let decisions = self.driver.handle_timeout(appliance, self.now);
            decisions.iter().for_each(|decision| self.keep(decision));
        }
        for _ in 0..MAILS_IN_FLIGHT_MAX {
            let Some(decision) = self.driver.handle_mail_timeout(self.now) else { break };
            self.keep(&decision);
        }
    }

    fn end_deliveries(&mut self) {
        let now = self.now;
        let ended: Vec<_> = self.deliveries.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, number) in ended {
            let message = self.driver.grid().state().outbox().message(number).cloned();
            let Some(message) = message.filter(|it| it.state == DeliveryState::InFlight) else {
                continue;
            };
            self.delivered(&message);
        }
    }

    fn delivered(&mut self, message: &MailMessage) {
        let is_dead = (DEAD_FROM..DEAD_UNTIL).contains(&millis(self.now));
        let delivery = if is_dead {
            // As the mail sender reports a refused connection.
            Delivery::Unreachable(
                "cannot connect to mail.example.org:587: connection refused".into(),
            )
        } else {
            self.run.mails.push(arrived(message, millis(self.now)));
            Delivery::Sent("250 2.0.0 Ok: queued".into())
        };
        let (message, attempt) = (message.number, message.attempts);
        self.handle(Input::MailDelivery { message, attempt, delivery });
    }

    fn add_machines(&mut self) {
        for (number, machine) in (1..).zip(&self.timeline.machines) {
            let name = ApplianceName::new(&machine.name).expect("names of timelines are valid");
            let command = AdminCommand::Add {
                name,
                uuid: Uuid::from_u128(number),
                class: Some(machine.class.into()),
                overrides: Overrides::default(),
            };
            let reply = self.handle(Input::Command { by: "ops".into(), command }).reply;
            assert!(matches!(reply, Reply::Command(Ok(_))), "{reply:?}");
        }
    }

    fn appliance(&self, machine: usize) -> ApplianceIndex {
        ApplianceIndex(u32::try_from(machine + 1).expect("few machines"))
    }

    fn boot_id(&self, machine: usize) -> BootId {
        BootId(Uuid::from_u128(self.boots[machine] << 32 | (machine as u128 + 1)))
    }

    fn act(&mut self, step: &Step) {
        let machine = step.machine;
        match &step.act {
            Act::Boot => self.boot(machine),
            Act::Disconnect => self.disconnect(machine),
            Act::StartedOk => self.event(machine, EventBody::StartedOk, ""),
            Act::StartFailed(text) => self.event(machine, EventBody::StartFailed, text),
            Act::Maintenance { progress, text } => {
                let progress = Progress::new(*progress);
                let body = EventBody::Maintenance { progress, next_report_within: None };
                self.event(machine, body, text);
            }
            Act::Alert(said) => self.alert(machine, said),
            Act::Over(said) => self.resolve(machine, said),
        }
    }

    fn boot(&mut self, machine: usize) {
        self.disconnect(machine);
        self.next_session += 1;
        self.boots[machine] += 1;
        let session = SessionId(self.next_session);
        self.sessions[machine] = Some(session);
        let (appliance, boot) = (self.appliance(machine), self.boot_id(machine));
        self.handle(Occurrence::SessionOpened(SessionHello {
            appliance,
            boot,
            uptime: Some(Duration::ZERO),
            spool: None,
            acked_through: 0,
            is_transient: false,
            session,
        }));
    }

    fn disconnect(&mut self, machine: usize) {
        let Some(session) = self.sessions[machine].take() else { return };
        let (appliance, boot) = (self.appliance(machine), self.boot_id(machine));
        self.handle(Occurrence::SessionClosed { appliance, boot, session });
    }

    fn new_event(body: EventBody, text: &str) -> Event {
        Event {
            severity: body.default_severity(),
            body,
            text: BoundedText::new(text),
            event_time: None,
            uptime: None,
            spooled_at: None,
            is_repeated: false,
            dropped_before: Vec::new(),
            group_key: None,
            is_resolved: false,
            crash_dump: None,
        }
    }

    fn event(&mut self, machine: usize, body: EventBody, text: &str) {
        self.receive(machine, Self::new_event(body, text));
    }

    fn receive(&mut self, machine: usize, event: Event) -> Outcome {
        let received = ReceivedEvent {
            appliance: self.appliance(machine),
            boot: Some(self.boot_id(machine)),
            spool: None,
            sequence: None,
            session: self.sessions[machine],
            event,
        };
        let reply = self.handle(Input::Event(Box::new(received))).reply;
        let Reply::Event(outcome, _) = reply else {
            panic!("an event is answered as one: {reply:?}")
        };
        outcome
    }

    fn alert_event(said: &Said) -> Event {
        let severity: Severity = said.severity;
        let group_key = said.key.as_deref().map(Into::into);
        let event = Self::new_event(EventBody::Alert { counter: None }, &said.text);
        Event { severity, group_key, ..event }
    }

    fn alert(&mut self, machine: usize, said: &Said) {
        if self.receive(machine, Self::alert_event(said)) == Outcome::Suppressed {
            let name = self.timeline.machines[machine].name.clone();
            *self.run.suppressed.entry(name).or_default() += 1;
        }
    }

    /// The appliance says that the problem of an alert is over: the one place that knows how.
    fn resolve(&mut self, machine: usize, said: &Said) {
        let event = Event { is_resolved: true, ..Self::alert_event(said) };
        self.receive(machine, event);
    }

    /// An administrator adds a silence: the one place that knows how.
    fn silence(&mut self, work: &PlannedWork) {
        let matchers = Matchers::parse(&format!("appliance={}*", work.prefix)).expect("valid");
        let silence = Silence {
            id: SilenceId(0),
            matchers,
            starts_at: timestamp(work.from),
            ends_at: timestamp(work.until),
            ends_with_alert: false,
            reason: "planned work".into(),
            owner: "".into(),
            created_at: self.now,
            muted: 0,
            reminded_at: None,
        };
        let add = SilenceInput::Add { by: "ops".into(), silence: Box::new(silence) };
        let reply = self.handle(Input::Silence(add)).reply;
        assert!(matches!(reply, Reply::Silence(Ok(_))), "{reply:?}");
    }
}
