//! What a start takes, `check-config` and SIGHUP take, and what it refuses they refuse; a data folder is
//! private and nobody else's; an error says what the system said.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::support::{Gridd, eventually, gridd_alone};

/// Five settings of mail that cannot be, and one of another table.
const WRONG: &str = "\
[mail]
server = \"mail.example.org\"
security = \"plain\"
ca_file = \"/etc/ca.pem\"
from = \"grid@example.org\"
grid = \"a-name-of-twenty-eight-bytes\"
connections = 33
zone = \"Mars/Base\"
to = \"anna@example.org Mars/Base\"
[retention]
age = \"0s\"
";

/// Where they stand.
const LINES: [&str; 6] = [
    ":4: mail.ca_file",
    ":6: mail.grid",
    ":7: mail.connections",
    ":8: mail.zone",
    ":9: mail.to",
    ":11: retention.age",
];

fn folder() -> tempfile::TempDir {
    tempfile::TempDir::with_prefix("gridd-test-").expect("a temporary folder")
}

#[tokio::test]
async fn a_check_and_a_start_tell_the_same_mistakes_all_at_once() {
    let folder = folder();
    fs::write(folder.path().join("gridd.toml"), WRONG).expect("the configuration");
    let start = gridd_alone(folder.path(), &["--config", "gridd.toml", "--data", "data"]).await;
    let check = gridd_alone(folder.path(), &["check-config", "gridd.toml"]).await;
    assert_eq!((start.code, check.code), (Some(2), Some(2)));
    for (said, place) in [(&start.stderr, "start"), (&check.stderr, "check-config")] {
        let lines: Vec<_> = said.lines().filter(|line| line.contains("gridd.toml:")).collect();
        assert_eq!(lines.len(), LINES.len(), "{place}: {said}");
        for (line, expected) in lines.iter().zip(LINES) {
            assert!(line.contains(expected), "{place}: {line} is not about {expected}");
        }
    }
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[tokio::test]
async fn a_reload_that_a_start_would_refuse_records_and_changes_nothing() {
    let right = "[mail]\nserver = \"127.0.0.1:9\"\nsecurity = \"plain\"\nfrom = \"g@example.org\"\n\
                 to = \"anna@example.org\"\n";
    let gridd = Gridd::with_config(right).await;
    let records = gridd.records(&[]).await.len();
    let config = gridd.path("gridd.toml");
    fs::write(&config, right.replace("anna@example.org", "anna@example.org Mars/Base"))
        .expect("the configuration");
    gridd.signal(Signal::HUP);
    eventually("the refusal", async || {
        gridd.stderr().contains("the settings stay unchanged").then_some(())
    })
    .await;
    assert!(gridd.stderr().contains("gridd.toml:5: mail.to: "), "{}", gridd.stderr());
    assert_eq!(gridd.records(&[]).await.len(), records, "no record tells of a change");
}

#[tokio::test]
async fn the_whole_command_line_of_a_unit_can_be_checked() {
    let folder = folder();
    let flags = ["--grpc", "127.0.0.1:1", "--http", "127.0.0.1:1", "--tracing", "inof"];
    let more = ["--tracing-format", "json", "--data", "d", "--ready-file", "r"];
    let words = [&["check-config"][..], &flags, &more].concat();
    let check = gridd_alone(folder.path(), &words).await;
    assert_eq!(check.code, Some(2), "{check:?}");
    for part in ["--http: ", "--tracing: "] {
        assert!(check.stderr.contains(part), "{}", check.stderr);
    }
    assert!(!folder.path().join("d").exists() && !folder.path().join("r").exists());
}

fn modes_below(folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        found.push((entry.path().display().to_string(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            modes_below(&entry.path(), found);
        }
    }
}

#[tokio::test]
async fn nobody_else_looks_into_the_data_folder_and_one_that_is_open_is_told() {
    let mut gridd = Gridd::start().await;
    assert_eq!(gridd.vme("db1", 1, &["id=started_ok"]).await.code, Some(0));
    let data = gridd.path("data");
    let mut modes =
        vec![("data".to_owned(), fs::metadata(&data).expect("it").permissions().mode())];
    modes_below(&data, &mut modes);
    assert!(modes.len() > 5, "what is in it is found: {modes:?}");
    assert!(modes.iter().all(|(_, mode)| mode & 0o077 == 0), "{modes:?}");
    assert!(!gridd.stderr().contains("read the data folder"), "{}", gridd.stderr());
    let ready = fs::metadata(gridd.path("ready.json")).expect("the ready file");
    assert_eq!(ready.permissions().mode() & 0o777, 0o644, "whoever started it may read it");
    assert_eq!(gridd.terminate().await, Some(0));
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("a mode");
    gridd.start_again().await;
    assert!(gridd.stderr().contains("can read the data folder"), "{}", gridd.stderr());
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_refused_and_stays_as_it_was() {
    let folder = folder();
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).expect("a folder");
    fs::write(theirs.join("thesis.txt"), "mine").expect("a file");
    let words = ["--data", "theirs", "--ready-file", "theirs/ready", "--grpc", "127.0.0.1:0"];
    let start =
        gridd_alone(folder.path(), &[&words[..], &["--http", "127.0.0.1:0"]].concat()).await;
    assert_eq!(start.code, Some(1), "{start:?}");
    assert!(
        start.stderr.contains("thesis.txt") && start.stderr.contains("an empty folder"),
        "{start:?}"
    );
    assert_eq!(fs::read_dir(&theirs).expect("it").count(), 1, "nothing was written");
}

#[tokio::test]
async fn an_error_says_what_the_system_said_and_what_fits_it() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("a file");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let free = ["--http", "127.0.0.1:0"];
    for (words, parts) in [
        (
            [&["--data", "file/data", "--grpc", "127.0.0.1:0"][..], &free].concat(),
            ["file/data", "Not a directory (os error 20)", "is a file and no folder"],
        ),
        (
            [&["--data", "/proc/data", "--grpc", "127.0.0.1:0"][..], &free].concat(),
            ["/proc/data", "(os error 2)", "is not there"],
        ),
        (
            [&["--data", "data", "--grpc", &taken][..], &free].concat(),
            [&taken, "(os error 98)", "chooses another"],
        ),
        (vec!["--config", "nowhere.toml"], ["nowhere.toml", "(os error 2)", "check the path"]),
    ] {
        let ended = gridd_alone(folder.path(), &words).await;
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        for part in parts {
            assert!(ended.stderr.contains(part), "{words:?} lacks `{part}`: {}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn a_check_of_the_journal_tells_damage_from_a_folder_in_use_and_from_none() {
    let mut gridd = Gridd::start().await;
    let data = gridd.path("data").display().to_string();
    let folder = gridd.path("");
    let check =
        async |data: &str| gridd_alone(&folder, &["journal", "check", "--data", data]).await;
    let at_work = check(&data).await;
    assert_eq!(at_work.code, Some(6), "{at_work:?}");
    assert_eq!(gridd.terminate().await, Some(0));
    assert_eq!(check(&data).await.code, Some(0));
    assert_eq!(check("nowhere").await.code, Some(7));
    fs::write(gridd.path("data/identity"), "nonsense").expect("writes");
    let damaged = check(&data).await;
    assert_eq!(damaged.code, Some(8), "{damaged:?}");
    fs::write(gridd.path("file"), "").expect("writes");
    let no_folder = check("file").await;
    assert!(matches!(no_folder.code, Some(1 | 7)), "{no_folder:?}");
}
