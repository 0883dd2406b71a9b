//! The driver `qemu`: injects an NMI by QMP, on a Unix socket of QEMU.
//!
//! ```text
//! connect -> greeting -> qmp_capabilities -> query-status -> inject-nmi
//! ```
//!
//! QEMU accepts `inject-nmi` in every state, so the state is asked first. Guarantees that what the peer
//! sends is bounded in length and in time, and that the state `unknown` is reported when the peer
//! falls silent after the NMI was sent. Does not know whether the guest is armed: nothing tells it.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{CheckError, PAUSED, TriggerError, Triggered, quote};
use crate::crash_dump::DumpTarget;
use crate::system_error::Explained;

/// Longest message of QEMU, in bytes; its answers to our commands have fewer than 200.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Most bytes that QEMU sends in one conversation: events, mostly.
const CONVERSATION_BYTES_MAX: usize = 1 << 20;

/// How long QEMU may take to greet. It does so in milliseconds, unless another client is there.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

/// How long QEMU may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum MonitorError {
    /// Nobody listens at the socket.
    #[error("QEMU does not listen at {path}: {}", Explained(source))]
    NoSocket {
        /// The socket.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Another client is connected.
    #[error("the monitor at {path} is held by another client: QEMU serves one at a time")]
    Held {
        /// The socket.
        path: String,
    },
    /// What answers is no QEMU.
    #[error("what listens at {path} is not QEMU's monitor: {why}")]
    NotQmp {
        /// The socket.
        path: String,
        /// What it sent.
        why: String,
    },
    /// The connection broke.
    #[error("QEMU closed the connection{}", source.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Closed {
        /// The error of the system; `None`: an orderly end.
        source: Option<io::Error>,
    },
    /// No answer in time.
    #[error("QEMU does not answer {command} within {} s", waited.as_secs_f32())]
    Silent {
        /// The command.
        command: &'static str,
        /// How long that is.
        waited: Duration,
    },
    /// QEMU refuses a command.
    #[error("QEMU refuses {command}: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Its own words.
        reason: String,
    },
    /// Neither running nor paused.
    #[error("the virtual machine is {status}; only a running one takes an NMI")]
    Status {
        /// The state, as QEMU calls it.
        status: String,
    },
}

impl From<MonitorError> for CheckError {
    fn from(error: MonitorError) -> Self {
        let why = error.to_string();
        match error {
            MonitorError::NoSocket { .. }
            | MonitorError::NotQmp { .. }
            | MonitorError::Refused { .. } => Self::Unsupported(why),
            MonitorError::Held { .. }
            | MonitorError::Closed { .. }
            | MonitorError::Silent { .. }
            | MonitorError::Status { .. } => Self::NotNow(why),
        }
    }
}

