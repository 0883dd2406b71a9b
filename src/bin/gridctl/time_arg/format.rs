//! Formats points in time: local time for people, RFC 3339 for scripts.
//!
//! Guarantees that a formatted time can be parsed again. Does not read the clock.

use grid_broker::contract::proto::TimeInText;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Converts a time of the contract. `None` if it is outside the calendar.
pub(crate) fn from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// Converts to a time of the contract.
pub(crate) fn to_proto(moment: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() }
}

/// A time of the contract for scripts: RFC 3339, UTC, at most microseconds. Formatted as a date,
/// since a [`Timestamp`] ends a day before the contract's last year does. `None` if it is outside
/// the calendar.
pub(crate) fn rfc3339(time: &prost_types::Timestamp) -> Option<String> {
    let since_epoch = SignedDuration::new(time.seconds, time.nanos / 1_000 * 1_000);
    let at = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(since_epoch).ok()?;
    Some(format!("{at}Z"))
}

/// A time for people, in seconds: local time in `zone`, with a `Z` if the zone is UTC.
pub(crate) fn format_local(moment: Timestamp, zone: &TimeZone) -> String {
    let utc = if *zone == TimeZone::UTC { "Z" } else { "" };
    format!("{}{utc}", zone.to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S"))
}

/// A time with its zone, where nothing else names it: `2026-11-20 15:02:10 CET`.
pub(crate) fn format_with_zone(moment: Timestamp, zone: &TimeZone) -> String {
    let shown = format_local(moment, zone);
    if *zone == TimeZone::UTC { shown } else { format!("{shown} {}", zone_name(zone, moment)) }
}

/// The abbreviation of the zone at that time: `CET`, `UTC`, `+05`.
pub(crate) fn zone_name(zone: &TimeZone, moment: Timestamp) -> String {
    zone.to_offset_info(moment).abbreviation().to_owned()
}

/// A text of the broker with its times in the reader's zone: only the time of day if it is today,
/// otherwise with the date. Ranges that do not fit the text are ignored.
pub(crate) fn localize_text(
    text: &str,
    times: &[TimeInText],
    zone: &TimeZone,
    now: Timestamp,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for range in times {
        let Some(moment) = range.time.as_ref().and_then(from_proto) else { continue };
        let first = range.first as usize;
        let end = first.saturating_add(range.length as usize);
        let (Some(before), Some(_)) = (text.get(from..first), text.get(first..end)) else {
            continue;
        };
        out.push_str(before);
        out.push_str(&format_brief(moment, zone, now));
        from = end;
    }
    out.push_str(&text[from..]);
    out
}

/// `14:02:10` if that is today, otherwise `2026-11-19 14:02:10`; with a `Z` if the zone is UTC.
fn format_brief(moment: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let whole = format_local(moment, zone);
    if zone.to_datetime(moment).date() != zone.to_datetime(now).date() {
        return whole;
    }
    whole.split_once(' ').map_or(whole.clone(), |(_, time)| time.to_owned())
}

#[cfg(test)]
mod tests {
    use jiff::tz;

    use super::*;

    const NOW: &str = "2026-11-20T14:30:00Z";

    fn time_in_text(text: &str, written: &str) -> TimeInText {
        let first = u32::try_from(text.rfind(written).unwrap()).unwrap();
        let length = u32::try_from(written.len()).unwrap();
        TimeInText { first, length, time: Some(to_proto(written.parse().unwrap())) }
    }

    #[test]
    fn times_for_scripts_have_microseconds_at_most() {
        let time = prost_types::Timestamp { seconds: 1_795_183_330, nanos: 123_456_789 };
        assert_eq!(rfc3339(&time).unwrap(), "2026-11-20T14:02:10.123456Z");
        let time = prost_types::Timestamp { seconds: 1_795_183_330, nanos: 999 };
        assert_eq!(rfc3339(&time).unwrap(), "2026-11-20T14:02:10Z");
        assert_eq!(
            format_local(from_proto(&time).unwrap(), &TimeZone::UTC),
            "2026-11-20 14:02:10Z"
        );
        assert_eq!(to_proto(from_proto(&time).unwrap()), time);
        assert_eq!(from_proto(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), None);
    }

    #[test]
    fn times_in_a_text_are_localized_and_forged_ones_are_not() {
        let (now, zone) = (NOW.parse().unwrap(), TimeZone::fixed(tz::offset(1)));
        let text = "said \"2026-11-20T14:02:10Z ü\" at 2026-11-20T14:02:10Z, before that at \
                    2026-11-19T14:02:10Z; over";
        let times = [
            time_in_text(text, "2026-11-20T14:02:10Z"),
            time_in_text(text, "2026-11-19T14:02:10Z"),
        ];
        assert_eq!(
            localize_text(text, &times, &zone, now),
            "said \"2026-11-20T14:02:10Z ü\" at 15:02:10, before that at 2026-11-19 15:02:10; over"
        );
        assert_eq!(
            localize_text(text, &times[..1], &TimeZone::UTC, now),
            "said \"2026-11-20T14:02:10Z ü\" at 14:02:10Z, before that at 2026-11-19T14:02:10Z; over"
        );
    }

    #[test]
    fn a_time_by_itself_names_its_zone() {
        let now: Timestamp = NOW.parse().unwrap();
        let zone = TimeZone::posix("CET-1").unwrap();
        assert_eq!(format_with_zone(now, &zone), "2026-11-20 15:30:00 CET");
        assert_eq!(format_with_zone(now, &TimeZone::UTC), "2026-11-20 14:30:00Z");
        assert_eq!(zone_name(&TimeZone::UTC, now), "UTC");
    }

    #[test]
    fn invalid_ranges_leave_the_text_unchanged() {
        let at = |first, length| TimeInText {
            first,
            length,
            time: Some(to_proto(NOW.parse().unwrap())),
        };
        let times = [at(1, 1), at(u32::MAX, u32::MAX), at(0, 9)];
        assert_eq!(localize_text("ü", &times, &TimeZone::UTC, NOW.parse().unwrap()), "ü");
    }

    #[test]
    fn the_contracts_first_and_last_seconds_are_written_for_scripts() {
        for (seconds, written) in [
            (-62_135_596_800, Some("0001-01-01T00:00:00Z")),
            (253_402_300_799, Some("9999-12-31T23:59:59Z")),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            let time = prost_types::Timestamp { seconds, nanos: 0 };
            assert_eq!(rfc3339(&time).as_deref(), written);
        }
    }
}
