//! A spool that is damaged between runs, or while the agent runs, stops nobody: what can be read is
//! sent, once, and the rest is counted.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Event, Log, LostReason};
use grid_broker::spool::{self, EntryState};
use prost::Message;
use tokio::time::sleep;

use super::host::{Ground, Host, UNLIMITED, kill};
use crate::support::{Gridd, Random, count, eventually, oracle, say, seed};

const EVENTS: usize = 30;

/// How the file is damaged.
const WAYS: u64 = 7;

fn append(host: &Host, texts: impl Iterator<Item = String>) {
    let log = |text| Event { kind: Some(Kind::Log(Log {})), text, ..Event::default() };
    host.spool().append(texts.map(log).collect(), EntryState::Waiting).expect("appends");
}

/// Does something to the file; gives what.
fn damage(path: &Path, way: u64, random: &mut Random) -> &'static str {
    let mut bytes = std::fs::read(path).expect("the spool");
    let (from, length) = (random.index(bytes.len()), 1 + random.index(600));
    let to = bytes.len().min(from + length);
    let what = match way {
        0 => {
            let at = random.index(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            "one bit"
        }
        1 => {
            for _ in 0..8 {
                let at = random.index(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            "eight bits"
        }
        2 => {
            bytes.truncate(from);
            "cut"
        }
        3 => {
            bytes[from..to].fill(0);
            "zeros"
        }
        4 => {
            let noise = random.bytes(to - from);
            bytes[from..to].copy_from_slice(&noise);
            "noise"
        }
        5 => {
            bytes = b"[Unit]\nDescription=not a spool\n".repeat(40);
            "another file"
        }
        _ => {
            // Each bit of the version.
            bytes[7] ^= 1 << random.below(8);
            "the version"
        }
    };
    std::fs::write(path, bytes).expect("the damage");
    what
}

/// The texts that can still be read, and how many events can't at least.
fn readable(path: &Path) -> (Vec<String>, u64) {
    let image = spool::parse(&Bytes::from(std::fs::read(path).unwrap_or_default()));
    let live = image.entries.iter().filter(|entry| !entry.state.is_finished());
    let texts = live.map(|it| Event::decode(it.payload.event.clone()).expect("an event").text);
    (texts.collect(), image.damaged)
}

#[tokio::test]
async fn what_can_be_read_of_a_damaged_spool_is_sent_and_the_rest_is_told() {
    let mut random = Random::new(seed("damaged spools"));
    let gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let (mut sent, mut told) = (0, 0);
    let times = count("GRID_APPLIANCE_DAMAGES", 21);
    for number in 0..times {
        let name = format!("db{number}");
        let host = Host::new(&ground, &name, 1, &gridd.grpc);
        append(&host, (0..EVENTS).map(|number| format!("event {number}")));
        let path = host.state.join("spool");
        let way = number as u64 % WAYS;
        let what = damage(&path, way, &mut random);
        let (expected, damaged) = readable(&path);
        let agent = host.agent().await;
        host.says(&["id=log", "msg=later"], 0).await;
        host.rests().await;
        kill(agent);
        let records = oracle::records(&gridd.grpc).await;
        let texts = oracle::texts(&records, &name);
        let of_spool: Vec<&String> = texts.iter().filter(|it| it.starts_with("event ")).collect();
        assert!(of_spool.iter().copied().eq(&expected), "{what}: {texts:?}, not {expected:?}");
        assert!(texts.contains(&"later".to_owned()), "{what}: {texts:?}");
        let lost = oracle::lost(&records, &name, LostReason::SpoolDamaged);
        assert_eq!(lost, damaged, "{what}: {texts:?}");
        (sent, told) = (sent + of_spool.len(), told + lost);
    }
    let all = times * EVENTS;
    say(&format!("damaged spools: {times}, {sent} of {all} events sent, {told} told as lost"));
}

/// Agents with a session, and agents that wait for one.
#[tokio::test]
async fn a_spool_damaged_under_a_running_agent_does_not_stop_it() {
    let mut random = Random::new(seed("spools damaged under an agent"));
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let agent = host.agent().await;
    let path = host.state.join("spool");
    let mut expected = BTreeSet::new();
    for round in 0..WAYS {
        let text = format!("event {round} before");
        host.says(&["id=log", &format!("msg={text}")], 0).await;
        expected.insert(text);
        damage(&path, round, &mut random);
        let text = format!("event {round} behind");
        host.says(&["id=log", &format!("msg={text}")], 0).await;
        expected.insert(text);
        if round % 3 == 2 {
            gridd.kill().await;
            sleep(Duration::from_millis(300)).await;
            append(&host, (0..5).map(|number| format!("event {round} waits {number}")));
            damage(&path, round + 1, &mut random);
            expected.extend(readable(&path).0);
            gridd.start_again().await;
            host.rests().await;
        }
    }
    std::fs::remove_file(&path).expect("the spool goes");
    host.says(&["id=log", "msg=event without a file"], 0).await;
    expected.insert("event without a file".to_owned());
    host.rests().await;
    let records = eventually("all that was told to be kept", async || {
        let records = oracle::records(&gridd.grpc).await;
        let texts: BTreeSet<String> = oracle::texts(&records, "db1").into_iter().collect();
        expected.is_subset(&texts).then_some(records)
    })
    .await;
    // The spool tells of each damage in the same words.
    let mut texts = oracle::texts(&records, "db1");
    texts.retain(|text| !text.starts_with("the spool of this appliance"));
    let once: BTreeSet<&String> = texts.iter().collect();
    assert_eq!(once.len(), texts.len(), "{texts:?}");
    drop(agent.interrupt().await);
}
