//! What others script against: lines, files, flags, exit codes, keys. They keep their meaning.

use std::process::Command;

use grid_broker::exit_code::ExitCode;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Follower, Gridd, clean, eventually, gridd_alone, lines, run, soon};

const LOOPBACK: [&str; 4] = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn gridd_says_in_three_lines_where_it_is_and_what_to_type_next() {
    let gridd = Gridd::start().await;
    let said = eventually("three lines", async || {
        Some(gridd.stdout()).filter(|said| lines(said).len() == 3 && said.ends_with('\n'))
    })
    .await;
    let data = gridd.path("data").display().to_string();
    let [first, second, third] = lines(&said)[..] else { panic!("three lines, not {said}") };
    let (grpc, http) = (&gridd.grpc, &gridd.http);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(first, format!("gridd {version}: events on {grpc} (gRPC), pages on http://{http}"));
    assert_eq!(second, format!("data in {data}, start 1, 2 records; trusts everyone on loopback"));
    // What it tells to type works as it stands.
    let next = third.strip_prefix("next: ").expect("the third line");
    let (vme, gridctl) = next.split_once("   and   ").expect("two commands");
    for (typed, answer) in [(vme, "started_ok of db1 is record 4"), (gridctl, "started_ok")] {
        let mut words = typed.split(' ');
        let mut command = clean(words.next().expect("a program"));
        command.args(words).env("VME_APPLIANCE", "db1").current_dir(gridd.path("."));
        let said = run(command).await.done();
        assert!(said.contains(answer), "{typed}: {said}");
    }
    let ready = std::fs::read_to_string(gridd.path("ready.json")).expect("the ready file");
    let ready = parsed(&ready);
    assert_eq!((&ready["grpc"], &ready["http"]), (&grpc.as_str().into(), &http.as_str().into()));
    assert_eq!(ready["data"], data);
    assert!(ready["pid"].as_u64().is_some_and(|pid| pid > 0));
}

/// The data folder that `gridd` names, started with these words and variables.
async fn data_of(folder: &TempDir, words: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = clean(env!("CARGO_BIN_EXE_gridd"));
    command.current_dir(folder.path()).args(words).args(LOOPBACK);
    command.envs(environment.iter().copied());
    let mut gridd = Follower::start(command);
    let said = gridd.lines(3).await;
    let data =
        said[1].strip_prefix("data in ").and_then(|it| it.split_once(", start ")).expect("data");
    assert_eq!(gridd.interrupt().await.code, Some(0), "Ctrl-C ends it in good order");
    data.0.rsplit('/').next().expect("a name").to_owned()
}

#[tokio::test]
async fn a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("c.toml"), "data = \"of-file\"\n").expect("a file");
    let file = ("GRIDD_CONFIG", "c.toml");
    let environment = ("GRIDD_DATA", "of-environment");
    assert_eq!(data_of(&folder, &[], &[]).await, "gridd-data");
    assert_eq!(data_of(&folder, &["--config", "c.toml"], &[]).await, "of-file");
    assert_eq!(data_of(&folder, &[], &[file]).await, "of-file");
    assert_eq!(data_of(&folder, &[], &[file, environment]).await, "of-environment");
    let flag = ["--data", "of-flag"];
    assert_eq!(data_of(&folder, &flag, &[file, environment]).await, "of-flag");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = taken.local_addr().expect("its address").to_string();
    let listeners = [("GRIDD_GRPC", at.as_str()), ("GRIDD_HTTP", at.as_str())];
    assert_eq!(data_of(&folder, &flag, &listeners).await, "of-flag", "flags name the listeners");
}

