//! Whatever is killed, each event that `vme` was told to be kept or spooled has one record, none has
//! two, and one caller's events keep their order.
//!
//! Callers run the real vme while gridd, agents, drainers and calls are killed with -9 and started
//! again. `GRID_APPLIANCE_KILLS` kills, those of calls not counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Event, ListAlertsRequest, Log, LostReason, Outcome, Record};
use grid_broker::spool::EntryState;
use grid_broker::tasks;
use prost::Message;
use rustix::process::{Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::time::sleep;

use super::calls_compared::{Tally, compare};
use super::host::{Ground, Host, UNLIMITED, kill};
use super::worker::{Call, call_on};
use crate::support::{Follower, Gridd, Random, count, eventually, oracle, say, seed};

/// Callers of each appliance.
const CALLERS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_anything_loses_and_doubles_nothing_that_was_said() {
    let kills = count("GRID_APPLIANCE_KILLS", 24);
    let tally = Round::new(UNLIMITED, seed("appliance kills")).await.judged(kills, false).await;
    let told = |code: &str| tally.by_code.get(code).copied().unwrap_or(0);
    assert!(told("exit 0") > 50 && told("exit 5") > 5 && told("killed") > 5, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_budgets_what_is_kept_is_kept_once() {
    let kills = count("GRID_APPLIANCE_KILLS", 24).div_ceil(3);
    let tally = Round::new("", seed("appliance kills under budgets")).await.judged(kills, true);
    assert!(tally.await.suppressed > 0, "nothing was held back");
}

/// A call that waits for the broker bears a number; whoever comes meanwhile bears higher ones.
#[tokio::test]
async fn a_call_that_gives_up_behind_many_others_is_not_taken_for_known() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.kill().await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let waits = host.says(&["id=log", "msg=the first", "--timeout=2s"], 5);
    let meanwhile = async {
        // It has its number when the file is there.
        eventually("its number", async || host.state.join("numbers").exists().then_some(())).await;
        let log = |number| {
            let text = format!("other {number}");
            Event { kind: Some(Kind::Log(Log {})), text, ..Event::default() }
        };
        host.spool().append((0..200).map(log).collect(), EntryState::Waiting).expect("appends");
    };
    tokio::join!(waits, meanwhile);
    gridd.start_again().await;
    host.says(&["id=log", "msg=the last"], 0).await;
    host.rests().await;
    let texts = oracle::texts(&oracle::records(&gridd.grpc).await, "db1");
    assert_eq!(texts.len(), 202, "{texts:?}");
    assert_eq!((texts[0].as_str(), texts[201].as_str()), ("the first", "the last"), "{texts:?}");
}

/// What a call says to an agent, as far as it matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(bytes = "bytes", tag = "1")]
    event: Bytes,
    #[prost(fixed64, tag = "4")]
    call: u64,
}

/// An agent that is killed when an event is in its spool, before it says so.
#[tokio::test]
async fn what_an_agent_took_before_it_was_killed_is_not_said_twice() {
    let gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let spool = host.spool();
    let socket = UnixListener::bind(host.state.join("agent.sock")).expect("a socket");
    let takes = async {
        for breaks_off_early in [true, false] {
            let (mut call, _) = socket.accept().await.expect("a call");
            let length = call.read_u32_le().await.expect("a length");
            let mut ask = vec![0; usize::try_from(length).expect("it is short")];
            call.read_exact(&mut ask).await.expect("what it asks for");
            let Ask { event, call } = Ask::decode(&*ask).expect("an ask");
            if !breaks_off_early {
                let event = Event::decode(event).expect("an event");
                spool.append_once(vec![(event, call)], EntryState::Waiting).expect("appends");
            }
        }
    };
    let calls = async {
        host.says(&["id=log", "msg=not taken"], 0).await;
        host.says(&["id=log", "msg=taken"], 0).await;
    };
    tokio::join!(takes, calls);
    host.rests().await;
    let texts = oracle::texts(&oracle::records(&gridd.grpc).await, "db1");
    assert_eq!(texts, ["not taken", "taken"]);
}

/// Everybody who speaks, and those who can be killed.
struct Round {
    random: Random,
    gridd: Gridd,
    hosts: Vec<Host>,
    /// Agents, by the numbers of their hosts.
    agents: Vec<Option<Follower>>,
    kills: Kills,
    ground: Ground,
}

/// What was killed, how often.
#[derive(Debug, Default)]
struct Kills {
    gridd: usize,
    agents: usize,
    drainers: usize,
}

impl fmt::Display for Kills {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gridd, agents, drainers } = self;
        write!(out, "{gridd} of gridd, {agents} of agents, {drainers} of drainers")
    }
}

