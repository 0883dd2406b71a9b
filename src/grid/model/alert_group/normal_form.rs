//! Replaces the variable parts of an alert's text, so that the same problem has the same text.
//!
//! Guarantees that numbers with their units, dates, addresses and ids are one `#` each and that
//! words stay, quoted or not. A text that would be little but `#` stays as it is except for dates:
//! splitting a problem costs mails, merging two loses an alert. Knows neither severities nor rate
//! limits.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The fewest letters of a meaningful text.
const LETTERS_MIN: usize = 3;

/// The fewest characters of a word of hex digits without `0x`, such as a checksum.
const HEX_WORD_MIN: usize = 4;

/// The fewest characters of an id of letters and digits, such as a token.
const ID_CHARS_MIN: usize = 16;

const MONTH: &str = "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|\
                     Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)";

const WEEKDAY: &str = "(?:(?:Mon|Tue(?:s)?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?)";

const TIME: &str = r"[0-2]?\d:[0-5]\d(?::[0-6]\d(?:[.,]\d+)?)?(?:\s?[AaPp][Mm]\b)?(?:\s?(?:Z|UTC|GMT|CES?T|EES?T|WES?T|[ECMP][SD]T|MSK|IST|JST|BST|[+-]\d\d:?\d\d)\b)?";

const NUMBER: &str = r"\p{N}+(?:[.,:/_'’-]?\p{N}+)*(?:[eE][+-]?\d+\b)?";

/// Units that may follow a number, with or without a space.
const UNIT: &str = "(?:%|‰|°|(?:percent|[num\u{b5}\u{3bc}]s|[mun]?secs?|(?:milli|micro)?seconds?|s|mins?|minutes?|m|\
                    hrs?|hours?|h|days?|d|weeks?|w|[kKMGTPE]i?[Bb]?(?:ytes?|its?)?(?:/s|ps)?|[Bb](?:/s|ps)?|\
                    bytes?|[kMG]?Hz|m?[VAW]|°?[CFK]|[rR][pP][mM]|st|nd|rd|th)\\b)";

/// All variable parts: dates first, then ids and addresses, then numbers.
static VARIABLE_PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let date = date();
    let hex = "[0-9a-fA-F]";
    Regex::new(&format!(
        r"(?x)
        (?<date> {date} )
        | (?<id> \b {hex}{{8}} - (?: {hex}{{4}} - ){{3}} {hex}{{12}} \b
            | \b (?: {hex}{{2}} [:-] ){{5,}} {hex}{{2}} \b
            | \b (?: {hex}{{4}} \. ){{2}} {hex}{{4}} \b
            | \b {hex}{{2}} : {hex}{{2}} \. [0-7] \b
            | \b 0[xX] {hex}+ \b )
        | (?<pod> - [0-9a-f]{{8,10}} - [a-z0-9]{{5}} \b )
        | (?<colons> \b {hex}{{1,4}} (?: : {hex}{{0,4}} ){{2,8}} (?: \. \d+ ){{0,3}} (?: %\w+ )? (?: /\d{{1,3}} )? \b )
        | (?<lead> ^ | [^\p{{L}}\p{{N}}_] ) [-+−~±] (?: {NUMBER} ) (?: [\x20]? {UNIT} )?
        | \b (?: {NUMBER} ) [\x20]? {UNIT} (?: [\x20]? (?: {NUMBER} ) [\x20]? {UNIT} )*
        | \b (?: {NUMBER} ) \b
        | (?<word> \b [0-9A-Za-z]{{{HEX_WORD_MIN},}} \b )
        | (?: {NUMBER} ) (?: [\x20]? {UNIT} )?
        "
    ))
    .ok()
});

static DATES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("(?x){}", date())).ok());

/// Several placeholders in a list are one.
static PLACEHOLDER_LISTS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"#(?: ?, ?#)+").ok());

/// Strings of JSON, and whether one is the name of a field.
static JSON_STRINGS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#""(?<text>(?:[^"\\]|\\.)*)"(?<name>\s*:(?:\s*(?<number>-?\d[\d.eE+-]*))?)?"#).ok()
});

/// Text without meaning of its own: names of fields, severities, and the like.
static BOILERPLATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?xi) "[^"]*"\s*: | \b[\w.-]+= | \b(?: debug | info | notice | warn(?:ing)? | err(?:or)? |
        crit(?:ical)? | fatal | alert | emerg(?:ency)? | true | false | null | none ) \b"#,
    )
    .ok()
});