#[tokio::test]
async fn what_gridd_cannot_do_it_refuses_by_name_with_exit_code_2() {
    let folder = TempDir::new().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|at| (at.to_string(), taken)).expect("its address");
    std::fs::write(folder.path().join("bad.toml"), "[class.web]\nboot_time = \"5m\"\n")
        .expect("ok");
    std::fs::write(folder.path().join("plain.toml"), "tls.mode = \"off\"\n").expect("ok");
    let off_loopback = "is not on loopback, and with tls.mode = \"off\" tokens and events can be read \
                        and changed on the way; set tls.mode = \"auto\", listen on 127.0.0.1 or \
                        [::1], or accept that risk with tls.plaintext_off_loopback = true\n";
    for (words, error) in [
        (
            &["--grpc", &taken.0, "--http", "127.0.0.1:0"][..],
            format!(
                "gridd: can't listen on {} for grpc: Address already in use (os error 98); another \
                 program listens there (`ss -tlnp` names it); --grpc or GRIDD_GRPC chooses another\n",
                taken.0
            ),
        ),
        (
            &["--grpc", "127.0.0.1:0", "--http", &taken.0],
            format!(
                "gridd: can't listen on {} for http: Address already in use (os error 98); another \
                 program listens there (`ss -tlnp` names it); --http or GRIDD_HTTP chooses another\n",
                taken.0
            ),
        ),
        (
            &["--config", "plain.toml", "--grpc", "0.0.0.0:7443"],
            format!("gridd: --grpc: 0.0.0.0:7443 {off_loopback}"),
        ),
        (
            &["--config", "plain.toml", "--http", "[::]:1"],
            format!("gridd: --http: [::]:1 {off_loopback}"),
        ),
        (
            &["--config", "nowhere.toml"],
            "gridd: nowhere.toml: can't be read: No such file or directory (os error 2); check the \
             path: it, or a folder above it, is not there\n"
                .to_owned(),
        ),
    ] {
        let said = gridd_alone(folder.path(), words).await;
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr),
            (Some(2), "", error),
            "{words:?}"
        );
    }
    let said = gridd_alone(folder.path(), &["--config", "bad.toml"]).await;
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(2),
            "gridd: bad.toml:2: class.web.boot_time: there is no such key; did you mean \
             boot_timeout?\n"
        )
    );
    assert!(!folder.path().join("gridd-data").exists(), "nothing was touched");
}

