//! What does TLS cost a fleet? Handshakes per second, memory per session, and events per second, each
//! compared with connections without TLS, in one run.
//!
//! ```text
//! cargo bench --bench tls_sessions -- target/release/gridd [SESSIONS]
//! ```
//!
//! Starts two brokers, one with TLS and one without, both with tokens. Opens so many sessions (2,000 by
//! default), each on a connection of its own with a certificate where there is TLS; then sends events on
//! a few of them. Client and broker share the machine, so the figures are of both; the ratios count.
//! Asserts nothing.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

#[path = "../tests/identity/broker.rs"]
mod broker;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use grid_broker::client::{BrokerChannel, ClientCredential, TokenText};
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_request::Message as Request;
use grid_broker::contract::proto::session_response::Message as Response;
use grid_broker::contract::proto::{Hello, Log, SessionRequest, SessionResponse};
use grid_broker::identity::key::IdentityKey;
use grid_broker::identity::pem::certificate_to_pem;
use grid_broker::tasks;
use tokio::sync::mpsc;
use tonic::Streaming;

use broker::Broker;
use support::{Hellos, event};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sessions that connect at the same time.
const CONNECTING: usize = 32;

/// Sessions that send events at the same time.
const SPEAKERS: usize = 8;

/// How long they send.
const LASTS: Duration = Duration::from_secs(5);

/// Events of one session that may wait for their acknowledgement.
const WINDOW: u64 = 1_024;

const CONFIG: &str = "tracing = \"warn\"\n[class.default]\nbudget = \"unlimited\"\n";

/// An open session.
struct Session {
    sender: mpsc::Sender<SessionRequest>,
    replies: Streaming<SessionResponse>,
}

/// The figures of one broker.
struct Figures {
    sessions_per_second: f64,
    bytes_per_session: f64,
    events_per_second: f64,
}

