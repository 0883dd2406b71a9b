//! Decides which numbers in a text are part of a name or a code and stay.
//!
//! Guarantees that different disks, ports, interfaces, hosts and codes stay different: each is a
//! problem of its own, and a second one behind the key of the first would never be seen. Knows
//! words and single numbers only, not the text around them.

use super::words::{
    CODE_LINKING_WORDS, CODES, COUNTING, DOTTED, LINKING_WORDS, REPLIES, SIGNALS, SOURCES, THINGS,
    VARIABLE,
};

/// The fewest characters of a word of hex digits that is an id wherever letters and digits stand.
const HASH_CHARS_MIN: usize = 7;

/// The fewest characters of an id of letters and digits, such as a token.
const TOKEN_CHARS_MIN: usize = 14;

/// The most digits of a number within a name, such as `md127`.
const NAME_DIGITS: usize = 3;

/// The most digits of a number after a noun such as `slot`.
const THING_DIGITS: usize = 4;

/// The most digits of a code, such as a vendor's error number.
const CODE_DIGITS: usize = 5;

/// The ports from here on are assigned to clients by chance on Linux.
const FIRST_CLIENT_PORT: u32 = 32_768;

/// Signals of processes are below 65.
const SIGNAL_DIGITS: usize = 2;

fn contains(list: &[&str], word: &str) -> bool {
    list.iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// Whether that noun still has its number behind that word: `error number 28`.
pub(super) fn links(noun: &str, word: &str) -> bool {
    contains(LINKING_WORDS, word) || is_code(noun) && contains(CODE_LINKING_WORDS, word)
}

/// Whether a number belongs to that word.
pub(super) fn is_noun(word: &str) -> bool {
    contains(THINGS, word) || contains(CODES, word) || contains(REPLIES, word)
}

/// Whether that word names a kind of thing of which there are several.
pub(super) fn is_thing(word: &str) -> bool {
    contains(THINGS, word)
}

/// Whether that word names a kind of code.
pub(super) fn is_code(word: &str) -> bool {
    contains(CODES, word)
}

/// Whether the number of that word is assigned by chance.
pub(super) fn is_variable(word: &str) -> bool {
    contains(VARIABLE, word)
}

/// Whether a number behind that noun stays. `number` has digits and separators only.
pub(super) fn stays_behind(noun: &str, number: &str) -> bool {
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    if contains(SIGNALS, noun) {
        return plain && number.len() <= SIGNAL_DIGITS;
    }
    if contains(CODES, noun) {
        return plain && number.len() <= CODE_DIGITS;
    }
    if contains(THINGS, noun) {
        return has_short_runs(number, THING_DIGITS) && !number.contains(',');
    }
    // A reply of 400 to 599; other numbers are counts.
    contains(REPLIES, noun) && plain && number.len() == 3 && number.starts_with(['4', '5'])
}

/// Whether a hex number such as `0x51` behind that noun stays.
pub(super) fn hex_stays_behind(noun: &str, number: &str) -> bool {
    contains(CODES, noun) || contains(THINGS, noun) && number.len() <= "0x".len() + THING_DIGITS
}

/// Whether a small number behind any word, as in `printer 12`, says which one. `next` is what follows.
pub(super) fn is_numbered_thing(word: &str, number: &str, next: &str) -> bool {
    let is_small = number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_noun = word.len() >= 3
        && !word.ends_with('s')
        && word.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !contains(COUNTING, word)
        && !contains(VARIABLE, word)
        && !contains(REPLIES, word);
    // `with mail 5 messages` counts messages.
    let counted = next.strip_prefix(' ').unwrap_or_default();
    let end = counted.find(|it: char| !it.is_alphabetic()).unwrap_or(counted.len());
    let is_count = end >= 4 && counted[..end].ends_with('s') || counted[..end] == *"of";
    is_small && is_noun && !is_count && !next.starts_with(['/', '%'])
}

/// Whether a number joined to the word before by `joint` stays: `orders-3`, `ORA-00600`, `osd.12`.
pub(super) fn stays_joined(word: &str, joint: char, number: &str) -> bool {
    match joint {
        '.' => contains(DOTTED, word) && has_short_runs(number, THING_DIGITS),
        '-' | '@' => {
            let letters = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let is_code = letters && word.len() <= 6 && number.len() <= 6;
            !is_variable(word) && (is_code || has_short_runs(number, NAME_DIGITS))
        }
        _ => false,
    }
}

/// Whether a number joined to a name that stays is part of it: `Ethernet1/3`, `eth0.100`.
pub(super) fn extends_name(joint: char, number: &str) -> bool {
    matches!(joint, '/' | '.') && has_short_runs(number, THING_DIGITS)
}

/// Whether that number is a port which a service listens on.
pub(super) fn is_service_port(number: &str) -> bool {
    number.len() >= 2 && number.parse::<u32>().is_ok_and(|port| port < FIRST_CLIENT_PORT)
}

/// Whether that word is the ending of a source file.
pub(super) fn is_source(ending: &str) -> bool {
    contains(SOURCES, ending)
}

/// Whether each run of digits has at most that many.
fn has_short_runs(number: &str, most: usize) -> bool {
    number.split(|it: char| !it.is_numeric()).all(|run| run.chars().count() <= most)
}

/// A checksum, a token or an object's address, but not a name such as `db1` or `deadbeef`.
pub(super) fn is_id(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digits = bytes.iter().filter(|it| it.is_ascii_digit()).count();
    if digits == 0 {
        return is_random_token(bytes);
    }
    let changes =
        bytes.windows(2).filter(|it| it[0].is_ascii_digit() != it[1].is_ascii_digit()).count();
    if bytes.iter().all(u8::is_ascii_hexdigit) {
        let is_hash = bytes.len() >= HASH_CHARS_MIN && (changes >= 2 || digits >= 4);
        return is_hash
            || bytes.len() >= 4 && changes >= 2 && bytes[0].is_ascii_digit()
            || bytes.len() >= 6 && changes >= 3;
    }
    let is_plain = bytes.iter().all(u8::is_ascii_alphanumeric);
    is_plain && digits >= 2 && bytes.len() >= TOKEN_CHARS_MIN && changes >= 3
        || is_plain && bytes.len() >= 10 && changes >= 4
}

/// A long token without digits changes between small and large letters all the time.
fn is_random_token(bytes: &[u8]) -> bool {
    let is_small = |it: &u8| it.is_ascii_lowercase();
    let changes = bytes.windows(2).filter(|it| is_small(&it[0]) && !is_small(&it[1])).count();
    let is_plain = bytes.iter().all(u8::is_ascii_alphabetic);
    is_plain && bytes.len() >= 20 && changes * 4 > bytes.len()
}

/// The name with those of its numbers as `#` that are not part of it.
pub(super) fn shown_name(word: &str, is_chance: bool) -> String {
    let letters = word.chars().take_while(|it| !it.is_numeric()).count();
    let upper = word.starts_with(|it: char| it.is_ascii_uppercase());
    let most = if letters <= 2 || upper { NAME_DIGITS + 1 } else { NAME_DIGITS };
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(start) = rest.find(char::is_numeric) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|it: char| !it.is_numeric()).unwrap_or(rest.len());
        if !is_chance && end <= most {
            shown.push_str(&rest[..end]);
        } else {
            shown.push('#');
        }
        rest = &rest[end..];
    }
    shown.push_str(rest);
    shown
}
