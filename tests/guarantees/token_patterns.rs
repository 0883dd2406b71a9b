//! The patterns for secret scanners in SECURITY.md find every token, and nothing else.

use grid_broker::grid::values::identity::KeyHash;
use grid_broker::identity::token::{NewToken, TokenKind};
use regex::Regex;

const KINDS: [TokenKind; 3] =
    [TokenKind::Administrator, TokenKind::Appliance, TokenKind::Enrolment];

fn token(kind: TokenKind, pin: u8) -> String {
    let pin = (kind == TokenKind::Enrolment).then_some(KeyHash([pin; 32]));
    NewToken::generate(kind, pin).expect("a token").text().to_owned()
}

/// The patterns of the page: one per line for GitHub, and one for all in the rule of gitleaks.
fn patterns() -> (Vec<String>, String) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md");
    let text = std::fs::read_to_string(path).expect("SECURITY.md");
    let single = text.lines().filter(|line| line.starts_with("gb")).map(str::to_owned);
    let rule = text.lines().find_map(|line| line.strip_prefix("regex = '''"));
    let rule = rule.and_then(|rule| rule.strip_suffix("'''")).expect("the rule of gitleaks");
    (single.collect(), rule.to_owned())
}

fn found<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).expect("a regular expression");
    pattern.find_iter(text).map(|found| found.as_str()).collect()
}

#[test]
fn each_kind_of_token_has_a_pattern_that_finds_all_of_it() {
    let (single, rule) = patterns();
    assert_eq!(single.len(), KINDS.len());
    for (kind, pattern) in KINDS.into_iter().zip(&single) {
        for pin in 0..=u8::MAX {
            let token = token(kind, pin);
            let text = format!("export TOKEN=\"{token}\"");
            assert_eq!(found(pattern, &text), [&token], "{pattern}");
            assert_eq!(found(&rule, &text), [&token], "{rule}");
            let others = single.iter().filter(|other| *other != pattern);
            for other in others {
                assert!(found(other, &token).is_empty(), "{other} finds {token}");
            }
        }
    }
}

#[test]
fn the_rule_does_not_find_a_cut_token_a_longer_word_or_an_id() {
    let (_, rule) = patterns();
    for kind in KINDS {
        let token = token(kind, 7);
        for text in [&token[..token.len() - 1], &format!("{token}0"), &token[..12]] {
            assert!(found(&rule, text).is_empty(), "{text}");
        }
    }
}