/// One message of QEMU.
#[derive(Debug, Deserialize)]
struct QmpMessage {
    #[serde(rename = "QMP")]
    greeting: Option<serde::de::IgnoredAny>,
    #[serde(rename = "return")]
    result: Option<serde_json::Value>,
    error: Option<QmpRefusal>,
    id: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct QmpRefusal {
    desc: Option<String>,
}

/// A conversation with QEMU's monitor.
#[derive(Debug)]
struct Monitor {
    path: String,
    stream: BufReader<UnixStream>,
    /// How much QEMU may still send.
    bytes_left: usize,
    last_id: u64,
    /// How long it may take to answer a question.
    limit: Duration,
}

impl Monitor {
    /// Connects, and waits for the greeting.
    async fn connect(path: String, limit: Duration) -> Result<Self, MonitorError> {
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => BufReader::new(stream),
            // The queue of clients that wait is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(MonitorError::Held { path });
            }
            Err(source) => return Err(MonitorError::NoSocket { path, source }),
        };
        let mut monitor = Self {
            path,
            stream,
            bytes_left: CONVERSATION_BYTES_MAX,
            last_id: 0,
            limit: ANSWER_TIMEOUT.min(limit),
        };
        // A client beside another one hears nothing.
        let waited = GREETING_TIMEOUT.min(limit);
        let Ok(message) = tokio::time::timeout(waited, monitor.read()).await else {
            return Err(MonitorError::Held { path: monitor.path });
        };
        if message?.greeting.is_none() {
            return Err(monitor.not_qmp("it does not greet"));
        }
        monitor.ask("qmp_capabilities").await?;
        Ok(monitor)
    }

    /// Connects, and asks for the state. Returns the warning of a paused machine.
    async fn ready(
        path: String,
        limit: Duration,
    ) -> Result<(Self, Option<&'static str>), MonitorError> {
        let mut monitor = Self::connect(path, limit).await?;
        let status = monitor.ask("query-status").await?;
        match status.get("status").and_then(serde_json::Value::as_str) {
            Some("running") => Ok((monitor, None)),
            Some("paused") => Ok((monitor, Some(PAUSED))),
            Some(other) => Err(MonitorError::Status { status: quote(other) }),
            None => Err(monitor.not_qmp("it tells no status")),
        }
    }

    async fn ask(&mut self, command: &'static str) -> Result<serde_json::Value, MonitorError> {
        let waited = self.limit;
        let asked = async {
            self.send(command).await?;
            self.answer(command).await
        };
        let answer = tokio::time::timeout(waited, asked).await;
        answer.unwrap_or(Err(MonitorError::Silent { command, waited }))
    }

    async fn send(&mut self, command: &'static str) -> Result<(), MonitorError> {
        self.last_id += 1;
        let line = format!("{{\"execute\":\"{command}\",\"id\":{}}}\n", self.last_id);
        let sent = self.stream.get_mut().write_all(line.as_bytes()).await;
        sent.map_err(|source| MonitorError::Closed { source: Some(source) })
    }

    /// The answer to the last command; what comes before it is skipped.
    async fn answer(&mut self, command: &'static str) -> Result<serde_json::Value, MonitorError> {
        loop {
            let message = self.read().await?;
            let is_ours = message.id.as_ref().is_none_or(|id| *id == self.last_id);
            match message {
                // QEMU refuses without an id what it cannot read.
                QmpMessage { error: Some(QmpRefusal { desc }), .. } if is_ours => {
                    let reason = desc.as_deref().map_or("it gives no reason".into(), quote);
                    return Err(MonitorError::Refused { command, reason });
                }
                QmpMessage { result: Some(result), id: Some(_), .. } if is_ours => {
                    return Ok(result);
                }
                // An event, or the answer to something else.
                QmpMessage { .. } => {}
            }
        }
    }

    async fn read(&mut self) -> Result<QmpMessage, MonitorError> {
        let mut line = Vec::new();
        loop {
            let read = self.stream.fill_buf().await;
            let bytes = read.map_err(|source| MonitorError::Closed { source: Some(source) })?;
            if bytes.is_empty() {
                return Err(MonitorError::Closed { source: None });
            }
            let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(bytes.len());
            line.extend_from_slice(&bytes[..taken]);
            self.stream.consume(taken);
            if line.len() > LINE_BYTES_MAX {
                return Err(self.not_qmp("it sends a line of more than 64 KiB"));
            }
            self.bytes_left = match self.bytes_left.checked_sub(taken) {
                Some(left) => left,
                None => return Err(self.not_qmp("it sends more than 1 MiB")),
            };
            // QEMU writes no empty lines; they are harmless.
            if end.is_some() && !line.trim_ascii().is_empty() {
                break;
            }
        }
        let parsed = serde_json::from_slice(&line);
        parsed.map_err(|_| {
            self.not_qmp(&format!("it sends `{}`", quote(&String::from_utf8_lossy(&line))))
        })
    }

    fn not_qmp(&self, why: &str) -> MonitorError {
        MonitorError::NotQmp { path: self.path.clone(), why: why.to_owned() }
    }
}

/// The path of the socket.
fn socket(target: &DumpTarget) -> Result<String, String> {
    let path = target.expand(&target.settings.socket);
    if path.is_empty() { Err("no QMP socket is configured".to_owned()) } else { Ok(path) }
}

/// How long one step may take: less than all of them, so that the step is named that did not end.
fn step_limit(target: &DumpTarget) -> Duration {
    target.settings.timeout * 3 / 4
}

/// Checks that QEMU answers and the virtual machine runs.
pub(super) async fn check(target: &DumpTarget) -> Result<Vec<String>, CheckError> {
    let path = socket(target).map_err(CheckError::Unsupported)?;
    let (_, warning) = Monitor::ready(path, step_limit(target)).await?;
    Ok(warning
        .map(|warning| format!("the virtual machine is paused: {warning}"))
        .into_iter()
        .collect())
}

/// Injects the NMI.
pub(super) async fn trigger(target: &DumpTarget) -> Result<Triggered, TriggerError> {
    const COMMAND: &str = "inject-nmi";
    let path = socket(target).map_err(TriggerError::refused)?;
    let limit = target.settings.timeout;
    let mut is_sent = false;
    let injected = async {
        let (mut monitor, warning) = Monitor::ready(path, step_limit(target)).await?;
        monitor.send(COMMAND).await?;
        is_sent = true;
        monitor.answer(COMMAND).await?;
        Ok(warning)
    };
    let injected = tokio::time::timeout(limit, injected).await;
    match injected.unwrap_or(Err(MonitorError::Silent { command: COMMAND, waited: limit })) {
        Ok(warning) => {
            let note = warning.map(|warning| format!("the virtual machine is paused: {warning}"));
            Ok(Triggered { note: note.unwrap_or_default(), output: String::new() })
        }
        Err(error) => {
            let is_refused = matches!(error, MonitorError::Refused { .. });
            let is_unknown = is_sent && !is_refused;
            Err(TriggerError { why: error.to_string(), output: String::new(), is_unknown })
        }
    }
}