fn date() -> String {
    format!(
        r"(?: \b\d{{4}}[-/.]\d\d[-/.]\d\d (?: (?:T|_|,?\s\s?) {TIME} )? (?:Z\b)?
            | \b\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}\b (?: ,?\s\s? {TIME} )?
            | (?: \b{WEEKDAY},?\s+ )? \b\d{{1,2}}[-/\s]{MONTH}[-/\s]\d{{2,4}}\b (?: [:\s]\s? {TIME} )?
            | (?: \b{WEEKDAY},?\s+ )? \b{MONTH}\s+\d{{1,2}}\b (?: ,?\s+\d{{4}}\b )? (?: ,?\s+ {TIME} (?: \s+\d{{4}}\b )? )?
            | \b{TIME} )"
    )
}

/// The text with its variable parts replaced.
pub(in crate::grid) fn normal_form(text: &str) -> String {
    let trimmed = text.trim();
    let is_json = trimmed.starts_with(['{', '[']) && trimmed.contains('"');
    let form = if is_json { normalize_json(trimmed) } else { normalize_prose(trimmed) };
    if is_meaningful(&form) {
        form
    } else {
        join_lines(&replace_matches(&DATES, trimmed, |_| "#".to_owned()))
    }
}

fn normalize_prose(text: &str) -> String {
    let marked = replace_matches(&VARIABLE_PARTS, text, replace_variable);
    let spaced = join_lines(&marked);
    replace_matches(&PLACEHOLDER_LISTS, &spaced, |_| "#".to_owned()).into_owned()
}

/// In JSON a string of one word is a name or a code and stays; so does the number of a code.
fn normalize_json(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    let mut end = 0;
    let Some(strings) = &*JSON_STRINGS else { return text.to_owned() };
    for found in strings.captures_iter(text) {
        let (Some(whole), Some(inner)) = (found.get(0), found.name("text")) else { continue };
        form.push_str(&normalize_prose(&text[end..whole.start()]));
        end = whole.end();
        let shown = match (found.name("name"), found.name("number")) {
            (Some(_), Some(number)) if is_code_field(inner.as_str()) => {
                format!("{:?}:{}", inner.as_str(), number.as_str())
            }
            (Some(_), Some(_)) => format!("{:?}:#", inner.as_str()),
            (Some(_), None) => format!("{:?}:", inner.as_str()),
            (None, _) => format!("{:?}", normalize_value(inner.as_str())),
        };
        form.push_str(&shown);
    }
    form.push_str(&normalize_prose(&text[end..]));
    form
}

fn normalize_value(text: &str) -> String {
    let form = normalize_prose(text);
    let is_word = !text.contains(char::is_whitespace);
    // `#` alone was a number, a date or an id as a whole.
    if is_word && form != "#" { text.to_owned() } else { form }
}

/// Whether the number in a field of that name distinguishes problems.
fn is_code_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["code", "errno", "status", "signal", "exit", "event_id", "eventid", "type"]
        .iter()
        .any(|word| name.contains(word))
}

fn replace_variable(found: &Captures<'_>) -> String {
    let whole = found.get(0).map_or("", |it| it.as_str());
    if found.name("pod").is_some() {
        return "-#".to_owned();
    }
    if let Some(lead) = found.name("lead") {
        return format!("{}#", lead.as_str());
    }
    let is_particular = if found.name("colons").is_some() {
        is_address(whole)
    } else if found.name("word").is_some() {
        is_id(whole)
    } else {
        true
    };
    if is_particular { "#".to_owned() } else { mask_numbers(whole) }
}

/// An IPv6 address, a WWN or a time with hours, but not `a:b:c`.
fn is_address(text: &str) -> bool {
    let plain = text.split(['%', '/']).next().unwrap_or_default();
    let is_whole = plain.matches("::").count() == 1 || plain.matches(':').count() == 7;
    text.contains(|c: char| c.is_ascii_digit())
        && (is_whole || text.starts_with(|c: char| c.is_ascii_digit()))
}

/// A checksum or a token, but not a word such as `db1` or `deadbeef`.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_token = word.len() >= ID_CHARS_MIN && digits >= 2;
    digits > 0 && (is_hex || is_token)
}

/// The word with its numbers as `#`.
fn mask_numbers(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    for character in word.chars() {
        match character.is_numeric() {
            true if shown.ends_with('#') => {}
            true => shown.push('#'),
            false => shown.push(character),
        }
    }
    shown
}

fn replace_matches<'t>(
    pattern: &LazyLock<Option<Regex>>,
    text: &'t str,
    with: impl Fn(&Captures<'_>) -> String,
) -> Cow<'t, str> {
    match &**pattern {
        Some(pattern) => pattern.replace_all(text, with),
        None => Cow::Borrowed(text),
    }
}

fn join_lines(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the normal form still has meaning.
fn is_meaningful(form: &str) -> bool {
    let content = replace_matches(&BOILERPLATE, form, |_| String::new());
    let letters = content.chars().filter(|it| it.is_alphabetic()).count();
    let particulars = content.matches('#').count();
    letters >= LETTERS_MIN && letters >= particulars
}
