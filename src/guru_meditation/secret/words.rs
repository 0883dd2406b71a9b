//! Hides secrets in sentences: `token=...`, `"password": "..."`, `--api-key ...`, `Bearer ...`, and
//! tokens that are known by how they begin.
//!
//! Guarantees that what follows the name of a secret is hidden up to its end, in quotes or without,
//! though something harmless may go with it. White space stays as it is.

use super::{MASK, is_secret_name, is_truth};

/// Words behind which a secret follows, if it looks like one.
const SCHEMES: [&str; 4] = ["bearer", "basic", "plain", "login"];

/// How tokens begin that services give out.
const TOKENS: [&str; 12] = [
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "hvs.",
    "sk-",
    "SG.",
];

/// Nobody types a token that is shorter.
const TOKEN_BYTES_MIN: usize = 16;

/// What the words so far say of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Free,
    /// It may be `=` or `:`, with a secret behind.
    Sign,
    /// It is a secret.
    Secret,
    /// It is one, unless it is a flag.
    OfFlag,
    /// It is one if it looks like one.
    Likely,
    /// The secret goes on up to this quote.
    Within(char),
}

/// The text without secrets that stand behind their names.
pub(super) fn hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut next = Next::Free;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end_matches(char::is_whitespace);
        let space = &piece[word.len()..];
        if word.is_empty() {
            shown.push_str(space);
            continue;
        }
        let (said, follows) = one(word, next);
        shown.push_str(&said);
        next = follows;
        if !matches!(next, Next::Within(_)) {
            shown.push_str(space);
        }
    }
    shown
}

fn one(word: &str, next: Next) -> (String, Next) {
    match next {
        Next::Within(quote) if word.contains(quote) => {
            let end = word.rfind(quote).unwrap_or_default();
            (word[end..].to_owned(), Next::Free)
        }
        Next::Within(_) => (String::new(), next),
        Next::Secret | Next::Sign if matches!(word, "=" | ":" | "=>" | ":=") => {
            (word.to_owned(), Next::Secret)
        }
        Next::OfFlag if word.starts_with('-') => within(word),
        Next::Secret | Next::OfFlag if SCHEMES.contains(&&*word.to_ascii_lowercase()) => {
            (word.to_owned(), next)
        }
        Next::Secret | Next::OfFlag => value(word),
        Next::Likely if looks_random(word) => value(word),
        Next::Free | Next::Sign | Next::Likely => within(word),
    }
}

/// A word that holds a secret from its first letter on.
fn value(word: &str) -> (String, Next) {
    let quote = word.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
    if let Some(quote) = quote {
        let rest = &word[1..];
        return match rest.find(quote) {
            Some(end) => {
                let (tail, next) = within(&rest[end + 1..]);
                (format!("{quote}{}{quote}{tail}", masked(&rest[..end])), next)
            }
            None => (format!("{quote}{MASK}"), Next::Within(quote)),
        };
    }
    let ends = |c: char| matches!(c, ',' | ';' | '&' | ')' | ']' | '}' | '>' | '"' | '\'' | '<');
    let end = word.find(ends).unwrap_or(word.len());
    let (tail, next) = within(&word[end..]);
    (format!("{}{tail}", masked(&word[..end])), next)
}

fn masked(value: &str) -> &str {
    if value.is_empty() || is_truth(value) { value } else { MASK }
}

