//! The patterns of parts that are variable as a whole: dates, addresses, ids and fields.
//!
//! Guarantees that each pattern matches in time linear in the text. Does not know what surrounds a
//! number; the scanner decides about those.

use std::sync::LazyLock;

use regex::Regex;

const MONTH: &str = "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|\
                     Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)";

const WEEKDAY: &str = "(?:(?:Mon|Tue(?:s)?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?)";

const TIME: &str = r"[0-2]?\d:[0-5]\d(?::[0-6]\d(?:[.,:]\d+)?)?(?:\s?[AaPp][Mm]\b)?(?:\s?(?:Z|UTC|GMT|CES?T|EES?T|WES?T|[ECMP][SD]T|MSK|IST|JST|BST|[+-]\d\d:?\d\d)\b)?";

/// Names of fields whose values are variable whatever they are.
const VARIABLE_FIELD: &str = "@?(?:ts|time|timestamp|date|datetime|asctime|eventtime|event_time|created_?at|updated_?at|\
    started_?at|starts_?at|last_?seen|(?:trace|span|request|req|correlation|session|transaction|tx|txn|reconcile|invocation|\
    message|msg|process|thread|parent|connection|conn|client|container)[._-]?id|trace|span|uuid|guid|nonce|pid|ppid|tid|thread|thread_?name|goid|\
    goroutine|seq|sequence|offset|elapsed|duration|latency|took|uptime|line|lineno|line_?number|attempts?|retry|retries|\
    (?:remote|client|peer|src|source)[._-]?(?:ip|addr|address)|delays?|rss|mem|fingerprint)(?:[._-]?(?:ms|us|ns|s|secs?|seconds|unix|utc|nano))?";

/// All parts that are variable as a whole, and what looks like one and stays.
pub(super) static VARIABLE_PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let date = date();
    let hex = "[0-9a-fA-F]";
    compile(&format!(
        r"(?x)
        (?<kept> \b {hex}{{4}} : {hex}{{2}} : {hex}{{2}} \. [0-7] \b
            | \b [0-9]{{1,3}} : [0-9] : [0-9]{{1,3}} : [0-9]{{1,3}} \b )
        | (?<http> \b HTTP/[1-3](?:\.[01])? \b )
        | (?<date> {date} )
        | (?<id> \b {hex}{{8}} - (?: {hex}{{4}} - ){{3}} {hex}{{12}} \b
            | \b {hex}{{8}} - {hex}{{8}} - {hex}{{4}} - {hex}{{12}} \b
            | \b (?: {hex}{{2}} [:-] ){{5,}} {hex}{{2}} \b
            | \b (?: {hex}{{4}} \. ){{2}} {hex}{{4}} \b
            | \b [0-9A-F]{{1,4}} / [0-9A-F]{{6,8}} \b
            | \b tmp \.? (?: [A-Za-z0-9_]{{6}} (?: [A-Za-z0-9_]{{2}} (?: [A-Za-z0-9_]{{2}} )? )? ) \b )
        | (?<ip> \b [0-9]{{1,3}} (?: \. [0-9]{{1,3}} ){{3}} (?: / [0-9]{{1,2}} )? \b )
        | (?<pod> - [0-9a-f]{{8,10}} - [a-z0-9]{{5}} (?: \b | _ )
            | - [bcdfghjklmnpqrstvwxz2456789]{{0,4}} [2456789] [bcdfghjklmnpqrstvwxz2456789]{{0,4}} [bcdfghjklmnpqrstvwxz] \b )
        | (?<colons> \b {hex}{{1,4}} (?: : {hex}{{0,4}} ){{2,8}} (?: \. \d+ ){{0,3}} (?: %\w+ )? (?: /\d{{1,3}} )? \b )
        "
    ))
});

/// Dates and times alone.
pub(super) static DATES: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(&format!("(?x){}", date())));

/// Fields of JSON and of `name=value` with a variable value.
pub(super) static VARIABLE_FIELDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r#"(?xi) (?<field> (?: ["'] {VARIABLE_FIELD} ["'] \s* [:=]>? \s* | \b {VARIABLE_FIELD} = ) )
           (?: "(?: [^"\\] | \\. )*" | '[^']*' | [^\s,;"'}}\])>]+ )"#
    ))
});

/// Text without meaning of its own: names of fields, severities, and the like.
pub(super) static BOILERPLATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"(?xi) "[^"]*"\s*: | \b[\w.-]+= | \b(?: debug | info | notice | warn(?:ing)? | err(?:or)? |
        crit(?:ical)? | fatal | alert | emerg(?:ency)? | true | false | null | none ) \b"#,
    )
});

/// The pattern with ends of words by ASCII: those of Unicode take some 15 times as long in a text
/// that is not ASCII.
fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(&pattern.replace(r"\b", r"(?-u:\b)")).ok()
}

fn date() -> String {
    format!(
        r"(?: \b\d{{4}}[-/.]\d\d[-/.]\d\d (?: (?:T|_|,?\s\s?) {TIME} )? (?:Z\b)?
            | \b\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}\b (?: ,?\s\s? {TIME} )?
            | (?: \b{WEEKDAY},?\s+ )? \b\d{{1,2}}[-/\s]{MONTH}[-/\s]\d{{2,4}}\b (?: [:\s]+\s? {TIME} )?
            | (?: \b{WEEKDAY},?\s+ )? \b{MONTH}\s+\d{{1,2}}\b (?: ,?\s+\d{{4}}\b )? (?: ,?\s+ {TIME} (?: \s+\d{{4}}\b )? )?
            | \b[DIWEF][01]\d[0-3]\d\s+{TIME}
            | \b{TIME} )"
    )
}
