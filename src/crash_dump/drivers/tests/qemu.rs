//! Tests the driver `qemu` against sockets that answer, are silent, die or send whatever they like.

use std::path::PathBuf;
use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::super::qemu::{check, trigger};
use super::*;
use crate::tasks;
use crate::test_timeout;

const GREETING: &str =
    "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7}},\"capabilities\":[\"oob\"]}}\n";

const EVENT: &str =
    "{\"event\":\"RTC_CHANGE\",\"data\":{\"offset\":1},\"timestamp\":{\"seconds\":1}}\n";

/// What the double does.
#[derive(Clone, Debug)]
enum Act {
    Say(String),
    Close,
    Hang,
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

/// What QEMU answers to a command with that id, in that state.
fn answer(status: &str, command: &str, id: u64) -> Act {
    let result = match command {
        "query-status" => format!("{{\"status\":\"{status}\",\"singlestep\":false}}"),
        _ => "{}".to_owned(),
    };
    Act::Say(format!("{{\"return\":{result},\"id\":{id}}}\n"))
}

/// A socket in a folder of its own, and the commands that arrived there.
struct Double {
    path: PathBuf,
    commands: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl Double {
    /// One that greets so, and acts so on each command with its id.
    fn new(greeting: Act, act: impl Fn(&str, u64) -> Act + Send + Sync + 'static) -> Self {
        let (folder, path) = place();
        let listener = UnixListener::bind(&path).expect("binds");
        let commands = Arc::new(Mutex::new(Vec::new()));
        let arrived = Arc::clone(&commands);
        drop(tasks::spawn("qemu", async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &greeting, &act, &arrived).await;
            }
        }));
        Self { path, commands, _folder: folder }
    }

    /// One that does what QEMU does, in that state.
    fn qemu(status: &'static str) -> Self {
        Self::new(say(GREETING), move |command, id| answer(status, command, id))
    }

    fn commands(&self) -> Vec<String> {
        self.commands.lock().expect("no panic").clone()
    }
}

