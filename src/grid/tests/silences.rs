//! Tests what silences and routes hold back, and what is told at the end of a silence.

use super::driver::*;
use crate::grid::decide::Reply;
use crate::grid::decide::alerts::silence::SilenceRejection;
use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::Effect;
use crate::grid::log::input::Input;
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::model::matcher::Matchers;
use crate::grid::model::notification::NotificationReason;
use crate::grid::model::silence::{Silence, SilenceProblem};
use crate::grid::tests::urgent_mail::{SentMail, alert, deliver_until, grid};
use crate::grid::values::event::Severity;
use crate::grid::values::id::SilenceId;

const HOUR: u64 = 3_600;

pub(super) fn silence(matchers: &str, from: u64, to: u64) -> Box<Silence> {
    Box::new(Silence {
        id: SilenceId(0),
        matchers: Matchers::parse(matchers).expect("valid"),
        starts_at: at(from),
        ends_at: at(to),
        ends_with_alert: false,
        reason: "new disks".into(),
        owner: "".into(),
        created_at: at(0),
        muted: 0,
        reminded_at: None,
    })
}

fn add(timeline: &mut Timeline, silence: Box<Silence>) -> Result<SilenceId, SilenceRejection> {
    let by = "anna".into();
    reply(timeline.handle(Input::Silence(SilenceInput::Add { by, silence })).reply)
}

fn end(timeline: &mut Timeline, id: u64) -> Result<SilenceId, SilenceRejection> {
    let (by, id) = ("anna".into(), SilenceId(id));
    reply(timeline.handle(Input::Silence(SilenceInput::End { by, id })).reply)
}

fn reply(reply: Reply) -> Result<SilenceId, SilenceRejection> {
    let Reply::Silence(reply) = reply else { panic!("no reply about a silence: {reply:?}") };
    reply
}

fn texts(sent: &[SentMail]) -> Vec<(u64, Vec<String>)> {
    let of = |it: &SentMail| it.mail.notices.iter().map(|it| it.text.to_string()).collect();
    sent.iter().map(|it| (it.at, of(it))).collect()
}

#[test]
fn what_a_silence_muted_is_told_once_at_its_end_if_it_is_still_open() {
    let (mut timeline, mut sent) = (grid(2, 30), Vec::new());
    assert_eq!(add(&mut timeline, silence("appliance=db1", 0, 3 * HOUR)), Ok(SilenceId(1)));
    timeline.at(100).store(alert(1, Severity::Fatal, "disk is gone"));
    timeline.store(alert(1, Severity::Error, "fan stands"));
    timeline.store(alert(2, Severity::Error, "fan stands"));
    let mut over = alert(1, Severity::Error, "fan stands");
    over.0.event.is_resolved = true;
    deliver_until(&mut timeline, 1_000, &mut sent);
    timeline.store(over);
    deliver_until(&mut timeline, 2 * HOUR - 1, &mut sent);
    assert_eq!(texts(&sent), [(130, vec!["fan stands".to_owned()])], "that of db2");
    let muted = timeline.grid().state().alerts().silence(SilenceId(1)).expect("known").muted;
    assert_eq!(muted, 2);
    deliver_until(&mut timeline, 4 * HOUR, &mut sent);
    let [_, reminder, last] = &texts(&sent)[..] else { panic!("{:?}", texts(&sent)) };
    assert_eq!(
        reminder.1,
        [
            "silence 1 of anna ends in 1 h, and 1 alert is still open behind it: appliance=db1 (new disks)"
        ]
    );
    assert_eq!(*last, (3 * HOUR + 30, vec!["disk is gone".to_owned()]));
}

#[test]
fn what_was_told_and_becomes_graver_passes_a_silence() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.at(100).store(alert(1, Severity::Warn, "disk is 90 % full"));
    deliver_until(&mut timeline, 200, &mut sent);
    assert!(add(&mut timeline, silence("appliance=db*", 0, 9 * HOUR)).is_ok());
    let alert_of = |timeline: &Timeline| {
        timeline.grid().state().alerts().iter().next().expect("known").clone()
    };
    assert_eq!(alert_of(&timeline).state(), "silenced");
    timeline.receive(alert(1, Severity::Warn, "disk is 91 % full"));
    deliver_until(&mut timeline, 1_000, &mut sent);
    assert_eq!(sent.len(), 1);
    timeline.store(alert(1, Severity::Fatal, "disk is 99 % full"));
    deliver_until(&mut timeline, 1_031, &mut sent);
    assert_eq!(sent.len(), 2);
    let last = timeline.records.iter().flat_map(|it| &it.effects).filter_map(|it| {
        let Effect::Alert(AlertEffect::Decided(trace)) = it else { return None };
        Some(trace.reason)
    });
    let reasons: Vec<_> = last.collect();
    assert_eq!(
        reasons,
        [
            NotificationReason::New,
            NotificationReason::Silenced,
            NotificationReason::Silenced,
            NotificationReason::Graver
        ]
    );
}

#[test]
fn a_silence_that_is_ended_early_lets_through_what_it_held_back() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    assert!(add(&mut timeline, silence("kind=event", 0, 9 * HOUR)).is_ok());
    timeline.at(100).store(alert(1, Severity::Error, "fan stands"));
    deliver_until(&mut timeline, 500, &mut sent);
    assert_eq!(end(&mut timeline, 1), Ok(SilenceId(1)));
    assert_eq!(timeline.description(), "silence 1 ended; it held back 1 notifications");
    deliver_until(&mut timeline, 600, &mut sent);
    assert_eq!(texts(&sent), [(530, vec!["fan stands".to_owned()])]);
    assert_eq!(end(&mut timeline, 1), Err(SilenceRejection::Ended { id: SilenceId(1) }));
    assert_eq!(end(&mut timeline, 2), Err(SilenceRejection::NotFound { id: SilenceId(2) }));
}

#[test]
fn a_silence_ends_with_the_last_alert_that_it_mutes() {
    let mut timeline = grid(1, 30);
    let own = Silence { ends_with_alert: true, ..*silence("appliance=db1", 0, 9 * HOUR) };
    assert!(add(&mut timeline, Box::new(own)).is_ok());
    for text in ["fan stands", "disk is gone"] {
        timeline.at(100).store(alert(1, Severity::Error, text));
    }
    for (text, is_active) in [("fan stands", true), ("disk is gone", false)] {
        let mut over = alert(1, Severity::Error, text);
        over.0.event.is_resolved = true;
        timeline.store(over);
        let silence = timeline.grid().state().alerts().silence(SilenceId(1)).expect("known");
        assert_eq!(silence.is_active(timeline.now), is_active, "{text}");
    }
}

#[test]
fn no_silence_is_added_that_is_none_or_one_too_many() {
    let mut timeline = grid(1, 30);
    timeline.at(100);
    let over = add(&mut timeline, silence("appliance=db1", 0, 50));
    assert_eq!(over, Err(SilenceRejection::Invalid(SilenceProblem::Over)));
    for _ in 0..crate::grid::model::silence::SILENCES_MAX {
        assert!(add(&mut timeline, silence("appliance=db1", 0, HOUR)).is_ok());
    }
    let more = add(&mut timeline, silence("appliance=db1", 0, HOUR));
    assert_eq!(more, Err(SilenceRejection::TooMany));
    timeline.at(40 * 24 * HOUR);
    assert_eq!(timeline.grid().state().alerts().silences().count(), 0);
}