/// A word that may hold names and secrets: `a=1&token=x`, `"password":"x"`.
fn within(word: &str) -> (String, Next) {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    for (at, sign) in word.char_indices().filter(|(_, c)| matches!(c, '=' | ':')) {
        let (before, behind) = (&word[..at], &word[at + 1..]);
        // `a::b` is a path, no name.
        if sign == ':' && (behind.starts_with([':', '/']) || before.ends_with(':')) {
            continue;
        }
        let bare = before.trim_end_matches(['"', '\'', '`']);
        let begin = bare
            .rfind(|c| !is_of_name(c))
            .map_or(0, |last| last + bare[last..].chars().next().map_or(1, char::len_utf8));
        let name = bare[begin..].rsplit('.').next().unwrap_or_default();
        let own = behind.split(['&', '"', ',']).next().unwrap_or_default();
        let is_query = bare[..begin].ends_with(['?', '&']) && own.len() >= TOKEN_BYTES_MIN;
        let is_secret = is_secret_name(name) || (is_query && looks_random(own));
        if !is_secret || bare[..begin].ends_with("::") {
            continue;
        }
        let flag = if bare[begin..].starts_with('-') { Next::OfFlag } else { Next::Secret };
        let (said, next) = match behind {
            "" | ">" => (behind.to_owned(), flag),
            scheme if SCHEMES.contains(&&*scheme.to_ascii_lowercase()) => (scheme.to_owned(), flag),
            behind => value(behind),
        };
        return (format!("{before}{sign}{said}"), next);
    }
    let is_token = |token: &&str| word.starts_with(*token) && word.len() >= TOKEN_BYTES_MIN;
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    let next = if SCHEMES.contains(&&*bare.to_ascii_lowercase()) {
        Next::Likely
    } else if word.starts_with("--") && is_secret_name(word) {
        Next::OfFlag
    } else if is_secret_name(bare) && bare.len() == word.len() {
        Next::Sign
    } else {
        Next::Free
    };
    match TOKENS.iter().any(is_token) && looks_random(word) {
        true => (MASK.to_owned(), Next::Free),
        false => (word.to_owned(), next),
    }
}

/// Letters and digits in a mixture that no word has.
fn looks_random(word: &str) -> bool {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~%&".contains(c);
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let is_mixed = word.contains(|c: char| c.is_ascii_lowercase())
        && word[1.min(word.len())..].contains(|c: char| c.is_ascii_uppercase());
    word.len() >= 8
        && word.chars().all(is_of_token)
        && (has_digit || is_mixed || word.ends_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_name_of_a_secret_is_hidden() {
        for (text, shown) in [
            ("535 5.7.8 bad token=abc123, try again", "535 5.7.8 bad token=***, try again"),
            ("login with password: hunter2 failed", "login with password: *** failed"),
            ("password = \"two words\" is wrong", "password = \"***\" is wrong"),
            ("{\"api_key\":\"k1\",\"user\":\"u\"}", "{\"api_key\":\"***\",\"user\":\"u\"}"),
            ("{\"secret\": \"k1\", \"n\": 1}", "{\"secret\": \"***\", \"n\": 1}"),
            ("GET https://h/x?a=1&access_token=y&b=2", "GET https://h/x?a=1&access_token=***&b=2"),
            ("https://h/x?plt=AKgnsbu3XyZ12345678", "https://h/x?plt=***"),
            ("Authorization: Bearer abcDEF123.x failed", "Authorization: Bearer *** failed"),
            ("> AUTH PLAIN AGdyaWQAczNjcjN0 was sent", "> AUTH PLAIN *** was sent"),
            ("mysql --password hunter2 --user x", "mysql --password *** --user x"),
            ("curl --token=hunter2 x", "curl --token=*** x"),
            ("it said ghp_0123456789abcdefABCD here", "it said *** here"),
            ("PGPASSWORD=x psql", "PGPASSWORD=*** psql"),
            ("db.password=x;db.user=y", "db.password=***;db.user=y"),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "password_in_clear = false",
            "mail.password_in_clear: true",
            "mail.password_file=/etc/gridd/mail-password",
            "password authentication failed for user \"x\"",
            "grid_broker::config::secret: opened",
            "src/config/secret.rs:12: is wrong",
            "plain text and basic words",
            "the token has expired",
            "  two  spaces\n and a line",
            "http://example.org:7480/token/x",
            "queued as 4Zx81k0Vd2z1",
        ] {
            assert_eq!(hidden(text), text);
        }
    }
}
