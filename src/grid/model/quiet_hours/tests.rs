//! Tests of quiet hours: over midnight, over weeks, and where clocks are changed.

use proptest::prelude::*;

use super::*;

/// Berlin's rules since 1996, without the zone database of this machine.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn quiet_in(zone: &str, periods: &[&str], severity_from: Severity) -> QuietHours {
    let periods: Vec<_> = periods.iter().map(|it| it.parse().expect("a period")).collect();
    let zone = TimeZone::posix(zone).expect("a zone");
    QuietHours::new(&periods, zone, severity_from).expect("quiet hours")
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().expect("a time");
    Timestamp::from_micros(at.as_microsecond())
}

#[track_caller]
fn assert_held(quiet: &QuietHours, now: &str, until: Option<&str>) {
    let held = quiet.hold_until(Severity::Error, at(now));
    assert_eq!(held, until.map(at), "{now}");
}

#[test]
fn what_comes_over_night_waits_for_the_morning() {
    let quiet = quiet_in(BERLIN, &["mon-fri 22:00-07:00"], Severity::Fatal);
    // 2026-11-30 is a Monday.
    assert_held(&quiet, "2026-11-30T21:59:59+01", None);
    assert_held(&quiet, "2026-11-30T22:00:00+01", Some("2026-12-01T07:00+01"));
    assert_held(&quiet, "2026-12-01T06:59:59+01", Some("2026-12-01T07:00+01"));
    assert_held(&quiet, "2026-12-01T07:00:00+01", None);
    // It begins on Friday and ends on Saturday; on Sunday none begins.
    assert_held(&quiet, "2026-12-05T06:00:00+01", Some("2026-12-05T07:00+01"));
    assert_held(&quiet, "2026-12-05T22:30:00+01", None);
    assert_held(&quiet, "2026-12-07T03:00:00+01", None);
}

#[test]
fn periods_without_a_pause_have_one_end() {
    let periods =
        ["mon-fri 18:00-24:00", "tue-fri 00:00-06:00", "sat-sun 00:00-24:00", "mon 00:00-06:00"];
    let quiet = quiet_in("UTC0", &periods, Severity::Fatal);
    assert_held(&quiet, "2026-12-01T19:00Z", Some("2026-12-02T06:00Z"));
    assert_held(&quiet, "2026-12-04T18:00Z", Some("2026-12-07T06:00Z"));
    assert_held(&quiet, "2026-12-06T23:59:59Z", Some("2026-12-07T06:00Z"));
    assert_held(&quiet, "2026-12-07T06:00Z", None);
}

#[test]
fn fatal_alerts_and_those_from_the_severity_pass() {
    let now = at("2026-12-01T03:00Z");
    let quiet = quiet_in("UTC0", &["00:00-06:00"], Severity::Error);
    for (severity, is_held) in [
        (Severity::Info, true),
        (Severity::Warn, true),
        (Severity::Error, false),
        (Severity::Fatal, false),
    ] {
        assert_eq!(quiet.hold_until(severity, now).is_some(), is_held, "{severity:?}");
    }
    let strict = quiet_in("UTC0", &["00:00-06:00"], Severity::Fatal);
    assert!(strict.hold_until(Severity::Error, now).is_some());
    assert_eq!(strict.hold_until(Severity::Fatal, now), None);
}

#[test]
fn a_time_that_clocks_leave_out_is_the_moment_of_the_change() {
    // 2026-03-29: after 02:00 comes 03:00, at 01:00 UTC.
    let quiet = quiet_in(BERLIN, &["23:00-02:30"], Severity::Fatal);
    assert_held(&quiet, "2026-03-29T00:59:59Z", Some("2026-03-29T01:00Z"));
    assert_held(&quiet, "2026-03-29T01:00:00Z", None);
    let quiet = quiet_in(BERLIN, &["02:15-04:00"], Severity::Fatal);
    assert_held(&quiet, "2026-03-29T00:59:59Z", None);
    assert_held(&quiet, "2026-03-29T01:00:00Z", Some("2026-03-29T02:00Z"));
    // All of it is left out.
    let quiet = quiet_in(BERLIN, &["02:15-02:45"], Severity::Fatal);
    for minute in 0..120 {
        let now = at("2026-03-29T00:00Z").after(std::time::Duration::from_secs(minute * 60));
        assert_eq!(quiet.hold_until(Severity::Warn, now), None, "{now:?}");
    }
    assert_held(&quiet, "2026-03-30T00:20Z", Some("2026-03-30T00:45Z"));
}

