//! Tests which session counts, and what becomes of a command.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::contract::proto::CommandResult;
use crate::grid::model::crash_dump::CrashDumpSettings;
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::id::ApplianceName;

const DB1: ApplianceIndex = ApplianceIndex(1);

fn boot(number: u128) -> BootId {
    BootId(Uuid::from_u128(number))
}

fn target(of_boot: u128) -> DumpTarget {
    DumpTarget {
        name: ApplianceName::new("db1").expect("a name"),
        uuid: Uuid::from_u128(1),
        index: DB1,
        boot: Some(boot(of_boot)),
        driver: DumpDriver::Agent,
        settings: Arc::new(CrashDumpSettings {
            timeout: Duration::from_secs(30),
            ..CrashDumpSettings::default()
        }),
    }
}

fn hello(session: u64, of_boot: u128) -> AgentHello {
    AgentHello {
        appliance: DB1,
        boot: boot(of_boot),
        session: SessionId(session),
        is_transient: false,
        is_permitted: true,
        readiness: None,
        broker_time: Timestamp::EPOCH,
    }
}

fn loaded(crash_kernel_loaded: bool) -> Readiness {
    Readiness { crash_kernel_loaded, ..Readiness::default() }
}

fn result(id: Uuid, is_done: bool, text: &str) -> CommandResult {
    CommandResult { command_id: id.to_string(), done: is_done, text: text.to_owned() }
}

/// Sends the command, as a session that has room does.
async fn sent(link: &mut AgentLink) -> Uuid {
    let command = link.next_command().await;
    link.begin(command).expect("somebody waits").id
}

#[test]
fn only_a_session_of_the_current_boot_with_leave_counts() {
    let agents = Agents::default();
    assert_eq!(agents.check(&target(1)), Err(AgentMissing::NoSession));
    let transient = agents.join(AgentHello { is_transient: true, ..hello(1, 1) });
    assert_eq!(agents.check(&target(1)), Err(AgentMissing::NoSession));
    let plain = agents.join(AgentHello { is_permitted: false, ..hello(2, 1) });
    assert_eq!(agents.check(&target(1)), Err(AgentMissing::NotPermitted));
    let permitted = agents.join(hello(3, 1));
    assert_eq!(agents.check(&target(1)), Ok(()));
    assert_eq!(agents.check(&target(2)), Err(AgentMissing::NoSession), "another boot");
    let unknown = DumpTarget { boot: None, ..target(1) };
    assert_eq!(agents.check(&unknown), Err(AgentMissing::NoSession), "no boot");
    let other = DumpTarget { index: ApplianceIndex(2), ..target(1) };
    assert_eq!(agents.check(&other), Err(AgentMissing::NoSession), "another appliance");
    drop(permitted);
    assert_eq!(agents.check(&target(1)), Err(AgentMissing::NotPermitted));
    drop((plain, transient));
    assert_eq!(agents.check(&target(1)), Err(AgentMissing::NoSession));
}

#[test]
fn what_was_told_outlives_the_session_until_the_next_boot_tells() {
    let agents = Agents::default();
    let first = agents.join(AgentHello { readiness: Some(loaded(false)), ..hello(1, 1) });
    assert_eq!(agents.readiness(DB1, Some(boot(1))), Some(loaded(false)));
    assert_eq!(agents.readiness(DB1, Some(boot(2))), None);
    assert_eq!(agents.readiness(DB1, None), None);
    first.set_readiness(loaded(true).into());
    assert_eq!(agents.readiness(DB1, Some(boot(1))), Some(loaded(true)));
    drop(first);
    assert_eq!(agents.readiness(DB1, Some(boot(1))), Some(loaded(true)));

    let old = agents.join(hello(2, 1));
    let next = agents.join(AgentHello { readiness: Some(loaded(false)), ..hello(3, 2) });
    assert_eq!(agents.readiness(DB1, Some(boot(2))), Some(loaded(false)));
    // A session that is left over from the boot before.
    old.set_readiness(loaded(true).into());
    drop((old, next));
    assert_eq!(agents.readiness(DB1, Some(boot(2))), Some(loaded(false)));
}

#[test]
fn removed_appliances_are_forgotten_in_time() {
    let agents = Agents::default();
    let tell = |number: u32| {
        let appliance = ApplianceIndex(number);
        let session = u64::from(number);
        let hello = AgentHello { appliance, readiness: Some(loaded(true)), ..hello(session, 1) };
        drop(agents.join(hello));
    };
    (1..1_024).for_each(tell);
    assert!(!agents.is_forgetting_due());
    tell(1_024);
    assert!(agents.is_forgetting_due());
    agents.forget(|number| number.0 % 2 == 0);
    assert!(!agents.is_forgetting_due());
    assert_eq!(agents.readiness(ApplianceIndex(3), Some(boot(1))), None);
    assert_eq!(agents.readiness(ApplianceIndex(4), Some(boot(1))), Some(loaded(true)));
    (2_001..2_001 + 512).for_each(tell);
    assert!(agents.is_forgetting_due(), "twice as many as were left");
}

