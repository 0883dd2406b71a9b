//! Generates random actions: events, commands and failures of the broker, in any order.
//!
//! Guarantees nothing about sense: uptimes are wrong, unknown sessions send events, and time jumps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::driver::*;
use super::event_builder::found_dump;
use super::identity::{administrator, key, secret, token_id};
use crate::grid::log::alert_input::AlertCommand;
use crate::grid::log::command::{AdminCommand, DumpOrder, OverrideReset};
use crate::grid::log::crash_dump::DumpResult;
use crate::grid::log::identity::{IdentityCommand, Refusal, SecurityIncident};
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::model::crash_dump::{AutomaticDump, CrashDumpSettings};
use crate::grid::model::identity::{EnrolmentScope, EnrolmentTerms, TokenPurpose};
use crate::grid::model::settings::{
    CertificateRules, ClassSettings, DEFAULT_CLASS, GridSettings, MAIL_TRIGGERS, MailPolicy,
    OnStuck, Overrides, RateLimit, RateLimits,
};
use crate::grid::model::silence::Silence;
use crate::grid::tests::silences::silence;
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::event::{Counter, EventBody, Progress, Severity};
use crate::grid::values::id::{ApplianceIndex, SessionId, SilenceId};
use crate::grid::values::identity::{Role, Serial, Subject};
use crate::grid::values::time::Timestamp;

/// The number of appliances.
pub(super) const APPLIANCES: u32 = 3;

/// A random action.
#[derive(Clone, Debug)]
pub(super) enum SimulatedAction {
    Report(EventBuilder),
    /// The same event once more.
    Resend,
    /// The last event, that often, each with a sequence of its own.
    Flood(u64),
    /// Makes the pending tallies.
    Tally,
    Hello {
        row: ApplianceIndex,
        boot: u128,
        uptime: Option<Duration>,
    },
    /// One of the open sessions ends.
    CloseSession(usize),
    Command(AdminCommand),
    Silence(SilenceInput),
    /// About one of the alerts.
    Alert(usize, AlertCommand),
    /// The driver of the newest crash dump reports.
    DumpReport(ApplianceIndex, DumpResult),
    Identity(IdentityCommand),
    Security(SecurityIncident),
    Wait(Duration),
    /// The clock jumps while the broker works.
    Pause(Duration),
    Restart(Duration, usize),
}

fn limit(burst: u32, every: u64) -> Option<RateLimit> {
    NonZeroU32::new(burst).map(|burst| RateLimit { burst, interval: seconds(every) })
}

/// The rules of one run of the broker: one class stays, the other one changes.
pub(super) fn settings(number: usize) -> GridSettings {
    let rules = ClassSettings::default();
    let quick = ClassSettings {
        boot_timeout: Some(seconds(5)),
        stuck_after: seconds(20),
        on_stuck: OnStuck::Fail,
        ignore_reboots: true,
        lost_contact: seconds(10),
        dump_timeout: seconds(30),
        crash_dump: Arc::new(CrashDumpSettings {
            driver: DumpDriver::Command,
            on_hung: AutomaticDump::Configured,
            on_boot_timeout: AutomaticDump::By(DumpDriver::Qemu),
            ..CrashDumpSettings::default()
        }),
        ..rules.clone()
    };
    let patient = ClassSettings {
        rate_limits: RateLimits {
            lifecycle: limit(5, 20),
            boots: limit(2, 60),
            log: limit(2, 30),
            alert_group: limit(2, 60),
            alert: limit(3, 60),
            counter: limit(1, 10),
            replay: limit(4, 10),
        },
        boot_timeout: None,
        report_interval_max: seconds(3_600),
        hung_waits_for_boot_deadline: true,
        ..rules.clone()
    };
    let waiting = ClassSettings {
        hung_waits_for_boot_deadline: true,
        stuck_after: seconds(30),
        ..rules.clone()
    };
    let unmanaged = ClassSettings { managed: false, ..quick.clone() };
    let other = match number % 4 {
        0 => quick,
        1 => patient,
        2 => unmanaged,
        _ => waiting,
    };
    // Certificates live shorter than a timeline.
    let (lifetime, recover_within) = (seconds(600), Some(seconds(3_600)));
    GridSettings::new([(DEFAULT_CLASS.to_owned(), rules), ("other".to_owned(), other)])
        .with_certificates(CertificateRules { lifetime, recover_within })
        .with_mail((number % 2 == 1).then(|| MailPolicy {
            recipients: vec!["anna@example.org".into()],
            triggers: MAIL_TRIGGERS.into_iter().collect(),
            ..MailPolicy::default()
        }))
}