#[tokio::test]
async fn exit_codes_say_the_same_for_all_programs() {
    let gridd = Gridd::start().await;
    gridd.vme("db1", 1, &["id=started_ok"]).await.done();
    let code = |code: ExitCode| Some(i32::from(code as u8));
    for (words, expected) in [
        (&["id=log", "msg=x"][..], ExitCode::Done),
        (&["--help"], ExitCode::Done),
        (&["--version"], ExitCode::Done),
        (&["id=nonsense"], ExitCode::Usage),
        (&["--nonsense"], ExitCode::Usage),
        (&["id=maintenance", "msg=x"], ExitCode::Refused),
    ] {
        assert_eq!(gridd.vme("db1", 1, words).await.code, code(expected), "vme {words:?}");
    }
    for (words, expected) in [
        (&["log", "list"][..], ExitCode::Done),
        (&["--help"], ExitCode::Done),
        (&["appliance", "list", "nobody*"], ExitCode::Done),
        (&["log"], ExitCode::Done),
        (&["log", "nonsense", "--flag"], ExitCode::Usage),
        (&["appliance", "list", "nobody"], ExitCode::NotFound),
        (&["appliance", "add", "db1"], ExitCode::Refused),
        (&["appliance", "show", "nobody"], ExitCode::NotFound),
        (&["mail", "show", "1"], ExitCode::NotFound),
        (&["mail", "test", "ops@example.org"], ExitCode::Refused),
    ] {
        assert_eq!(gridd.gridctl(words).await.code, code(expected), "gridctl {words:?}");
    }
    for words in [&["--help"][..], &["--version"]] {
        assert_eq!(gridd_alone(&gridd.path("."), words).await.code, code(ExitCode::Done));
    }
    // A port that was free a moment ago, on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let free = free.expect("a port").to_string();
    let mut command = clean(env!("CARGO_BIN_EXE_vme"));
    command.args(["--broker", &free, "--timeout", "100ms", "--appliance", "a", "id=log", "msg=x"]);
    let said = run(command).await;
    assert_eq!(said.code, code(ExitCode::Unavailable));
    let away = format!("no broker answers at {free} (Connection refused (os error 111)); ");
    assert!(said.stderr.contains(&away), "{said:?}");
    assert!(
        said.stderr.contains("; not spooled: cannot create the folder /dev/null/vme"),
        "{said:?}"
    );
    let mut command = clean(env!("CARGO_BIN_EXE_vme"));
    command.args(["--broker", &free, "--timeout", "100ms", "--appliance", "a", "id=log", "msg=x"]);
    let said = run({
        command.env("VME_STATE", gridd.path("away"));
        command
    })
    .await;
    assert_eq!(said.code, code(ExitCode::Spooled));
    let spooled = format!("vme: log of a spooled, and sent when the broker can be reached: {away}");
    assert!(said.stderr.starts_with(&spooled), "{said:?}");
    let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
    command.env("GRID_BROKER", &free).arg("status");
    let said = run(command).await;
    assert_eq!(said.code, code(ExitCode::Unavailable));
    assert!(said.stderr.contains(&away), "{said:?}");
    let mut command: Command = clean("/bin/sh");
    let script = "\"$0\" --broker \"$1\" log list >/dev/full";
    command.args(["-c", script, env!("CARGO_BIN_EXE_gridctl"), &gridd.grpc]);
    let said = run(command).await;
    assert_eq!(said.code, code(ExitCode::Failed), "{said:?}");
    assert!(said.stderr.starts_with("gridctl: cannot write the output: "), "{said:?}");
}

/// The fields of a message of the contract; those of a oneof count as the oneof.
fn contract_keys(message: &str) -> Vec<String> {
    let contract =
        FileDescriptorSet::decode(grid_broker::contract::DESCRIPTORS).expect("it decodes");
    let messages = contract.file.iter().flat_map(|file| &file.message_type);
    let found = messages.clone().find(|it| it.name() == message).expect("a message");
    let mut keys: Vec<String> = Vec::new();
    for field in &found.field {
        let is_real = field.oneof_index.is_some() && !field.proto3_optional();
        let key = match field.oneof_index.filter(|_| is_real) {
            Some(index) => found.oneof_decl[usize::try_from(index).expect("small")].name(),
            None => field.name(),
        };
        if keys.last().is_none_or(|last| last != key) {
            keys.push(key.to_owned());
        }
    }
    keys
}

