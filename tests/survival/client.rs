//! An appliance that logs to its own file what it sent and what was answered, and sends again what
//! was not answered: the oracle's witness, outside the broker.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::client::connect;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_response::Message;
use grid_broker::contract::proto::{
    Ack, Alert, Counter, Event, Hello, Log, Maintenance, Outcome, StartFailed, StartedOk,
};
use uuid::Uuid;

use crate::support::{Random, Session, timeout};

/// Most events sent and not answered.
const OUTSTANDING_MAX: usize = 200;
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Where a client's words go, and how it is told to finish.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) address: String,
    pub(crate) finish: Arc<AtomicBool>,
    /// It gives up when the broker is gone, in place of trying again.
    pub(crate) gives_up: bool,
}

/// What one client knows.
pub(crate) struct Client {
    pub(crate) name: String,
    boot: Uuid,
    spool: u64,
    random: Random,
    log: File,
    path: PathBuf,
    next: u64,
    unacked: BTreeMap<u64, Event>,
}

/// What a client's file says.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Sequences that were sent at least once.
    pub(crate) sent: u64,
    /// What became of each that was answered.
    pub(crate) answers: BTreeMap<u64, Outcome>,
}

/// The stream is over: the broker is gone, or the client is done.
enum Over {
    Gone,
    Done,
}

impl Client {
    pub(crate) fn new(name: &str, seed: u64, folder: &Path) -> Self {
        let mut random = Random::new(seed);
        let path = folder.join(format!("{name}.log"));
        Self {
            name: name.to_owned(),
            boot: Uuid::from_u64_pair(random.next(), random.next()),
            spool: random.next() | 1,
            random,
            log: File::options().create(true).append(true).open(&path).expect("its file"),
            path,
            next: 1,
            unacked: BTreeMap::new(),
        }
    }

    /// Talks until told to finish and all is answered, or until it gives up.
    pub(crate) async fn run(&mut self, orders: &Orders) {
        loop {
            match self.talk(orders).await {
                Over::Done => return,
                Over::Gone if orders.gives_up => return,
                Over::Gone => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
    }

    async fn talk(&mut self, orders: &Orders) -> Over {
        let Some(mut session) = self.open(orders).await else { return Over::Gone };
        let mut on_stream: VecDeque<u64> = VecDeque::new();
        let mut answered = 0;
        for (sequence, event) in &self.unacked {
            on_stream.push_back(*sequence);
            if session.try_say(event).await.is_err() {
                return Over::Gone;
            }
        }
        loop {
            let finishes = orders.finish.load(Ordering::Acquire);
            if finishes && self.unacked.is_empty() {
                let _ = session.try_goodbye().await;
                return Over::Done;
            }
            if !finishes && self.unacked.len() < OUTSTANDING_MAX {
                for _ in 0..=self.random.below(20) {
                    let event = self.event();
                    on_stream.push_back(event.sequence);
                    if session.try_say(&event).await.is_err() {
                        return Over::Gone;
                    }
                }
            }
            let pause = Duration::from_millis(self.random.below(12));
            // A broker that is killed resets its connections; one that hangs is given up.
            let waits_for_acks = finishes || self.unacked.len() >= OUTSTANDING_MAX;
            let wait = if waits_for_acks { timeout() } else { pause };
            match tokio::time::timeout(wait, session.try_next()).await {
                Err(_) if waits_for_acks => return Over::Gone,
                Err(_) => {}
                Ok(Ok(Some(Message::Ack(ack)))) => self.take(&ack, &mut on_stream, &mut answered),
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None) | Err(_)) => return Over::Gone,
            }
        }
    }

    async fn open(&self, orders: &Orders) -> Option<Session> {
        let channel = connect(&orders.address).await.ok()?;
        let hello = Hello {
            protocol_revision: 1,
            boot_id: self.boot.to_string(),
            spool_id: self.spool,
            oldest_unacked: self.unacked.keys().next().copied().unwrap_or(0),
            next_sequence: self.next,
            ..Hello::default()
        };
        Session::try_open(channel, &self.name, hello).await.ok()
    }

    /// A new event; it is in the file before it is sent.
    fn event(&mut self) -> Event {
        let sequence = self.next;
        self.next += 1;
        let progress = u32::try_from(1 + self.random.below(100)).expect("it is small");
        let kind = match self.random.below(100) {
            0..=1 => Kind::StartedOk(StartedOk {}),
            2 => Kind::StartFailed(StartFailed {}),
            3..=9 => Kind::Maintenance(Maintenance { progress: Some(progress) }),
            10..=11 => Kind::Maintenance(Maintenance { progress: Some(1_000) }),
            12..=20 => {
                let counter = Counter { name: "disk:used".to_owned(), value: f64::from(progress) };
                Kind::Alert(Alert { counter: Some(counter) })
            }
            _ => Kind::Log(Log {}),
        };
        let filler = "x".repeat(self.random.index(200));
        let text = format!("{} {sequence} {filler}", self.name);
        let event = Event { kind: Some(kind), text, sequence, ..Event::default() };
        self.note(&format!("sent {sequence}\n"));
        self.unacked.insert(sequence, event.clone());
        event
    }

    fn take(&mut self, ack: &Ack, on_stream: &mut VecDeque<u64>, answered: &mut u64) {
        let mut exceptions = ack.exceptions.iter().peekable();
        let mut lines = String::new();
        while *answered < ack.through {
            *answered += 1;
            let sequence = on_stream.pop_front().expect("only what was sent is answered");
            let exception = exceptions.next_if(|it| it.position == *answered);
            let outcome = exception.map_or(Outcome::Kept, |it| it.outcome());
            lines.push_str(&format!("answered {sequence} {}\n", outcome.as_str_name()));
            self.unacked.remove(&sequence);
        }
        assert!(exceptions.next().is_none(), "exceptions are among what is newly answered");
        self.note(&lines);
    }

    fn note(&mut self, lines: &str) {
        self.log.write_all(lines.as_bytes()).expect("its file takes a line");
    }

    /// Reads back what its file says.
    pub(crate) fn witness(&self) -> Witness {
        let mut witness = Witness::default();
        for line in std::fs::read_to_string(&self.path).expect("its file").lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let sequence: u64 = words[1].parse().expect("a number");
            if words[0] == "sent" {
                witness.sent += 1;
                assert_eq!(witness.sent, sequence);
            } else {
                let outcome = Outcome::from_str_name(words[2]).expect("an outcome");
                let before = witness.answers.insert(sequence, outcome);
                assert_eq!(before, None, "{sequence} of {} is answered twice", self.name);
            }
        }
        witness
    }
}
