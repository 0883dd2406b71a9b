//! Tests of the text form, of what matches, and of contradictions.

use proptest::prelude::*;

use super::*;
use crate::grid::model::alert::ALERT_KINDS;

fn facts() -> AlertFacts<'static> {
    AlertFacts {
        appliance: Some("shop:main.db1"),
        class: "database",
        kind: "event",
        key: "disk full on /srv",
        severity: Severity::Error,
    }
}

fn of_broker() -> AlertFacts<'static> {
    AlertFacts { appliance: None, class: "", kind: "disk_low", key: "", severity: Severity::Warn }
}

fn parse(text: &str) -> Matchers {
    Matchers::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn all_conditions_must_be_fulfilled() {
    for (text, is_match) in [
        ("", true),
        ("class=database severity>=error appliance=shop:*", true),
        ("class=database severity>=fatal appliance=shop:*", false),
        ("class = database\n\tseverity >= warn", true),
        ("appliance=db1", false),
        ("appliance=*db[0-9]", true),
        ("appliance!=*.db?", false),
        ("class=~batch,data*", true),
        ("class!~\"batch, web\"", true),
        ("class!~batch,data*", false),
        ("severity<=error severity!=warn", true),
        ("severity=error", true),
        ("severity!=error", false),
        ("key=\"disk full*\"", true),
        ("key=disk\\ full*", true),
        ("key=\"\"", false),
        ("key!=\"\"", true),
        ("kind=~event,hung", true),
    ] {
        assert_eq!(parse(text).matches(&facts()), is_match, "{text}");
    }
}

#[test]
fn a_field_that_an_alert_does_not_have_matches_the_empty_text_alone() {
    for (text, is_match) in [
        ("", true),
        ("appliance=*", false),
        ("appliance!=*", true),
        ("appliance=\"\"", true),
        ("class=*", false),
        ("class!=batch", true),
        ("key=*", false),
        ("kind=disk_low", true),
    ] {
        assert_eq!(parse(text).matches(&of_broker()), is_match, "{text}");
    }
}

#[track_caller]
fn assert_refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = Matchers::parse(text).expect_err(text);
        assert_eq!(error.to_string(), *expected, "{text}");
    }
}

#[test]
fn mistakes_of_form_name_their_place_their_reason_and_what_is_allowed() {
    assert_refused(&[
        ("severty=warn", "character 1: `severty` is not a field; did you mean severity?"),
        (
            "class=a host=b",
            "character 9: `host` is not a field; there are appliance, class, kind, \
          severity, key",
        ),
        ("=a", "character 1: `` is not a field; there are appliance, class, kind, severity, key"),
        (
            "class",
            "character 6: behind class an operator is missing; there are =, !=, =~, !~, and \
          >= and <= for severity",
        ),
        ("class>=b", "character 6: class has no operator >=; it has =, !=, =~ and !~"),
        (
            "severity=~warn,error",
            "character 9: severity has no operator =~; it has =, !=, >= and \
          <=",
        ),
        ("class=", "character 7: the value of class is missing; write \"\" for the empty text"),
        ("class=~,", "character 8: the value of class is missing; write \"\" for the empty text"),
        (
            "class= severity>=warn",
            "character 8: the value `severity>=warn` contains >, so it needs \
          quotes; or its value is missing and this is the next matcher",
        ),
        (
            "key=\"a b",
            "character 5: the quoted value has no end; add \", and write \\\" for one \
          within it",
        ),
        ("key=\"a\"b", "character 8: behind the closing quote a space is missing"),
        ("ü=a", "character 1: `ü` is not a field; there are appliance, class, kind, severity, key"),
    ]);
}