impl Round {
    async fn new(config: &str, seed: u64) -> Self {
        let gridd = Gridd::with_config(config).await;
        let ground = Ground::new();
        let host = |name: &str, boot| Host::new(&ground, name, boot, &gridd.grpc);
        // One with an agent, one without, one with an agent now and then; the last in the boot of
        // this system.
        let now_and_then = Host { boot: None, ..host("now-and-then", 0) };
        let hosts = vec![host("with-agent", 1), host("without", 2), now_and_then];
        let agents = vec![Some(hosts[0].agent().await), None, None];
        Self { random: Random::new(seed), gridd, hosts, agents, kills: Kills::default(), ground }
    }

    async fn judged(mut self, kills: usize, has_budgets: bool) -> Tally {
        let began = monotonic_now();
        let finish = Arc::new(AtomicBool::new(false));
        let mut calling = Vec::new();
        for host in &self.hosts {
            for number in 0..CALLERS {
                let (host, random) = (host.clone(), Random::new(self.random.next()));
                let who = format!("{} {number}", host.name);
                let calls = call_on(host.clone(), who, random, Arc::clone(&finish));
                calling.push((host, tasks::spawn("caller", calls)));
            }
        }
        for _ in 0..kills {
            sleep(Duration::from_millis(self.random.below(800))).await;
            self.kill_something().await;
        }
        finish.store(true, Ordering::Release);
        let mut called: Vec<(Host, Vec<Call>)> = Vec::new();
        for (host, calls) in calling {
            called.push((host, calls.await.expect("the caller ends")));
        }
        self.rest().await;
        let records = oracle::records(&self.gridd.grpc).await;
        let is_suppressed = |it: &&Record| it.outcome() == Outcome::Suppressed;
        let suppressed = records.iter().filter(is_suppressed).count();
        let mut all = Tally { suppressed, ..Tally::default() };
        for (host, calls) in &called {
            let tally = compare(&host.name, calls, &records, has_budgets);
            all.calls += tally.calls;
            all.killed_with_record += tally.killed_with_record;
            for (code, many) in tally.by_code {
                *all.by_code.entry(code).or_default() += many;
            }
            all.wrong.extend(tally.wrong);
        }
        for host in &self.hosts {
            assert!(!host.state.join("aside").exists(), "an event of {} was set aside", host.name);
            let damaged = oracle::lost(&records, &host.name, LostReason::SpoolDamaged);
            assert_eq!(damaged, 0, "the spool of {} was damaged", host.name);
        }
        let open = self.gridd.alerts().await.list_alerts(ListAlertsRequest::default()).await;
        let open = open.expect("the open matters").into_inner().alerts;
        let of_broker: Vec<_> = open.iter().filter(|it| it.appliance.is_empty()).collect();
        assert!(of_broker.is_empty(), "something acknowledged is missing: {of_broker:?}");
        let (took, kept) = (began.elapsed().as_secs(), records.len());
        say(&format!("kills: {}; {all}; {kept} records; {took} s", self.kills));
        assert!(all.wrong.is_empty(), "{} wrong:\n{}", all.wrong.len(), all.wrong.join("\n"));
        all
    }

    async fn kill_something(&mut self) {
        match self.random.below(10) {
            0..=3 => {
                self.gridd.kill().await;
                self.kills.gridd += 1;
                sleep(Duration::from_millis(self.random.below(1_500))).await;
                self.gridd.start_again().await;
            }
            4..=6 => {
                let number = if self.random.once_in(2) { 0 } else { 2 };
                if let Some(agent) = self.agents[number].take() {
                    kill(agent);
                    self.kills.agents += 1;
                    sleep(Duration::from_millis(self.random.below(300))).await;
                }
                self.agents[number] = Some(self.hosts[number].agent().await);
            }
            7 => match self.agents[2].take() {
                Some(agent) => drop(agent.interrupt().await),
                None => self.agents[2] = Some(self.hosts[2].agent().await),
            },
            _ => {
                for drainer in self.hosts.iter().flat_map(Host::drainers) {
                    self.kills.drainers += usize::from(kill_process(drainer, Signal::KILL).is_ok());
                }
            }
        }
    }

    /// Everything comes to rest: agents and last calls empty the spools.
    async fn rest(&mut self) {
        assert!(self.ground.path("").is_dir());
        for (host, agent) in self.hosts.iter().zip(&mut self.agents) {
            if agent.is_none() && host.waiting() > 0 {
                // Its drainer may have been killed. Whatever waits goes before this.
                let said = host.say(&["id=log", "msg=the last word"]).await;
                assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
            }
            host.rests().await;
        }
    }
}
