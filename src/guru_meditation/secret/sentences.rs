//! Masks secrets in sentences: `token=...`, `"password": "..."`, `--api-key ...`, `Bearer ...`.
//!
//! Also masks tokens with a known prefix. Guarantees that the value after a secret name is masked
//! up to its end, quoted or not; harmless text may be masked with it. White space is unchanged.
//! Does not know where the text comes from.

use super::{MASK, is_boolean, is_secret_name};

/// Authentication schemes, followed by a secret if the next word looks like one.
const AUTH_SCHEMES: [&str; 4] = ["bearer", "basic", "plain", "login"];

/// Prefixes of tokens of well-known services.
const TOKEN_PREFIXES: [&str; 12] = [
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

/// Minimum length of a token.
const TOKEN_BYTES_MIN: usize = 16;

/// What the previous words imply about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nothing.
    Nothing,
    /// It may be `=` or `:`, followed by a secret.
    Separator,
    /// It is a secret.
    Secret,
    /// It is a secret, unless it is a flag.
    FlagValue,
    /// It is a secret if it looks like one.
    Likely,
    /// The secret continues up to this quote.
    UntilQuote(char),
}

/// Masks secrets that follow their names.
pub(super) fn mask_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut next = Expected::Nothing;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end_matches(char::is_whitespace);
        let space = &piece[word.len()..];
        if word.is_empty() {
            shown.push_str(space);
            continue;
        }
        let (masked, follows) = mask_word(word, next);
        shown.push_str(&masked);
        next = follows;
        if !matches!(next, Expected::UntilQuote(_)) {
            shown.push_str(space);
        }
    }
    shown
}

fn mask_word(word: &str, next: Expected) -> (String, Expected) {
    match next {
        Expected::UntilQuote(quote) if word.contains(quote) => {
            let end = word.rfind(quote).unwrap_or_default();
            (word[end..].to_owned(), Expected::Nothing)
        }
        Expected::UntilQuote(_) => (String::new(), next),
        Expected::Secret | Expected::Separator if matches!(word, "=" | ":" | "=>" | ":=") => {
            (word.to_owned(), Expected::Secret)
        }
        Expected::FlagValue if word.starts_with('-') => mask_within(word),
        Expected::Secret | Expected::FlagValue
            if AUTH_SCHEMES.contains(&&*word.to_ascii_lowercase()) =>
        {
            (word.to_owned(), next)
        }
        Expected::Secret | Expected::FlagValue => mask_secret(word),
        Expected::Likely if looks_random(word) => mask_secret(word),
        Expected::Nothing | Expected::Separator | Expected::Likely => mask_within(word),
    }
}

/// Masks a word that starts with a secret.
fn mask_secret(word: &str) -> (String, Expected) {
    let quote = word.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
    if let Some(quote) = quote {
        let rest = &word[1..];
        return match rest.find(quote) {
            Some(end) => {
                let (tail, next) = mask_within(&rest[end + 1..]);
                (format!("{quote}{}{quote}{tail}", mask_unless_boolean(&rest[..end])), next)
            }
            None => (format!("{quote}{MASK}"), Expected::UntilQuote(quote)),
        };
    }
    let ends = |c: char| matches!(c, ',' | ';' | '&' | ')' | ']' | '}' | '>' | '"' | '\'' | '<');
    let end = word.find(ends).unwrap_or(word.len());
    let (tail, next) = mask_within(&word[end..]);
    (format!("{}{tail}", mask_unless_boolean(&word[..end])), next)
}

fn mask_unless_boolean(value: &str) -> &str {
    if value.is_empty() || is_boolean(value) { value } else { MASK }
}

/// Masks secrets in a word that may contain names: `a=1&token=x`, `"password":"x"`.
fn mask_within(word: &str) -> (String, Expected) {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    for (at, sign) in word.char_indices().filter(|(_, c)| matches!(c, '=' | ':')) {
        let (before, behind) = (&word[..at], &word[at + 1..]);
        // `a::b` is a path, not a name.
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
        let flag =
            if bare[begin..].starts_with('-') { Expected::FlagValue } else { Expected::Secret };
        let (value_masked, next) = match behind {
            "" | ">" => (behind.to_owned(), flag),
            scheme if AUTH_SCHEMES.contains(&&*scheme.to_ascii_lowercase()) => {
                (scheme.to_owned(), flag)
            }
            behind => mask_secret(behind),
        };
        return (format!("{before}{sign}{value_masked}"), next);
    }
    let is_token = |token: &&str| word.starts_with(*token) && word.len() >= TOKEN_BYTES_MIN;
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    let next = if AUTH_SCHEMES.contains(&&*bare.to_ascii_lowercase()) {
        Expected::Likely
    } else if word.starts_with("--") && is_secret_name(word) {
        Expected::FlagValue
    } else if is_secret_name(bare) && bare.len() == word.len() {
        Expected::Separator
    } else {
        Expected::Nothing
    };
    match TOKEN_PREFIXES.iter().any(is_token) && looks_random(word) {
        true => (MASK.to_owned(), Expected::Nothing),
        false => (word.to_owned(), next),
    }
}

/// Whether a word mixes letters and digits as no natural word does.
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
    fn the_value_after_a_secret_name_is_masked() {
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
            assert_eq!(mask_secrets(text), shown);
        }
    }

    #[test]
    fn harmless_text_is_unchanged() {
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
            assert_eq!(mask_secrets(text), text);
        }
    }
}