#[tokio::test]
async fn the_result_of_the_agent_answers_the_command() {
    let agents = Agents::default();
    let mut link = agents.join(hello(1, 1));
    for (is_done, text) in [(true, "now"), (false, "not root")] {
        let subject = target(1);
        let (answer, ()) = tokio::join!(agents.crash(&subject), async {
            let id = sent(&mut link).await;
            assert_eq!(link.take_unconfirmed(), None);
            link.resolve(&result(id, is_done, text));
            assert_eq!((link.take_unconfirmed(), link.take_unconfirmed()), (Some(id), None));
        });
        match answer {
            Ok(said) => assert!(is_done && said == text, "{said}"),
            Err(AgentFailure { why, is_unknown }) => {
                assert!(!is_done && !is_unknown);
                assert_eq!(why, "its agent refused: not root");
            }
        }
    }
}

#[tokio::test]
async fn foreign_further_and_long_results_change_nothing() {
    let agents = Agents::default();
    let mut link = agents.join(hello(1, 1));
    let subject = target(1);
    let (answer, ()) = tokio::join!(agents.crash(&subject), async {
        let id = sent(&mut link).await;
        for foreign in ["", "no id", "6f2c4a52-5f0a-4f0e-9d0c-3f7a1b9a8e11"] {
            let command_id = foreign.to_owned();
            link.resolve(&CommandResult { command_id, done: true, text: String::new() });
            assert_eq!(link.take_unconfirmed(), None, "{foreign}");
        }
        // One byte before the limit begins a character of three.
        link.resolve(&result(id, true, &format!("{}{}", "x".repeat(1_023), "\u{20ac}".repeat(9))));
        link.resolve(&result(id, false, "second"));
    });
    assert_eq!(answer, Ok("x".repeat(1_023)));
    link.resolve(&result(Uuid::from_u128(3), true, "none is pending"));
    assert!(link.take_unconfirmed().is_some(), "that of the first result");
    assert_eq!(link.take_unconfirmed(), None);
}

#[tokio::test]
async fn an_ended_session_failed_before_the_command_was_sent_and_is_unknown_after() {
    let agents = Agents::default();
    for is_sent in [false, true] {
        let mut link = agents.join(hello(1, 1));
        let subject = target(1);
        let (answer, ()) = tokio::join!(agents.crash(&subject), async move {
            if is_sent {
                sent(&mut link).await;
            } else {
                tokio::task::yield_now().await;
            }
            drop(link);
        });
        assert_eq!(answer.map_err(|it| it.is_unknown), Err(is_sent));
    }
}

#[tokio::test]
async fn an_agent_that_does_not_read_or_answer_holds_up_nobody() {
    let agents = Agents::default();
    let mut link = agents.join(hello(1, 1));
    let settings = CrashDumpSettings { timeout: Duration::from_millis(50), ..Default::default() };
    let impatient = DumpTarget { settings: Arc::new(settings), ..target(1) };
    // Its session waits for it to read, so it takes no command from the queue.
    let failure = agents.crash(&impatient).await.expect_err("it does not read");
    assert!(!failure.is_unknown && failure.why.contains("did not read"), "{failure}");
    let failure = agents.crash(&impatient).await.expect_err("the queue is full");
    assert!(!failure.is_unknown && failure.why.contains("another command"), "{failure}");
    // When it reads at last, the command is not sent any more.
    let command = link.next_command().await;
    assert_eq!(link.begin(command), None);

    let (answer, id) = tokio::join!(agents.crash(&impatient), sent(&mut link));
    let failure = answer.expect_err("it does not answer");
    assert!(failure.is_unknown && failure.why.contains("did not answer"), "{failure}");
    link.resolve(&result(id, true, "late"));
    assert_eq!(link.take_unconfirmed(), None);
}

#[tokio::test]
async fn the_deadline_is_by_the_broker_time_of_the_welcome() {
    let agents = Agents::default();
    let mut link = agents.join(hello(1, 1));
    let subject = target(1);
    let (answer, deadline) = tokio::join!(agents.crash(&subject), async {
        let command = link.next_command().await;
        let CommandToSend { id, deadline } = link.begin(command).expect("somebody waits");
        link.resolve(&result(id, true, ""));
        deadline
    });
    assert!(answer.is_ok());
    // Nine tenths of 30 s after now, which is soon after the welcome at the epoch.
    let since = deadline.since(Timestamp::EPOCH);
    assert!((27..57).contains(&since.as_secs()), "{since:?}");
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_not_sent() {
    let agents = Agents::default();
    let mut link = agents.join(hello(1, 1));
    {
        let subject = target(1);
        let asking = agents.crash(&subject);
        tokio::pin!(asking);
        assert!(futures_poll_once(asking.as_mut()).await.is_none());
    }
    let command = link.next_command().await;
    assert_eq!(link.begin(command), None);
}

/// Polls it once.
async fn futures_poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