fn appliances() -> impl Strategy<Value = ApplianceIndex> {
    (1..=APPLIANCES).prop_map(ApplianceIndex)
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => (0u64..100).prop_map(Duration::from_secs),
        4 => (0u64..2_000).prop_map(Duration::from_millis),
        3 => (0u64..4_000).prop_map(Duration::from_secs),
        1 => (0u64..200_000).prop_map(Duration::from_secs),
    ]
}

/// Uptimes, with a few impossible ones.
fn uptimes() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        3 => Just(None),
        4 => durations().prop_map(Some),
        1 => Just(Some(Duration::from_millis(u64::MAX))),
    ]
}

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    prop_oneof![
        3 => Just(None),
        2 => (0u64..1_000).prop_map(|offset| Some(at(offset))),
        1 => prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX)].prop_map(Some),
    ]
}

fn kinds() -> impl Strategy<Value = (EventBody, &'static str)> {
    let texts = prop_oneof![Just(""), Just("a"), Just("b")];
    let promises = prop_oneof![Just(None), durations().prop_map(Some), Just(Some(Duration::MAX))];
    let progress = prop::option::of(1u32..=100);
    let reports = (progress, promises, texts).prop_map(|(progress, within, text)| {
        let progress = progress.and_then(Progress::new);
        (EventBody::Maintenance { progress, next_report_within: within }, text)
    });
    prop_oneof![
        2 => Just((EventBody::StartedOk, "")),
        2 => Just((EventBody::StartFailed, "x")),
        4 => reports,
        1 => Just((EventBody::Log, "l")),
        2 => prop_oneof![Just("a"), Just("a 1"), Just("a 2"), Just("b")]
            .prop_map(|text| (EventBody::Alert { counter: None }, text)),
        1 => prop_oneof![Just(""), Just("high")]
            .prop_map(|text| (EventBody::Alert { counter: Counter::new("n", 1.0) }, text)),
    ]
}

fn events() -> impl Strategy<Value = EventBuilder> {
    let origin =
        (appliances(), 0u128..6, 0u64..3, 0u64..200, prop::option::weighted(0.3, 1u64..20));
    let how = (any::<bool>(), any::<bool>(), uptimes(), times());
    (origin, kinds(), how).prop_map(|(origin, (kind, text), how)| {
        let (row, boot, spool, sequence, session) = origin;
        let (is_spooled, is_repeated, uptime, time) = how;
        let mut said = new_event(boot, kind, text).by(row).numbered(spool, sequence);
        said.0.session = session.map(SessionId);
        said.0.event.spooled_at = (is_spooled && sequence % 3 == 0).then(|| at(0));
        (said.0.event.is_repeated, said.0.event.uptime) = (is_repeated, uptime);
        said.0.event.event_time = time;
        let tells_of_dump =
            matches!(said.0.event.body, EventBody::Alert { .. }) && sequence % 5 == 0;
        said.0.event.crash_dump =
            tells_of_dump.then(|| Box::new(found_dump("/var/crash/1/dump.1")));
        said.0.event.is_resolved =
            matches!(said.0.event.body, EventBody::Alert { .. }) && sequence % 4 == 1;
        if sequence % 7 == 0 {
            said.0.event.severity = Severity::Debug;
        }
        said
    })
}

