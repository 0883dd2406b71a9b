//! A container that starts again is another boot, though its host's kernel is the same; within one
//! all calls are of one boot.

use std::process::Command;

use grid_broker::contract::proto::{ApplianceState, Outcome};

use super::host::{Ground, Host, UNLIMITED};
use crate::support::{Gridd, Run, oracle, run};

/// Runs these calls of vme, one after the other, in a container of their own: process 1 there is a
/// shell. It ends with the first exit code that is not `code`.
async fn in_container(host: &Host, code: i32, calls: &[&[&str]]) -> Run {
    let mut script = String::new();
    let mut words = Vec::new();
    let mut environment = Vec::new();
    for call in calls {
        let command = host.vme(call);
        let from = words.len();
        words.push(command.get_program().to_owned());
        words.extend(command.get_args().map(ToOwned::to_owned));
        let own: Vec<String> =
            (from + 1..=words.len()).map(|at| format!("\"${{{at}}}\"")).collect();
        script.push_str(&format!("{}; c=$?; [ $c = {code} ] || exit 90$c\n", own.join(" ")));
        environment = command
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
    }
    let mut unshare = Command::new("unshare");
    unshare.env_clear().envs(environment);
    unshare.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script, "sh"]);
    let ended = run({
        unshare.args(words);
        unshare
    })
    .await;
    assert_eq!(
        ended.code,
        Some(0),
        "{ended:?}; unshare (util-linux) must be there, and may only be used by root"
    );
    ended
}

#[tokio::test]
async fn each_start_of_a_container_is_another_boot_and_what_it_spooled_is_history() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let host = Host { boot: None, ..Host::new(&ground, "box", 0, &gridd.grpc) };
    in_container(&host, 0, &[&["id=log", "msg=first 0"], &["id=started_ok", "msg=first 1"]]).await;
    gridd.kill().await;
    let later: &[&[&str]] = &[&["id=start_failed", "msg=first 2", "--timeout=300ms"]];
    in_container(&Host { ..host.clone() }, 5, later).await;
    gridd.start_again().await;
    in_container(&host, 0, &[&["id=maintenance", "msg=second 0"], &["id=log", "msg=second 1"]])
        .await;
    assert_eq!(host.waiting(), 0);
    let records = oracle::records(&gridd.grpc).await;
    let own: Vec<_> = records.iter().filter(|it| it.event.is_some()).collect();
    let texts: Vec<&str> = own.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["first 0", "first 1", "first 2", "second 0", "second 1"]);
    let boots: Vec<&str> = own.iter().map(|it| it.boot_id.as_str()).collect();
    assert_eq!(boots[0], boots[1], "two calls in one container");
    assert_eq!(boots[3], boots[4], "two calls in one container");
    let starts = [boots[0], boots[2], boots[3]];
    assert!(
        starts[0] != starts[1] && starts[1] != starts[2] && starts[0] != starts[2],
        "{boots:?}"
    );
    assert_eq!(own[2].outcome(), Outcome::History, "{:?}", own[2]);
    let appliance = gridd.appliance("box").await;
    assert_eq!(appliance.state(), ApplianceState::Maintenance, "{}", appliance.explanation);
    assert_eq!(appliance.boot_id, boots[3]);
}