async fn serve(
    stream: UnixStream,
    greeting: &Act,
    act: &(impl Fn(&str, u64) -> Act + Sync),
    arrived: &Mutex<Vec<String>>,
) {
    let mut stream = BufReader::new(stream);
    let mut next = greeting.clone();
    loop {
        match next {
            // The driver may have left.
            Act::Say(text) => drop(stream.write_all(text.as_bytes()).await),
            Act::Close => return,
            Act::Hang => {}
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
            return;
        }
        let message: serde_json::Value = serde_json::from_str(&line).expect("a command is JSON");
        let command = message["execute"].as_str().expect("a command").to_owned();
        next = act(&command, message["id"].as_u64().expect("an id"));
        arrived.lock().expect("no panic").push(command);
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vm1.qmp");
    (folder, path)
}

/// The appliance behind the socket at `path`, whose `{name}` the driver puts in.
fn behind(path: &std::path::Path, timeout: Duration) -> DumpTarget {
    let socket = path.with_file_name("{name}.qmp").display().to_string();
    target(DumpDriver::Qemu, CrashDumpSettings { socket, timeout, ..CrashDumpSettings::default() })
}

/// Long enough that it never ends first.
fn patient(path: &std::path::Path) -> DumpTarget {
    behind(path, test_timeout::timeout())
}

/// Short, for what never answers.
fn impatient(path: &std::path::Path) -> DumpTarget {
    behind(path, test_timeout::scaled(Duration::from_millis(200)))
}

#[tokio::test]
async fn a_running_machine_gets_an_nmi_after_its_state_is_known() {
    let double = Double::qemu("running");
    assert_eq!(check(&patient(&double.path)).await, Ok(Vec::new()));
    assert_eq!(double.commands(), ["qmp_capabilities", "query-status"]);
    assert_eq!(trigger(&patient(&double.path)).await, Ok(Triggered::default()));
    assert_eq!(double.commands()[2..], ["qmp_capabilities", "query-status", "inject-nmi"]);
}

#[tokio::test]
async fn answers_are_found_among_events_and_other_answers() {
    let double = Double::new(say(GREETING), |command, id| {
        let Act::Say(own) = answer("running", command, id) else { return Act::Close };
        let other = format!("{{\"return\":{{\"status\":\"shutdown\"}},\"id\":{}}}\n", id + 7);
        let none = "{\"return\":{\"status\":\"shutdown\"}}\n\r\n\n";
        let error = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":\"x\"}\n";
        Act::Say([EVENT, &other, none, error, EVENT, &own, EVENT].concat())
    });
    assert_eq!(check(&patient(&double.path)).await, Ok(Vec::new()));
    assert_eq!(trigger(&patient(&double.path)).await, Ok(Triggered::default()));
}

#[tokio::test]
async fn an_nmi_of_a_paused_machine_waits() {
    let double = Double::qemu("paused");
    let warning = "the virtual machine is paused: the NMI takes effect when it is continued";
    assert_eq!(check(&patient(&double.path)).await, Ok(vec![warning.to_owned()]));
    let done = trigger(&patient(&double.path)).await.expect("is done");
    assert_eq!(done.note, warning);
    assert!(double.commands().contains(&"inject-nmi".to_owned()));
}

#[tokio::test]
async fn a_machine_in_another_state_gets_no_nmi() {
    for status in [
        "shutdown",
        "guest-panicked",
        "prelaunch",
        "inmigrate",
        "postmigrate",
        "internal-error",
        "io-error",
        "suspended",
        "watchdog",
        "a state\\u0007 of the future",
    ] {
        let double = Double::qemu(status);
        let shown = status.replace("\\u0007", "\\x07");
        let why = format!("the virtual machine is {shown}; only a running one takes an NMI");
        assert_eq!(not_now(check(&patient(&double.path)).await), why);
        let error = trigger(&patient(&double.path)).await.expect_err("is refused");
        assert!(!error.is_unknown, "{status}");
        assert!(!double.commands().contains(&"inject-nmi".to_owned()), "{status}");
    }
}

#[tokio::test]
async fn a_socket_without_a_listener_is_not_supported() {
    let (_folder, path) = place();
    let why = unsupported(check(&patient(&path)).await);
    let begin = format!("QEMU does not listen at {}: No such file", path.display());
    assert!(why.starts_with(&begin), "{why}");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
    let why = unsupported(check(&patient(&path)).await);
    assert!(why.contains(": Connection refused (os error 111); nothing listens there"), "{why}");
    let error = trigger(&patient(&path)).await.expect_err("fails");
    assert!(!error.is_unknown && error.why == why, "{error:?}");
    let long = path.with_file_name("x".repeat(200)).join("vm1.qmp");
    let why = unsupported(check(&patient(&long)).await);
    assert!(why.contains("path must be shorter than"), "{why}");
    let none = target(DumpDriver::Qemu, CrashDumpSettings::default());
    assert_eq!(unsupported(check(&none).await), "no QMP socket is configured");
}

#[tokio::test]
async fn a_monitor_with_another_client_is_told_as_such() {
    let (_folder, path) = place();
    let listener = UnixSocket::new_stream().expect("a socket");
    listener.bind(&path).expect("binds");
    let listener = listener.listen(0).expect("listens");
    let held = format!("the monitor at {} is held by another client", path.display());
    let why = not_now(check(&impatient(&path)).await);
    assert!(why.starts_with(&held), "silent: {why}");
    let error = trigger(&impatient(&path)).await.expect_err("fails");
    assert!(error.why.starts_with(&held) && !error.is_unknown, "{error:?}");
    // Those that left wait in the queue as well.
    let mut waiting = Vec::new();
    for _ in 0..1_000 {
        match UnixStream::connect(&path).await {
            Ok(stream) => waiting.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                // At once, not after a silence.
                let why = not_now(check(&patient(&path)).await);
                assert!(why.starts_with(&held), "full: {why}");
                drop(listener);
                return;
            }
        }
    }
    panic!("the queue never gets full");
}