#[test]
fn values_that_do_not_exist_are_refused_with_what_is_near() {
    assert_refused(&[
        (
            "key=ü severity=wran",
            "character 16: `wran` is not a severity; there are debug, info, \
          warn, error, fatal",
        ),
        ("kind=hang", "character 6: `hang` is not a kind of alerts; did you mean hung?"),
        ("kind=~event,hung*x", "character 7: `hung*x` is not a kind of alerts; did you mean hung?"),
        (
            "class=a,b",
            "character 7: `a,b` is a list; write class=~a,b for one of them, or \
          class!~a,b for none of them",
        ),
        (
            "appliance=db{1,2}",
            "character 11: `db{1,2}`: no appliance has the character '{'; names have \
          letters, digits and . _ - :",
        ),
        (
            "appliance=db/1",
            "character 11: `db/1`: no appliance has the character '/'; names have \
          letters, digits and . _ - :",
        ),
        (
            "appliance=db[1",
            "character 11: `db[1` is not a pattern: [ has no closing ]; write \\[ \
          for the character itself",
        ),
        ("key=\"a\nb\"", "character 5: the character '\\n' is not allowed; ? matches it"),
        ("key=\u{1b}[0m", "character 5: the character '\\u{1b}' is not allowed; ? matches it"),
    ]);
}

#[test]
fn count_and_length_are_bounded() {
    let long = "a".repeat(PATTERNS_MAX * 2 + 10).replace("aa", "a,");
    assert_refused(&[
        (&format!("class=~{long}"), "character 8: the list has more than 64 patterns"),
        (
            &"class!=a ".repeat(17),
            "character 145: there are more than 16 matchers; lists (=~) take \
          several values at once",
        ),
        (&format!("key={}", "a".repeat(5_000)), "character 1: the text has more than 4096 bytes"),
        (
            &format!("key={}", "a".repeat(600)),
            "character 5: \
          `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...` is not a pattern: it has more than 512 \
          bytes",
        ),
    ]);
    let error = Matchers::parse_all(&["class=a", "severity>>warn"]).expect_err("is refused");
    assert!(error.to_string().starts_with("text 2, character 9: behind severity"), "{error}");
    let half = "key!=".to_owned() + &"a".repeat(500);
    let error = Matchers::parse_all(&vec![half; 9]).expect_err("is refused");
    assert_eq!((error.text, error.problem), (9, MatcherProblem::TooLong));
}

#[test]
fn contradictions_are_found() {
    for (text, field) in [
        ("severity>=error severity<=warn", Some(MatcherField::Severity)),
        ("severity=warn severity!=warn", Some(MatcherField::Severity)),
        ("kind=hung kind=stuck", Some(MatcherField::Kind)),
        ("kind!=*", Some(MatcherField::Kind)),
        ("class=a class=b", Some(MatcherField::Class)),
        ("class=~a,b class!~b,a", Some(MatcherField::Class)),
        ("appliance=db* appliance=web*", Some(MatcherField::Appliance)),
        ("appliance=db1* appliance!=db*", Some(MatcherField::Appliance)),
        ("key=\"\" key=*", Some(MatcherField::Key)),
        ("appliance=db* appliance=*1", None),
        ("appliance=db* appliance!=db1", None),
        ("class=~a,b class!=b", None),
        ("class!=a class!=b", None),
        ("kind=*ing", None),
        ("", None),
    ] {
        assert_eq!(parse(text).contradiction(), field, "{text}");
    }
}

#[test]
fn it_is_found_when_others_take_everything() {
    for (earlier, own, expected) in [
        (&[""][..], "class=a", Some(vec![0])),
        (&["class=a"], "class=a severity=fatal", Some(vec![0])),
        (&["class=a severity=fatal"], "class=a", None),
        (&["severity>=error", "kind=hung", "severity<=warn"], "class=a", Some(vec![0, 1, 2])),
        (&["severity>=error", "kind=hung"], "kind=hung appliance=x", Some(vec![0, 1])),
        (&["severity>=error", "severity<=info"], "class=a", None),
        (&["appliance=db*"], "appliance=~db1*,db2", Some(vec![0])),
        (&["appliance=db1*"], "appliance=db*", None),
        (&["appliance!=db1"], "appliance=web*", Some(vec![0])),
        (&["appliance!~db1,db2"], "appliance!=db*", Some(vec![0])),
        (&["appliance!=db*"], "appliance!=db1", None),
        (&["class=*"], "class=a", Some(vec![0])),
        (&["class=*"], "", None),
        (&["class=a", "class=b"], "class=~a,b", None),
        (&[], "class=a", None),
    ] {
        let earlier: Vec<_> = earlier.iter().map(|it| parse(it)).collect();
        let earlier: Vec<_> = earlier.iter().collect();
        assert_eq!(parse(own).taken_by(&earlier), expected, "{own}");
    }
}