#[test]
fn a_time_that_comes_twice_is_its_first_one() {
    // 2026-10-25: after 03:00 comes 02:00 again, at 01:00 UTC.
    let quiet = quiet_in(BERLIN, &["23:00-02:30"], Severity::Fatal);
    assert_held(&quiet, "2026-10-25T00:29:59Z", Some("2026-10-25T00:30Z"));
    assert_held(&quiet, "2026-10-25T00:30:00Z", None);
    assert_held(&quiet, "2026-10-25T01:10:00Z", None);
    let quiet = quiet_in(BERLIN, &["02:30-04:00"], Severity::Fatal);
    assert_held(&quiet, "2026-10-25T00:30Z", Some("2026-10-25T03:00Z"));
    assert_held(&quiet, "2026-10-25T01:10Z", Some("2026-10-25T03:00Z"));
    // Clocks that are put back at midnight: 23:00 to 24:00 of the day comes twice.
    let quiet = quiet_in(
        "XXX0YYY,M3.5.0,M10.5.0/24",
        &["sun 23:30-24:00", "mon 00:00-01:00"],
        Severity::Fatal,
    );
    assert_held(&quiet, "2026-10-25T22:45:00Z", Some("2026-10-26T01:00Z"));
    assert_held(&quiet, "2026-10-25T23:10:00Z", Some("2026-10-26T01:00Z"));
}

#[test]
fn mistakes_are_refused_with_their_reason() {
    for (text, expected) in [
        ("", "a period is written as `mon-fri 22:00-07:00`, or `22:00-07:00` for all days"),
        ("mon", "a period is written as `mon-fri 22:00-07:00`, or `22:00-07:00` for all days"),
        ("mo 22:00-07:00", "`mo` is not a day; there are mon, tue, wed, thu, fri, sat, sun"),
        ("mon- 22:00-07:00", "`` is not a day; there are mon, tue, wed, thu, fri, sat, sun"),
        ("24:00-07:00", "`24:00` is not a time; times are 00:00 to 23:59, and 24:00 as an end"),
        ("22-07", "`22` is not a time; times are 00:00 to 23:59, and 24:00 as an end"),
        ("22:00-7:00", "`7:00` is not a time; times are 00:00 to 23:59, and 24:00 as an end"),
        ("22:00-24:01", "`24:01` is not a time; times are 00:00 to 23:59, and 24:00 as an end"),
        ("22:60-23:00", "`22:60` is not a time; times are 00:00 to 23:59, and 24:00 as an end"),
        ("08:00-08:00", "begin and end are the same; a whole day is 00:00-24:00"),
    ] {
        let error = text.parse::<QuietPeriod>().expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let of = |texts: &[&str]| {
        let periods: Vec<_> = texts.iter().map(|it| it.parse().expect("a period")).collect();
        QuietHours::new(&periods, TimeZone::UTC, Severity::Fatal).map(|it| it.to_string())
    };
    assert_eq!(of(&[]), Err(QuietHoursError::Empty));
    assert_eq!(of(&["01:00-02:00"; 9]), Err(QuietHoursError::TooMany));
    assert_eq!(of(&["00:00-24:00"]), Err(QuietHoursError::Endless));
    assert_eq!(of(&["06:00-22:00", "22:00-06:00"]), Err(QuietHoursError::Endless));
    assert_eq!(
        of(&["mon,tue,wed,sat 22:00-00:00", "sat-mon 00:00-24:00"]).as_deref(),
        Ok("mon-wed,sat 22:00-24:00, mon,sat,sun 00:00-24:00 UTC")
    );
}

/// Any period.
fn period() -> impl Strategy<Value = QuietPeriod> {
    let days = prop::array::uniform7(any::<bool>()).prop_filter("a day", |it| it.contains(&true));
    let filtered = (days, 0_u16..DAY_MINUTES, 1_u16..=DAY_MINUTES);
    let filtered = filtered.prop_filter("a length", |(_, from, to)| from != to);
    filtered.prop_map(|(days, from, to)| QuietPeriod { days, from, to })
}

proptest! {
    #[test]
    fn a_period_is_read_as_it_is_written(period in period()) {
        prop_assert_eq!(period.to_string().parse(), Ok(period));
    }

    #[test]
    fn what_waits_has_an_end_in_a_week_and_then_passes(
        periods in prop::collection::vec(period(), 1..4),
        seconds in 1_772_000_000_i64..1_804_000_000,
    ) {
        let zone = TimeZone::posix(BERLIN).expect("a zone");
        let Ok(quiet) = QuietHours::new(&periods, zone, Severity::Fatal) else { return Ok(()) };
        let now = Timestamp::from_micros(seconds * 1_000_000);
        let Some(end) = quiet.hold_until(Severity::Warn, now) else { return Ok(()) };
        prop_assert!(end > now && end.since(now).as_secs() <= (7 * 24 + 1) * 3_600);
        prop_assert_eq!(quiet.hold_until(Severity::Warn, end), None);
    }
}