fn commands() -> impl Strategy<Value = AdminCommand> {
    let overrides = (
        prop::option::of(any::<bool>()),
        prop::option::of((1u64..1_000).prop_map(Duration::from_secs)),
        prop::option::of((1u64..100).prop_map(Duration::from_secs)),
    )
        .prop_map(|(managed, boot_timeout, maintenance_silence)| Overrides {
            managed,
            boot_timeout,
            report_deadline: maintenance_silence,
        });
    let classes = prop_oneof![
        Just(None),
        Just(Some(DEFAULT_CLASS.into())),
        Just(Some("other".into())),
        Just(Some("unknown".into()))
    ];
    let resets =
        (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(managed, boot, silence)| {
            OverrideReset { managed, boot_timeout: boot, maintenance_silence: silence }
        });
    (appliances(), classes, overrides, resets, 0..17, any::<u128>()).prop_map(
        |(row, class, overrides, reset, which, request)| {
            let name = name(row);
            let uuid = uuid::Uuid::from_u128(u128::from(row.0));
            match which {
                0 => AdminCommand::Remove { name },
                1..=3 => AdminCommand::Add { name, uuid, class, overrides },
                4..=5 => AdminCommand::Set { name, class, overrides, reset },
                6..=7 => AdminCommand::StartBoot { name },
                8 => AdminCommand::Stop { name },
                9..=10 => AdminCommand::Unsuppress { name },
                11 => AdminCommand::Lock { name, reason: "r".into(), is_by_admin: row.0 == 1 },
                12 => AdminCommand::Unlock { name, is_by_admin: row.0 == 2 },
                _ => AdminCommand::CrashDump {
                    name,
                    order: DumpOrder {
                        request: uuid::Uuid::from_u128(request),
                        passes_lock: row.0 == 3,
                        ..DumpOrder::default()
                    },
                },
            }
        },
    )
}

fn dump_results() -> impl Strategy<Value = DumpResult> {
    prop_oneof![
        2 => Just(DumpResult::Done),
        1 => Just(DumpResult::Failed),
        1 => Just(DumpResult::Unknown),
    ]
}

/// Owners of credentials: the appliances, and one more name; administrators.
fn owners() -> impl Strategy<Value = Subject> {
    prop_oneof![
        3 => (1..=APPLIANCES + 1).prop_map(|row| Subject::Appliance(name(ApplianceIndex(row)))),
        1 => prop_oneof![Just("ann"), Just("otto")]
            .prop_map(|name| Subject::Administrator(administrator(name))),
    ]
}

fn purposes() -> impl Strategy<Value = TokenPurpose> {
    let scopes = prop_oneof![
        3 => owners().prop_map(EnrolmentScope::One),
        1 => (0u32..3)
            .prop_map(|count| EnrolmentScope::Pattern { pattern: "db*".into(), count }),
    ];
    let classes = prop_oneof![3 => Just(None), 1 => Just(Some("other".into()))];
    let terms = (scopes, classes, any::<bool>())
        .prop_map(|(scope, class, replace)| EnrolmentTerms { scope, class, replace });
    prop_oneof![
        1 => owners().prop_map(TokenPurpose::Access),
        3 => terms.prop_map(TokenPurpose::Enrolment),
    ]
}