#[test]
fn an_alert_is_matched_by_its_own_facts() {
    let hostile = "a \"b\" = <c>, *?[x]\\ \u{1b}[0m ~ü";
    let own = Matchers::of([
        Matcher::exactly(MatcherField::Key, hostile),
        Matcher::exactly(MatcherField::Severity, "error"),
    ]);
    assert!(own.matches(&AlertFacts { key: hostile, ..facts() }));
    assert!(!own.matches(&AlertFacts { key: hostile, severity: Severity::Fatal, ..facts() }));
    assert!(!own.matches(&facts()));
    assert_eq!(parse(&own.to_string()), own);
}

/// One matcher as users may write it.
fn matcher_text() -> impl Strategy<Value = String> {
    let names = "[a-c*?.:-]{1,4}";
    prop_oneof![
        ("(appliance|class)(=|!=)", names).prop_map(|(begin, value)| begin + &value),
        ("(appliance|class|key)(=~|!~)", prop::collection::vec(names, 1..4))
            .prop_map(|(begin, list)| begin + &list.join(",")),
        ("key(=|!=)\"", "([a-c*?., =<>~]|\\\\[*?\\[\"]){0,6}").prop_map(|(a, b)| a + &b + "\""),
        "severity(=|!=|>=|<=)(info|warn|fatal)",
        "kind(=|!=)(hung|s[*]|event)",
    ]
}

proptest! {
    #[test]
    fn the_text_form_is_read_again(texts in prop::collection::vec(matcher_text(), 0..6)) {
        let matchers = Matchers::parse_all(&texts).expect("is valid");
        let again = Matchers::parse(&matchers.to_string());
        prop_assert_eq!(again.as_ref(), Ok(&matchers), "{}", matchers);
    }

    #[test]
    fn what_is_called_contradictory_or_taken_is_so(
        one in prop::collection::vec(matcher_text(), 0..4),
        others in prop::collection::vec(prop::collection::vec(matcher_text(), 0..3), 0..3),
        appliance in prop::option::of("[a-c.:-]{1,3}"),
        class in "[a-c]{0,3}",
        key in "[a-c., =<>~*]{0,4}",
        kind in prop::sample::select(ALERT_KINDS.to_vec()),
        severity in prop::sample::select(Severity::ALL.to_vec()),
    ) {
        let appliance = appliance.as_deref();
        let facts = AlertFacts { appliance, class: &class, kind, key: &key, severity };
        let one = Matchers::parse_all(&one).expect("is valid");
        let others: Vec<_> =
            others.iter().map(|it| Matchers::parse_all(it).expect("is valid")).collect();
        if one.matches(&facts) {
            prop_assert_eq!(one.contradiction(), None, "{}", one);
            if let Some(takers) = one.taken_by(&others.iter().collect::<Vec<_>>()) {
                prop_assert!(takers.iter().any(|it| others[*it].matches(&facts)), "{} {:?}", one, others);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", near in "(class|=|!|~|\"|\\\\|a|,|[ \n*\\[]){0,20}") {
        for text in [text, near] {
            if let Err(error) = Matchers::parse(&text) {
                prop_assert!(error.character >= 1 && error.character <= text.chars().count() + 1);
            }
        }
    }
}
