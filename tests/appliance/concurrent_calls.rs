//! Twenty calls of vme at once have twenty records with twenty numbers, with an agent and without.

use std::collections::BTreeSet;

use super::host::{Ground, Host, UNLIMITED};
use crate::support::{Gridd, run};

const CALLS: usize = 20;

async fn judged(has_agent: bool) {
    let gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let agent = if has_agent { Some(host.agent().await) } else { None };
    let mut calling = Vec::new();
    for number in 0..CALLS {
        let words = ["id=log".to_owned(), format!("msg=call {number}")];
        let mut command = host.vme(&[&words[0], &words[1]]);
        let mut told = tempfile::tempfile().expect("a file for its words");
        command.stdout(told.try_clone().expect("the same file"));
        command.stderr(told.try_clone().expect("the same file"));
        calling.push((command.spawn().expect("vme starts"), move || {
            let mut text = String::new();
            std::io::Seek::seek(&mut told, std::io::SeekFrom::Start(0)).expect("seeks");
            std::io::Read::read_to_string(&mut told, &mut text).expect("UTF-8");
            text
        }));
    }
    for (mut call, mut told) in calling {
        let status =
            crate::support::eventually("its end", async || call.try_wait().expect("waits"));
        assert_eq!(status.await.code(), Some(0), "{}", told());
    }
    host.rests().await;
    let records = gridd.records(&["--appliance", "db1", "--kind", "log"]).await;
    let texts: BTreeSet<_> =
        records.iter().map(|it| it["text"].as_str().expect("a text")).collect();
    let number =
        |record: &serde_json::Value| record["event"]["sequence"].as_u64().expect("a number");
    let numbers: BTreeSet<u64> = records.iter().map(number).collect();
    let all = (records.len(), texts.len(), numbers.len());
    assert_eq!(all, (CALLS, CALLS, CALLS), "{records:?}");
    assert!(numbers.iter().all(|number| *number > 0), "each is numbered: {numbers:?}");
    let drained = run(host.vme(&["id=log", "msg=one more"])).await;
    assert_eq!(drained.code, Some(0), "{drained:?}");
    drop(agent);
}

#[tokio::test]
async fn twenty_calls_at_once_have_twenty_numbers() {
    judged(false).await;
}

#[tokio::test]
async fn and_so_have_twenty_calls_of_an_agent() {
    judged(true).await;
}
