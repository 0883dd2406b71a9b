//! Tells the broker of crash dumps that the agent finds, through its spool.
//!
//! Guarantees that a dump counts as reported only when the spool has its event, so none is lost; one that
//! is reported again after a crash of the agent has the same id of a call, by which the spool knows it.
//! A disk that hangs delays nothing else.

use grid_broker::clock::{machine_uptime, monotonic_now, wall_now};
use grid_broker::contract::encode_timestamp;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Alert, Event, FoundCrashDump, Severity};
use grid_broker::grid::values::crash_dump::DUMP_PATH_BYTES_MAX;
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::grid::values::time::describe_duration;
use grid_broker::show::escape::escape;
use grid_broker::tasks;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::boot::BootIdentity;
use crate::config::ClientConfig;
use crate::crash_dump::CrashDumpConfig;
use crate::crash_dump::finder::Finder;
use crate::crash_dump::open_folder::TrustedOwners;
use crate::crash_dump::survey::DumpFile;
use crate::print_line;
use crate::sender::{SendRequest, SendUpdate};

/// The group key of the alerts.
const ALERT_KEY: &str = "crash-dump";

/// Updates that wait for us; we read the first.
const UPDATES: usize = 2;

/// Looks for dumps as long as the agent lives. Never returns.
pub(crate) async fn keep_looking(
    config: &ClientConfig,
    crash_dumps: &CrashDumpConfig,
    requests: mpsc::Sender<SendRequest>,
) {
    let Some(folder) = crash_dumps.folder.clone() else { return std::future::pending().await };
    let boot_began = wall_now().before(machine_uptime());
    let trusted = TrustedOwners::of_process();
    let mut finder = Finder::new(folder, &config.state_folder, trusted, boot_began);
    loop {
        let looked = aside(finder, |finder| finder.look(monotonic_now())).await;
        let look;
        (finder, look) = match looked {
            Ok(looked) => looked,
            Err(why) => break stopped(&why).await,
        };
        look.lines.iter().for_each(|line| print_line(&escape(line)));
        if !look.news.is_empty() {
            tell_all(config, &requests, &mut finder, &look.news).await;
            let problem;
            (finder, problem) = match aside(finder, Finder::save).await {
                Ok(saved) => saved,
                Err(why) => break stopped(&why).await,
            };
            if let Some(problem) = problem.filter(|problem| finder.is_new_problem(problem)) {
                print_line(&problem);
            }
        }
        sleep(look.pause).await;
    }
}

/// Never returns.
async fn stopped(why: &str) {
    print_line(&format!("crash dumps are not looked for any more: {why}"));
    std::future::pending().await
}

/// Works on a thread of its own: nobody waits for a disk that hangs, and an agent that ends neither.
async fn aside<T: Send + 'static>(
    mut finder: Finder,
    work: impl FnOnce(&mut Finder) -> T + Send + 'static,
) -> Result<(Finder, T), String> {
    let (reply, answer) = oneshot::channel();
    let started = tasks::spawn_thread("crash dumps", move || {
        let done = work(&mut finder);
        // An agent that ends needs no answer.
        let _ = reply.send((finder, done));
    });
    started.map_err(|error| format!("no thread: {error}"))?;
    answer.await.map_err(|_| "the search failed".to_owned())
}

/// Tells one after the other; the rest is found again.
async fn tell_all(
    config: &ClientConfig,
    requests: &mpsc::Sender<SendRequest>,
    finder: &mut Finder,
    news: &[(DumpFile, String)],
) {
    for (dump, words) in news {
        let event = event(&config.boot, dump, words);
        let text = event.text.clone();
        match tell(requests, event, dump).await {
            Ok(()) => {
                print_line(&escape(&format!("reported: {text}")));
                finder.note_reported(dump);
            }
            Err(why) => {
                let problem = format!("{} is not reported yet: {why}", dump.path.display());
                if finder.is_new_problem(&problem) {
                    print_line(&escape(&problem));
                }
                return;
            }
        }
    }
}

/// Appends the dump's event to the spool.
async fn tell(
    requests: &mpsc::Sender<SendRequest>,
    event: Event,
    dump: &DumpFile,
) -> Result<(), String> {
    let (updates, mut reported) = mpsc::channel(UPDATES);
    let call = dump.key().as_u64_pair().1;
    let ended = || "the agent ends".to_owned();
    requests.send(SendRequest { event, call, updates }).await.map_err(|_| ended())?;
    match reported.recv().await {
        Some(SendUpdate::Spooled(_) | SendUpdate::Acknowledged(_)) => Ok(()),
        Some(SendUpdate::NotSpooled(why) | SendUpdate::Quarantined(why)) => Err(why),
        None => Err(ended()),
    }
}

/// The event that tells of the dump.
fn event(boot: &BootIdentity, dump: &DumpFile, words: &str) -> Event {
    let mut path = dump.path.to_string_lossy().into_owned();
    path.truncate(path.floor_char_boundary(DUMP_PATH_BYTES_MAX));
    let what = if dump.is_incomplete { "incomplete crash dump" } else { "crash dump" };
    let mut text = format!("{what} {path}, {}", describe_bytes(dump.state.bytes));
    if let Some(took) = dump.took {
        text.push_str(&format!(", written in {}", describe_duration(took)));
    }
    if !words.is_empty() {
        text.push_str(&format!(": {words}"));
    }
    // As of an alert of a call: a weak id is left to the session.
    let boot_id = boot.id(false).ok().and_then(|(id, _)| id);
    let took_ms = dump.took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    Event {
        kind: Some(Kind::Alert(Alert::default())),
        text,
        severity: Severity::Error.into(),
        boot_id: boot_id.map_or_else(String::new, |id| id.to_string()),
        uptime_ms: boot.uptime_ms(),
        event_time: Some(encode_timestamp(wall_now())),
        alert_key: ALERT_KEY.to_owned(),
        crash_dump: Some(FoundCrashDump {
            path,
            bytes: dump.state.bytes,
            incomplete: dump.is_incomplete,
            last_words: words.to_owned(),
            took_ms,
            written_at: Some(encode_timestamp(dump.state.modified)),
        }),
        ..Event::default()
    }
}
