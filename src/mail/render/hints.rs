//! Titles of alert kinds, hints what to do next, and commands that show details.
//!
//! Guarantees that a command in a mail can be pasted into a shell: an invalid name is in no command.
//! Knows alert kinds by their identifiers only, and has a default for unknown ones.

use crate::grid::values::id::has_name_characters;

/// The title of what appliances name themselves.
pub(super) const UNKNOWN_TITLE: &str = "alert";

/// Titles of an alert kind, and a hint what to do.
pub(super) struct Topic {
    /// Singular: `start failed`.
    pub(super) title: &'static str,
    /// Plural: `failed starts`.
    pub(super) plural: &'static str,
    /// What to do next; empty: the notice is sufficient.
    pub(super) hint: &'static str,
}

const fn topic(one: &'static str, several: &'static str, advice: &'static str) -> Topic {
    Topic { title: one, plural: several, hint: advice }
}

/// The topic of an alert kind; an alert of an appliance if the kind is not one of ours.
pub(super) fn topic_of(kind: &str) -> Topic {
    match kind {
        "start_failed" => topic(
            "start failed",
            "failed starts",
            "Fix the cause that it names, and start the appliance again.",
        ),
        "boot_timeout" => topic(
            "boot timeout",
            "boot timeouts",
            "No report arrived in time. Check whether the machine runs, whether vme runs at its start, \
             and whether it reaches the broker. If it is only slow, give its class a longer \
             boot_timeout.",
        ),
        "hung" => topic(
            "start hung",
            "hung starts",
            "It was in maintenance and stopped reporting, or makes no progress. Check on the machine \
             what it did after its last report.",
        ),
        "stuck" => topic(
            "stuck in maintenance",
            "stuck starts",
            "It reports, but neither progress nor text changes. Check on the appliance what it waits \
             for. If that is expected, give its class a longer stuck_progress.",
        ),
        "no_contact" => topic(
            "no contact",
            "lost contacts",
            "Check whether the machine runs and reaches the broker. If it was stopped on purpose, \
             record that with gridctl appliance stop.",
        ),
        "two_machines" => topic(
            "two machines under one name",
            "duplicate names",
            "Two machines report under this name: a copy that still runs, or a name given twice. Stop \
             one of them or give it its own name.",
        ),
        "flapping" => topic(
            "flapping",
            "flapping appliances",
            "Start after start fails, and automatic restarts do not help: stop them, and read what the \
             last starts reported.",
        ),
        "records_missing" => topic(
            "records missing",
            "gaps in the grid log",
            "Records that were acknowledged can't be read any more. Check the disk, keep a copy of \
             the data folder, and see docs/journal.md for check, salvage and restore.",
        ),
        "disk_low" => topic(
            "disk nearly full",
            "full disks",
            "Free space on the disk of the data folder, or store less: retention.age, retention.bytes. \
             Below the low-water mark no new events are accepted; nothing accepted is lost.",
        ),
        "clock_differs" => topic(
            "wall clock off",
            "wall clocks off",
            "The clock of the broker's machine was set, or is wrong. Check it; broker time converges \
             to it by itself, and nothing is lost or decided by it.",
        ),
        "suppressed" => topic(
            "alerts suppressed",
            "suppressed alerts",
            "It sends more than its class allows. If that is expected, raise class.NAME.budget; gridctl \
             appliance unsuppress ends the suppression at once. Its records show what it sends.",
        ),
        "test" => topic("test mail", "test mails", ""),
        _ => further_topic_of(kind).unwrap_or_else(|| topic(UNKNOWN_TITLE, "alerts", "")),
    }
}

/// The same for alerts on credentials, and for crash dumps.
fn further_topic_of(kind: &str) -> Option<Topic> {
    Some(match kind {
        "certificate_ending" => topic(
            "certificate ending",
            "certificates ending",
            "Its agent, or any call of vme, renews the certificate at two thirds of its life. Start the \
             appliance, or see what its vme says; after the end it can recover for \
             certificates.recover_within.",
        ),
        "token_reused" => topic(
            "enrolment token used twice",
            "enrolment tokens used twice",
            "Two machines had the token. Revoke what was enrolled, and enrol it again with a new token.",
        ),
        "server_certificate" => topic(
            "server certificate",
            "server certificates",
            "Clients refuse a broker whose certificate has ended. Replace the files of tls.certificate \
             and tls.key; the broker reads them by itself within a minute.",
        ),
        "crash_dump" => topic(
            "crash dump",
            "crash dumps",
            "gridctl appliance crash-dumps NAME tells the whole story; the dump itself is in the \
             appliance. docs/crash-dumps.md says what can go wrong.",
        ),
        _ => return None,
    })
}

/// Commands that show details.
pub(super) fn commands(kind: &str, about: &str) -> Vec<String> {
    if has_name_characters(about) {
        // A name of an older broker may begin with a dash, and must not be read as a flag.
        let dashes = if about.starts_with('-') { "-- " } else { "" };
        return vec![
            format!("gridctl appliance show {dashes}{about}"),
            format!("gridctl log list --appliance={about}"),
        ];
    }
    let of_broker = match kind {
        "test" => return vec!["gridctl status".to_owned()],
        "disk_low" | "records_missing" | "clock_differs" | "server_certificate" => "gridctl status",
        _ => "gridctl appliance list",
    };
    vec![of_broker.to_owned(), "gridctl log list --severity=warn".to_owned()]
}