#[tokio::test]
async fn it_is_unknown_what_happened_only_after_the_nmi_was_sent() {
    for act in [Act::Close, Act::Hang] {
        for (dies_at, is_unknown) in [
            ("greeting", false),
            ("qmp_capabilities", false),
            ("query-status", false),
            ("inject-nmi", true),
        ] {
            let greeting = if dies_at == "greeting" { act.clone() } else { say(GREETING) };
            let acting = act.clone();
            let double = Double::new(greeting, move |command, id| {
                if command == dies_at { acting.clone() } else { answer("running", command, id) }
            });
            let error = trigger(&impatient(&double.path)).await.expect_err("fails");
            assert_eq!(error.is_unknown, is_unknown, "{act:?} at {dies_at}: {}", error.why);
            let words = match (&act, dies_at) {
                (Act::Hang, "greeting") => "is held by another client",
                (Act::Hang, step) => &format!("QEMU does not answer {step} within "),
                _ => "QEMU closed the connection",
            };
            assert!(error.why.contains(words), "{act:?} at {dies_at}: {}", error.why);
            if dies_at != "inject-nmi" {
                let why = not_now(check(&impatient(&double.path)).await);
                assert!(why.contains(words), "{act:?} at {dies_at}: {why}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_qemu() {
    let refused = |id: String| {
        Double::new(say(GREETING), move |command, own| match command {
            "inject-nmi" => {
                let id = id.replace("OWN", &own.to_string());
                Act::Say(format!(
                    "{{\"error\":{{\"class\":\"GenericError\",\"desc\":\"no \\u001b[31mNMI{}\"}}{id}}}\n",
                    "!".repeat(5_000)
                ))
            }
            _ => answer("running", command, own),
        })
    };
    for id in [",\"id\":OWN", ""] {
        let double = refused(id.to_owned());
        let error = trigger(&patient(&double.path)).await.expect_err("is refused");
        assert!(!error.is_unknown, "{error:?}");
        let begin = "QEMU refuses inject-nmi: no \\x1b[31mNMI!!!";
        assert!(error.why.starts_with(begin) && error.why.len() < 400, "{}", error.why);
    }
    let double = Double::new(say(GREETING), |_, id| {
        Act::Say(format!("{{\"error\":{{\"class\":\"CommandNotFound\"}},\"id\":{id}}}\n"))
    });
    let why = unsupported(check(&patient(&double.path)).await);
    assert_eq!(why, "QEMU refuses qmp_capabilities: it gives no reason");
}

#[tokio::test]
async fn what_speaks_no_qmp_is_recognised() {
    let deep = format!("{}\n", "[".repeat(60_000));
    let endless = "x".repeat(70_000);
    for (text, words) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "it sends `SSH-2.0-OpenSSH_9.2p1"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "it sends `HTTP/1.1 400"),
        ("\u{1b}]0;title\u{7}\n", "it sends `\\x1b]0;title\\x07"),
        ("[]\n", "it sends `[]"),
        ("null\n", "it sends `null"),
        ("{\"QMP\":\n", "it sends `{"),
        ("{}\n", "it does not greet"),
        ("{\"QMP\":null}\n", "it does not greet"),
        (EVENT, "it does not greet"),
        (&deep, "it sends `[[["),
        (&endless, "it sends a line of more than 64 KiB"),
    ] {
        let double = Double::new(say(text), |_, _| Act::Close);
        let why = unsupported(check(&patient(&double.path)).await);
        let begin = format!("what listens at {} is not QEMU's monitor: ", double.path.display());
        assert!(why.starts_with(&begin) && why[begin.len()..].starts_with(words), "{why}");
        assert!(why.len() < 700, "{why}");
    }
}

#[tokio::test]
async fn megabytes_of_events_end_the_conversation() {
    let double = Double::new(say(GREETING), |command, id| match command {
        "query-status" => Act::Say(EVENT.repeat((2 << 20) / EVENT.len())),
        _ => answer("running", command, id),
    });
    let why = unsupported(check(&patient(&double.path)).await);
    assert!(why.ends_with("it sends more than 1 MiB"), "{why}");
    let double = Double::new(say(GREETING), |command, id| match command {
        "inject-nmi" => Act::Say(EVENT.repeat((2 << 20) / EVENT.len())),
        _ => answer("running", command, id),
    });
    let error = trigger(&patient(&double.path)).await.expect_err("fails");
    assert!(error.is_unknown && error.why.ends_with("it sends more than 1 MiB"), "{error:?}");
}

#[tokio::test]
async fn answers_without_what_was_asked_are_no_answers() {
    for (result, words) in [
        ("{}", "it tells no status"),
        ("{\"status\":7}", "it tells no status"),
        ("[]", "it tells no status"),
        ("{\"status\":\"\"}", "the virtual machine is ;"),
    ] {
        let double = Double::new(say(GREETING), move |command, id| match command {
            "query-status" => Act::Say(format!("{{\"return\":{result},\"id\":{id}}}\n")),
            _ => answer("running", command, id),
        });
        let error = check(&patient(&double.path)).await.expect_err("is no answer");
        assert!(error.to_string().contains(words), "{error}");
    }
}
