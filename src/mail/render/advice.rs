//! What is the matter called, what is to be done next, and which command looks further?
//!
//! Guarantees that a command in a mail can be pasted into a shell: a name that is none is in no
//! command. Knows the matters by their words only, and has an answer for words it does not know.

use crate::grid::name::has_alphabet_of_names;

/// What a matter is called, and what is to be done about it.
pub(super) struct Topic {
    /// As a mail's one matter: `start failed`.
    pub(super) one: &'static str,
    /// As one of several: `failed starts`.
    pub(super) several: &'static str,
    /// What to do next; empty: the notice says it all.
    pub(super) advice: &'static str,
}

const fn topic(one: &'static str, several: &'static str, advice: &'static str) -> Topic {
    Topic { one, several, advice }
}

/// What the matter `word` is; an alert of an appliance if it is none of ours.
pub(super) fn topic_of(word: &str) -> Topic {
    match word {
        "start_failed" => topic(
            "start failed",
            "failed starts",
            "Mend what it names, and start the appliance again.",
        ),
        "boot_timeout" => topic(
            "boot timeout",
            "boot timeouts",
            "Nothing was heard in time. See whether the machine runs, whether vme runs in its start, \
             and whether it reaches the broker. If it is only slow, give its class a longer \
             boot_timeout.",
        ),
        "hung" => topic(
            "start hung",
            "hung starts",
            "It was in maintenance and is not heard of any more, or does not come forward. See on \
             the machine what became of its last words.",
        ),
        "stuck" => topic(
            "stuck in maintenance",
            "stuck starts",
            "It reports, but neither progress nor words change. See on the appliance what it waits \
             for. If that is as it should be, give its class a longer stuck_progress.",
        ),
        "no_contact" => topic(
            "no contact",
            "lost contacts",
            "See whether the machine runs and reaches the broker. If it was stopped on purpose, say \
             so with gridctl appliance stop.",
        ),
        "two_machines" => topic(
            "two machines under one name",
            "doubled names",
            "Two machines speak under this name: a copy that still runs, or a name given twice. Stop \
             one of them or give it a name of its own.",
        ),
        "flapping" => topic(
            "flapping",
            "flapping appliances",
            "Start after start fails. Whatever starts it again does not help: stop that, and read \
             what the last starts said.",
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
            "Make room on the disk of the data folder, or keep less: retention.age, \
             retention.bytes. Below the low-water mark nothing new is taken; nothing taken is lost.",
        ),
        "clock_differs" => topic(
            "wall clock off",
            "wall clocks off",
            "The clock of the broker's machine was set, or is wrong. See that it is right; broker \
             time finds back to it by itself, and nothing is lost or judged by it.",
        ),
        "suppressed" => topic(
            "alerts suppressed",
            "suppressed alerts",
            "It says more than its class allows. See its records, and give its class a larger budget \
             if that is as it should be; gridctl appliance unsuppress lets it speak again at once.",
        ),
        "test" => topic("test mail", "test mails", ""),
        _ => topic("alert", "alerts", ""),
    }
}

/// Commands that look further.
pub(super) fn commands(word: &str, about: &str) -> Vec<String> {
    if has_alphabet_of_names(about) {
        // A name of an older broker may begin with a dash, and is no flag then.
        let dashes = if about.starts_with('-') { "-- " } else { "" };
        return vec![
            format!("gridctl appliance show {dashes}{about}"),
            format!("gridctl log list --appliance={about}"),
        ];
    }
    let of_broker = match word {
        "test" => return vec!["gridctl status".to_owned()],
        "disk_low" | "records_missing" | "clock_differs" => "gridctl status",
        _ => "gridctl appliance list",
    };
    vec![of_broker.to_owned(), "gridctl log list --severity=warn".to_owned()]
}