fn main() -> Result<(), Failure> {
    let words: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let Some(program) = words.first() else {
        println!("usage: cargo bench --bench tls_sessions -- GRIDD [SESSIONS]");
        return Ok(());
    };
    let count = words.get(1).map_or(Ok(2_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut all = Vec::new();
    for has_tls in [false, true] {
        let figures = runtime.block_on(measure(program, has_tls, count))?;
        println!(
            "{}  {count} sessions: {:>6.0} opened/s  {:>6.1} KiB each in gridd  {:>8.0} events/s",
            if has_tls { "TLS  " } else { "plain" },
            figures.sessions_per_second,
            figures.bytes_per_session / 1_024.0,
            figures.events_per_second,
        );
        all.push(figures);
    }
    let [plain, tls] = &all[..] else { return Ok(()) };
    println!(
        "TLS to plain: opening {:.2}, memory {:.2}, events {:.2}",
        tls.sessions_per_second / plain.sessions_per_second,
        tls.bytes_per_session / plain.bytes_per_session,
        tls.events_per_second / plain.events_per_second,
    );
    Ok(())
}

async fn measure(program: &str, has_tls: bool, count: usize) -> Result<Figures, Failure> {
    let broker = Broker::of_program(std::path::absolute(program)?, CONFIG, has_tls).await;
    let credentials = credentials(&broker, has_tls, count).await?;
    let before = resident_bytes(broker.gridd.pid())?;
    let began = monotonic_now();
    let mut sessions = Vec::with_capacity(count);
    for (at, some) in credentials.chunks(CONNECTING).enumerate() {
        let opening: Vec<_> = some
            .iter()
            .enumerate()
            .map(|(within, credential)| {
                let options = broker.options(credential.clone());
                let number = at * CONNECTING + within;
                tasks::spawn("opening", async move { open(options.connect().await?, number).await })
            })
            .collect();
        for session in opening {
            sessions.push(session.await??);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (taken, opened) = (began.elapsed().as_secs_f64(), count as f64);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let grown = resident_bytes(broker.gridd.pid())?.saturating_sub(before) as f64;
    let until = monotonic_now() + LASTS;
    let quiet = sessions.split_off(SPEAKERS.min(sessions.len()));
    let speaking: Vec<_> = sessions
        .into_iter()
        .map(|session| tasks::spawn("speaker", speak(session, until)))
        .collect();
    let mut acknowledged = 0;
    for speaker in speaking {
        acknowledged += speaker.await??;
    }
    drop(quiet);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let events_per_second = acknowledged as f64 / LASTS.as_secs_f64();
    Ok(Figures {
        sessions_per_second: opened / taken,
        bytes_per_session: grown / opened,
        events_per_second,
    })
}

/// A credential for each session: certificates by one enrolment token for all, or access tokens.
async fn credentials(
    broker: &Broker,
    has_tls: bool,
    count: usize,
) -> Result<Vec<ClientCredential>, Failure> {
    if !has_tls {
        let mut tokens = Vec::with_capacity(count);
        for number in 0..count {
            let token: TokenText = broker.appliance(&format!("bench-{number}")).await;
            tokens.push(ClientCredential::Token(token));
        }
        return Ok(tokens);
    }
    let pattern = proto::enrolment_terms::Subject::NamePattern("bench-*".to_owned());
    let terms = proto::EnrolmentTerms {
        subject: Some(pattern),
        count: u32::try_from(count)?,
        ..Default::default()
    };
    let subject = proto::create_token_request::Subject::Enrolment(terms);
    let token = broker.create_token(subject, None).await;
    let mut strangers = broker.identity(ClientCredential::None).await;
    let mut certificates = Vec::with_capacity(count);
    for number in 0..count {
        let key = IdentityKey::generate()?;
        let request = proto::EnrolRequest {
            token: token.expose().to_owned(),
            certificate_request: key.certificate_request()?,
            name: format!("bench-{number}"),
        };
        let reply = strangers.enrol(request).await?.into_inner();
        let issued = reply.certificate.ok_or("no certificate")?;
        let [key_file, file] =
            ["key", "pem"].map(|ext| broker.gridd.path(&format!("bench-{number}.{ext}")));
        key.write(&key_file)?;
        std::fs::write(&file, certificate_to_pem(&issued.certificate))?;
        certificates.push(ClientCredential::Certificate { certificate: file, key: key_file });
    }
    Ok(certificates)
}

async fn open(channel: BrokerChannel, number: usize) -> Result<Session, Failure> {
    let mut client = proto::event_service_client::EventServiceClient::new(channel);
    let (sender, requests) = mpsc::channel(2 * usize::try_from(WINDOW)?);
    let hello = Hello {
        boot_id: uuid::Uuid::from_u128(number as u128 + 1).to_string(),
        ..Hellos::of(0, number as u64 + 1)
    };
    sender.send(SessionRequest { message: Some(Request::Hello(hello)) }).await?;
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut replies = client.session(requests).await?.into_inner();
    match replies.message().await? {
        Some(SessionResponse { message: Some(Response::Welcome(_)) }) => {}
        other => return Err(format!("no welcome, but {other:?}").into()),
    }
    Ok(Session { sender, replies })
}

/// Sends events until then; gives how many were acknowledged.
async fn speak(session: Session, until: tokio::time::Instant) -> Result<u64, Failure> {
    let Session { sender, mut replies } = session;
    let (mut sent, mut acknowledged) = (0, 0);
    while monotonic_now() < until {
        while sent - acknowledged < WINDOW {
            sent += 1;
            let text = format!("SSL certificate {sent} loaded OK");
            let message = Some(Request::Event(event(Kind::Log(Log {}), sent, &text)));
            sender.send(SessionRequest { message }).await?;
        }
        match replies.message().await? {
            Some(SessionResponse { message: Some(Response::Ack(ack)) }) => {
                acknowledged = ack.through;
            }
            Some(_) => {}
            None => return Err("the session ended".into()),
        }
    }
    Ok(acknowledged)
}

fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kib.parse::<u64>()? * 1_024)
}
