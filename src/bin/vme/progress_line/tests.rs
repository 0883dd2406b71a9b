//! Tests the documented grammar of progress lines.

use proptest::prelude::*;

use super::*;

#[test]
fn the_grammar_is_as_documented() {
    for (line, progress, text) in [
        ("34", Some(34), ""),
        ("  34\t", Some(34), ""),
        ("34 %", Some(34), ""),
        ("34%", Some(34), ""),
        ("34.7 %", Some(34), ""),
        ("34,7%", Some(34), ""),
        ("99.9", Some(99), ""),
        ("[34%]", Some(34), ""),
        ("(34 %)", Some(34), ""),
        ("100", Some(100), ""),
        ("1%", Some(1), ""),
        ("34% checking table 7", Some(34), "checking table 7"),
        ("34 %: checking table 7", Some(34), "checking table 7"),
        ("34% - checking", Some(34), "checking"),
        ("[ 34%] Linking C program", Some(34), "Linking C program"),
        ("66% of file system check", Some(66), "of file system check"),
        ("checking table 7: 34%", Some(34), "checking table 7"),
        ("checking table 7 - 34%", Some(34), "checking table 7"),
        ("checking table 7 (34 %)", Some(34), "checking table 7"),
        ("/dev/sda1: |=====    | 34.5%", Some(34), "/dev/sda1"),
        ("\x1b[2K\x1b[1;32m34%\x1b[0m fsck", Some(34), "fsck"),
        ("a 34% b", Some(34), "a 34% b"),
        ("[34% half open", Some(34), "half open"),
        ("half closed 34%]", Some(34), "half closed"),
        // No progress yet.
        ("0", None, ""),
        ("0 % begins", None, "begins"),
        ("0.4% begins", None, "begins"),
        // No percentage, or not the only one.
        ("checking table 7", None, "checking table 7"),
        ("34 tables checked", None, "34 tables checked"),
        ("101", None, "101"),
        ("4096", None, "4096"),
        ("300% faster", None, "300% faster"),
        ("34%ile", None, "34%ile"),
        ("shrunk by -34%", None, "shrunk by -34%"),
        ("sda34%", None, "sda34%"),
        ("part 1/34 %", None, "part 1/34 %"),
        ("34%, then 40%", None, "34%, then 40%"),
        ("%", None, "%"),
        ("Use%", None, "Use%"),
        ("]", None, "]"),
        ("1.2.34%", None, "1.2.34%"),
        // Another meaning.
        ("disk is 95% full, going on", None, "disk is 95% full, going on"),
        ("95% full", None, "95% full"),
        ("memory used: 34%", None, "memory used: 34%"),
        ("34% of the disk used", None, "34% of the disk used"),
        ("12% left", None, "12% left"),
        ("3% free", None, "3% free"),
        ("CPU usage is at 34 %", None, "CPU usage is at 34 %"),
        ("memory: 34%", None, "memory: 34%"),
        ("4 packets transmitted, 20% packet loss", None, "4 packets transmitted, 20% packet loss"),
        ("hit ratio 98.5%", None, "hit ratio 98.5%"),
        ("5.00% reserved for root", None, "5.00% reserved for root"),
        ("7864 blocks (5.00%) reserved", None, "7864 blocks (5.00%) reserved"),
        // The same words elsewhere in the line.
        ("34% checking the free list", Some(34), "checking the free list"),
        ("free list, checked: 34%", Some(34), "free list, checked"),
        ("34% of memory tested", Some(34), "of memory tested"),
    ] {
        let text = (!text.is_empty()).then(|| text.to_owned());
        assert_eq!(parse(line.as_bytes()), Some(ParsedProgress { progress, text }), "{line:?}");
    }
    for nothing in ["", "  \t", "\x1b[K", "\x08\x08", "\x1b[0m", "\x1b]0;34%\x07"] {
        assert_eq!(parse(nothing.as_bytes()), None, "{nothing:?}");
    }
    assert_eq!(parse(b"\xff 3%").unwrap().text.unwrap(), "\u{fffd}");
}

proptest! {
    #[test]
    fn any_line_gives_a_percentage_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        odd in "[\\[(|]?[ ]?[-=#.]{0,4}[0-9]{0,4}[.,]?[0-9/]{0,2}[ ]?%?[\\])|]?[-: a\u{e9}%\u{2588}]{0,4}",
    ) {
        for line in [bytes, odd.into_bytes()] {
            let parsed = parse(&line).unwrap_or_default();
            let is_percent = parsed.progress.is_none_or(|it| (1..=100).contains(&it));
            prop_assert!(is_percent);
            let is_plain = parsed.text.is_none_or(|text| !text.contains('\x1b'));
            prop_assert!(is_plain);
        }
    }
}