/// The keys of an object, sorted.
fn keys(object: &Value) -> Vec<String> {
    let mut keys: Vec<_> = object.as_object().expect("an object").keys().cloned().collect();
    keys.sort();
    keys
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

#[tokio::test]
async fn json_has_the_contracts_keys_in_every_form() {
    let gridd = Gridd::start().await;
    gridd.vme("db1", 1, &["id=maintenance", "msg=two, \"quoted\"", "progress=3"]).await.done();
    gridd.vme("db2", 1, &["id=start_failed", "msg=no disk"]).await.done();
    for (words, message) in [
        (&["log", "list"][..], "Record"),
        (&["appliance", "list"], "Appliance"),
        (&["appliance", "show", "db1"], "Appliance"),
        (&["log", "show", "4"], "Record"),
        (&["alert", "list"], "OpenAlert"),
        (&["status"], "GetStatusResponse"),
    ] {
        let form =
            async |format| gridd.gridctl(&[words, &["--output", format]].concat()).await.done();
        let is_one = matches!(words, ["status"] | [_, "show", ..]);
        let json = parsed(&form("json").await);
        let json = if is_one { vec![json] } else { json.as_array().expect("an array").clone() };
        let jsonl: Vec<Value> = lines(&form("jsonl").await).into_iter().map(parsed).collect();
        assert_eq!(jsonl.len(), json.len(), "{words:?}");
        let mut expected = sorted(contract_keys(message));
        // Times within a sentence are in the sentence itself.
        expected.retain(|key| !key.ends_with("_times"));
        assert!(!json.is_empty(), "{words:?} has nothing to show");
        for object in json.iter().chain(&jsonl) {
            assert_eq!(keys(object), expected, "{words:?}");
        }
        let csv = form("csv").await;
        let header: Vec<String> = lines(&csv)[0].split(',').map(ToOwned::to_owned).collect();
        assert_eq!(sorted(header), expected, "{words:?}: CSV has all of them");
        assert_eq!(lines(&csv).len(), 1 + json.len(), "{csv}");
        let udl = gridd.gridctl(&[words, &["--batch"]].concat()).await.done();
        let entities = udl.lines().filter(|line| line.ends_with(" {")).count();
        assert_eq!(
            (entities, udl.lines().filter(|line| *line == "}").count()),
            (json.len(), json.len())
        );
    }
    let record = &gridd.records(&["--kind", "maintenance"]).await[0];
    let mut event = contract_keys("Event");
    event.push("progress".to_owned());
    assert_eq!(keys(&record["event"]), sorted(event));
    assert_eq!((&record["kind"], &record["state"]), (&"maintenance".into(), &"maintenance".into()));
    assert!(record["number"].is_u64(), "64-bit numbers are numbers");
    let at = record["received_at"].as_str().expect("a time");
    assert!(at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "RFC 3339 in UTC: {at}");
    let csv = gridd.gridctl(&["log", "list", "--output", "csv"]).await.done();
    assert!(csv.contains(",\"two, \"\"quoted\"\"\","), "{csv}");
}

#[tokio::test]
async fn noun_and_verb_may_change_places() {
    let gridd = Gridd::start().await;
    gridd.vme("db1", 1, &["id=log", "msg=x"]).await.done();
    for (one, other) in [
        (&["log", "list"][..], &["list", "log"][..]),
        (&["appliance", "list"], &["list", "appliance"]),
        (&["log", "list", "--kind", "log"], &["list", "log", "--kind", "log"]),
    ] {
        let said = gridd.gridctl(one).await.done();
        assert_eq!(gridd.gridctl(other).await.done(), said);
        assert!(said.contains("db1"), "{said}");
    }
}

#[tokio::test]
async fn reflection_lists_all_services_and_health_serves() {
    let mut gridd = Gridd::start().await;
    let mut health = HealthClient::new(gridd.channel().await);
    for service in ["", "grid.events.v1.EventService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = soon("health", health.check(request)).await.expect("it answers").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(gridd.channel().await);
    let asked = reflection.server_reflection_info(tokio_stream::once(ask));
    let mut answers = soon("reflection", asked).await.expect("it answers").into_inner();
    let answer = soon("the list", answers.message()).await.expect("no error").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("a list was expected");
    };
    let mut names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grid.events.v1.AlertService",
            "grid.events.v1.ApplianceService",
            "grid.events.v1.BrokerService",
            "grid.events.v1.CrashDumpService",
            "grid.events.v1.EventService",
            "grid.events.v1.GridLogService",
            "grid.events.v1.IdentityService",
            "grid.events.v1.JournalService",
            "grid.events.v1.MailService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ]
    );
    drop((health, reflection, answers));
    assert_eq!(gridd.terminate().await, Some(0));
}

#[tokio::test]
async fn pages_say_that_the_broker_lives_and_is_ready() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gridd = Gridd::start().await;
    for (path, said) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let mut stream = tokio::net::TcpStream::connect(&gridd.http).await.expect("connects");
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gridd.http);
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        soon("the page", stream.read_to_string(&mut answer)).await.expect("reads");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(said), "{answer}");
    }
}