/// Commands with few tokens, secrets and keys, so that they meet.
fn identity_commands() -> impl Strategy<Value = IdentityCommand> {
    let values = (0u32..6, prop_oneof![9 => Just(0u8), 1 => Just(1)], 0u8..4, any::<u8>());
    let names = prop::option::of(prop_oneof![3 => Just("db1"), 1 => Just("db4"), 1 => Just("a b")]);
    let people = (prop_oneof![Just("ann"), Just("otto")], prop::sample::select(&Role::ALL[..]));
    let valid = prop::option::of(durations());
    (values, names, people, (purposes(), valid), owners(), 0..20).prop_map(
        |(values, requested, (person, role), (purpose, valid_for), owner, which)| {
            let (id, secret) = (token_id(values.0), secret(values.1));
            let (key, serial) = (key(values.2), Serial([values.3; 16]));
            let uuid = uuid::Uuid::from_u128(u128::from(values.3));
            let person = administrator(person);
            match (which, owner) {
                (0, Subject::Appliance(name)) => IdentityCommand::RevokeAppliance { name },
                (0, Subject::Administrator(name)) => IdentityCommand::RemoveAdministrator { name },
                (1..=5, _) => IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid },
                (6, _) => IdentityCommand::RotateToken { id, secret },
                (7, _) => IdentityCommand::RevokeToken { id },
                (8..=12, _) => IdentityCommand::Enrol {
                    token: id,
                    secret,
                    key,
                    serial,
                    name: requested.map(Into::into),
                    uuid,
                },
                (13..=15, _) => IdentityCommand::Renew { key, serial },
                (16..=17, _) => IdentityCommand::CreateAdministrator { name: person, role },
                (18, _) => IdentityCommand::SetAdministrator { name: person, role },
                (_, _) => IdentityCommand::RemoveAdministrator { name: person },
            }
        },
    )
}

fn incidents() -> impl Strategy<Value = SecurityIncident> {
    let refusals = prop::option::of(appliances()).prop_map(|reused| {
        SecurityIncident::Refused(Refusal {
            who: "somebody".into(),
            from: "192.0.2.1".into(),
            what: "Enrol".into(),
            why: "no".into(),
            omitted: 0,
            reused_token_of: reused.map(name),
        })
    });
    let used = (0u32..6).prop_map(|number| SecurityIncident::TokenUsed { id: token_id(number) });
    prop_oneof![2 => refusals, 1 => used]
}

fn alert_commands() -> impl Strategy<Value = AlertCommand> {
    prop_oneof![
        (prop::option::of(1u64..4_000), any::<bool>()).prop_map(|(until, is_first)| {
            AlertCommand::Acknowledge { until: until.map(at), note: "on it".into(), is_first }
        }),
        Just(AlertCommand::Unacknowledge),
        Just(AlertCommand::Resolve { note: "".into() }),
    ]
}

fn silence_inputs() -> impl Strategy<Value = SilenceInput> {
    let matchers = prop::sample::select(&["appliance=db1", "severity<=error", "kind=event"][..]);
    prop_oneof![
        (matchers, 0u64..2_000, 0u64..6_000, any::<bool>()).prop_map(|(text, from, to, ends)| {
            let silence = Silence { ends_with_alert: ends, ..*silence(text, from, to) };
            SilenceInput::Add { by: "anna".into(), silence: Box::new(silence) }
        }),
        (0u64..4).prop_map(|id| SilenceInput::End { by: "anna".into(), id: SilenceId(id) }),
    ]
}

/// Any action.
pub(super) fn actions() -> impl Strategy<Value = SimulatedAction> {
    prop_oneof![
        8 => events().prop_map(SimulatedAction::Report),
        2 => Just(SimulatedAction::Resend),
        2 => (1u64..40).prop_map(SimulatedAction::Flood),
        3 => Just(SimulatedAction::Tally),
        4 => (appliances(), 1u128..30, uptimes())
            .prop_map(|(row, boot, uptime)| SimulatedAction::Hello { row, boot, uptime }),
        2 => (0usize..8).prop_map(SimulatedAction::CloseSession),
        4 => commands().prop_map(SimulatedAction::Command),
        2 => silence_inputs().prop_map(SimulatedAction::Silence),
        3 => (0usize..4, alert_commands())
            .prop_map(|(which, command)| SimulatedAction::Alert(which, command)),
        1 => (appliances(), dump_results())
            .prop_map(|(row, result)| SimulatedAction::DumpReport(row, result)),
        12 => identity_commands().prop_map(SimulatedAction::Identity),
        1 => incidents().prop_map(SimulatedAction::Security),
        5 => durations().prop_map(SimulatedAction::Wait),
        1 => durations().prop_map(SimulatedAction::Pause),
        1 => (durations(), 0usize..8).prop_map(|(downtime, number)| SimulatedAction::Restart(downtime, number)),
    ]
}
