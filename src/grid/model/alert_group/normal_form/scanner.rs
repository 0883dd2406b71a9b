//! Scans a text word by word, and replaces the numbers that are not part of a name or a code.
//!
//! Guarantees one pass over the text: each step looks back at the last word and ahead of the next
//! number only. Placeholders in a list are one. Does not know which words are names.

use super::names;
use super::quantities::{digits_length, number_length, unit_length};
use super::{ADDRESS_MARK, MARK, shown_digit};

/// The most characters between a noun and its number.
const CONNECTOR_CHARS: usize = 4;

/// The form of a text whose parts that are variable as a whole are marked.
pub(super) fn scan(text: &str) -> String {
    let mut scanner =
        Scanner { text, at: 0, form: String::with_capacity(text.len()), ..Scanner::default() };
    while let Some(next) = text[scanner.at..].chars().next() {
        if next == MARK || next == ADDRESS_MARK {
            scanner.put_mark(false);
            let before = if next == MARK { Before::Mark } else { Before::Address };
            scanner.end_word(&text[scanner.at..scanner.at + next.len_utf8()], before);
        } else if next.is_alphanumeric() || next == '_' {
            scanner.take_word();
        } else {
            scanner.take_other(next);
        }
    }
    scanner.form
}

/// What was read last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Nothing,
    /// A word without a number.
    Word,
    /// A name whose number stays.
    Name,
    /// A placeholder.
    Mark,
    /// The placeholder of an address.
    Address,
}

#[derive(Default)]
struct Scanner<'t> {
    text: &'t str,
    /// Where the rest begins.
    at: usize,
    form: String,
    /// The noun that the next number belongs to; empty: none.
    noun: &'t str,
    /// The noun before the last word.
    outer: &'t str,
    /// The last word, and where it ends.
    word: &'t str,
    word_end: usize,
    before: Before,
    /// Whether the last word is the end of a host's name.
    is_host: bool,
    /// How many characters stand behind the noun.
    connectors: usize,
    /// Where the last placeholder ends in the form.
    mark_end: usize,
    /// Whether it was a number with a unit.
    has_unit: bool,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The character before the rest, if it follows the last word at once.
    fn joint(&self) -> Option<char> {
        let between = self.text.get(self.word_end..self.at)?;
        if between == "]:" && self.before == Before::Address {
            return Some(':');
        }
        let mut characters = between.chars();
        characters.next().filter(|_| characters.next().is_none() && self.word_end > 0)
    }

    fn take_other(&mut self, next: char) {
        self.at += next.len_utf8();
        if next.is_whitespace() {
            if !self.form.is_empty() && !self.form.ends_with([' ', '[', '(']) {
                self.form.push(' ');
            }
        } else {
            self.form.push(shown_digit(next));
        }
        self.connectors += 1;
        let connects =
            next.is_whitespace() || matches!(next, ':' | '=' | '#' | '(' | '[' | '"' | '\'' | '>');
        if !connects && !(matches!(next, '-' | '+')) || self.connectors > CONNECTOR_CHARS {
            self.noun = "";
        }
    }

    fn take_word(&mut self) {
        let rest = self.rest();
        let end = rest.find(|it: char| !(it.is_alphanumeric() || it == '_')).unwrap_or(rest.len());
        let word = &rest[..end];
        if !word.contains(char::is_numeric) {
            self.take_plain(word);
        } else if word.starts_with(char::is_numeric) {
            self.take_number(word);
        } else {
            self.take_name(word);
        }
    }

    fn take_plain(&mut self, word: &'t str) {
        let joint = self.joint();
        if names::is_id(word) {
            self.put_mark(false);
            self.end_word(word, Before::Mark);
            return;
        }
        let follows_number = self.form[self.mark_end..].trim() == "" && self.mark_end > 0;
        self.put(singular(word, follows_number));
        let keeps_noun = !self.noun.is_empty() && names::links(self.noun, word);
        let noun = if keeps_noun { self.noun } else { word };
        self.outer = self.word;
        self.end_word(word, Before::Word);
        self.noun = if names::is_noun(noun) { noun } else { "" };
        self.connectors = 0;
        self.is_host = word == "localhost" || joint == Some('.') && !names::is_source(word);
    }

    fn take_name(&mut self, word: &'t str) {
        let letters = word.find(char::is_numeric).unwrap_or(word.len());
        let stem = word[..letters].trim_end_matches('_');
        let stem = stem.rsplit('_').next().unwrap_or(stem);
        let is_processor =
            stem.eq_ignore_ascii_case("cpu") && self.rest()[word.len()..].starts_with(':');
        let is_chance = is_processor || names::is_variable(stem) && !names::is_thing(self.noun);
        if names::is_id(word) {
            self.put_mark(false);
            return self.end_word(word, Before::Mark);
        }
        let shown = names::shown_name(word, is_chance);
        self.put(&shown);
        self.end_word(word, if shown == word { Before::Name } else { Before::Mark });
    }

    fn take_number(&mut self, word: &'t str) {
        let rest = self.rest();
        if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
            let stays = names::hex_stays_behind(self.noun, word) && !hex.is_empty();
            return self.finish_number(word.len(), stays, false);
        }
        if word.contains(char::is_alphabetic) && names::is_id(word) {
            return self.finish_number(word.len(), false, false);
        }
        let length = number_length(rest);
        let (number, after) = (&rest[..length], &rest[length..]);
        let unit = unit_length(after);
        if let Some(unit) = unit
            && !(after.starts_with(' ') && names::is_code(self.noun) && self.stays(number))
        {
            return self.finish_number(length + unit, false, true);
        }
        if !after.starts_with(|it: char| it.is_alphanumeric() || it == '_') {
            let stays = self.stays(number);
            return self.finish_number(length, stays, false);
        }
        self.take_mixed(word, length);
    }

    /// A word that begins with a digit and is no quantity: `5xx`, `1a2b`, `1.2f`.
    fn take_mixed(&mut self, word: &'t str, length: usize) {
        if length > digits_length(word) {
            let tail = &self.rest()[length..];
            let end = tail.find(|it: char| !it.is_alphanumeric()).unwrap_or(tail.len());
            let is_hex = tail.as_bytes()[..end].iter().all(u8::is_ascii_hexdigit);
            return self.finish_number(length + if is_hex { end } else { 0 }, false, false);
        }
        self.put(&names::shown_name(word, false));
        self.end_word(word, Before::Name);
    }

    /// Whether the number at the start of the rest stays.
    fn stays(&self, number: &str) -> bool {
        let joint = self.joint();
        let is_signed = self.connectors > 0 && self.form.ends_with(['+', '-']);
        if !self.noun.is_empty()
            && (!is_signed || names::is_code(self.noun))
            && !self.is_by_chance(number)
        {
            let next = self.rest().get(number.len()..).unwrap_or_default().trim_start();
            let is_level = next.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("db"));
            return !is_level && names::stays_behind(self.noun, number);
        }
        match (joint, self.before) {
            (Some(':'), before) if self.is_host || before == Before::Address => {
                names::is_service_port(number)
            }
            (Some(joint), Before::Name) if names::extends_name(joint, number) => true,
            (Some(joint), Before::Name | Before::Word) if joint != ' ' => {
                let is_of_thing = names::is_thing(self.outer) && joint == '-';
                names::stays_joined(self.word, joint, number)
                    || is_of_thing && names::extends_name('/', number)
            }
            (_, Before::Word) if self.text.get(self.word_end..self.at) == Some(" ") => {
                self.is_numbered_thing(number)
            }
            (_, _) => false,
        }
    }

    /// Numbers behind a noun that are assigned by chance all the same: a process of Node.js, the port
    /// of a client, the process of a logger.
    fn is_by_chance(&self, number: &str) -> bool {
        let is = |noun: &str| self.noun.eq_ignore_ascii_case(noun);
        let follows_mark =
            self.form[self.mark_end..].trim_start().len() <= "port: ".len() && self.mark_end > 0;
        is("node") && self.joint() == Some(':')
            || is("port") && follows_mark && number.len() > 3
            || is("error") && self.rest()[number.len()..].starts_with(" -")
    }

    /// `printer 12`, and `CPU 1 Temp` of a sensor, but not `CPU 3: Machine Check`.
    fn is_numbered_thing(&self, number: &str) -> bool {
        let next = &self.rest()[number.len()..];
        if !self.word.eq_ignore_ascii_case("cpu") {
            return names::is_numbered_thing(self.word, number, next);
        }
        let is_named = next.strip_prefix(' ').is_some_and(|it| it.starts_with(char::is_alphabetic));
        is_named && !self.outer.eq_ignore_ascii_case("on")
    }

    fn finish_number(&mut self, length: usize, stays: bool, has_unit: bool) {
        let number = &self.rest()[..length];
        if stays {
            self.put(number);
            return self.end_word(number, Before::Name);
        }
        self.drop_sign();
        self.put_mark(has_unit);
        self.end_word(number, Before::Mark);
    }

    /// Removes a sign in front of a number, but not a hyphen within a name.
    fn drop_sign(&mut self) {
        let Some(unsigned) = self.form.strip_suffix(['+', '-', '−', '~', '±']) else { return };
        if !unsigned.ends_with(|it: char| it.is_alphanumeric() || matches!(it, '_' | '#')) {
            self.form.truncate(unsigned.len());
        }
    }

    /// Puts a placeholder, or none if the last one belongs to the same list or quantity.
    fn put_mark(&mut self, has_unit: bool) {
        let between = &self.form[self.mark_end..];
        let continues = self.mark_end > 0
            && between.bytes().all(|it| matches!(it, b' ' | b','))
            && (between.contains(',') || has_unit && self.has_unit);
        if continues {
            self.form.truncate(self.mark_end);
        } else {
            self.form.push('#');
        }
        self.mark_end = self.form.len();
        self.has_unit = has_unit;
    }

    fn put(&mut self, word: &str) {
        self.form.push_str(word);
    }

    fn end_word(&mut self, word: &'t str, before: Before) {
        self.at += word.len();
        self.word = word;
        self.word_end = self.at;
        self.before = before;
        self.noun = "";
        self.is_host = false;
    }
}

/// The word without the `s` of the plural if it follows a number, and plural verbs as singular.
fn singular(word: &str, follows_number: bool) -> &str {
    match word {
        "are" => "is",
        "were" => "was",
        "have" => "has",
        _ if follows_number && word.len() >= 4 && !word.ends_with("ss") => {
            word.strip_suffix('s').unwrap_or(word)
        }
        _ => word,
    }
}
