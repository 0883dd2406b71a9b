//! Points in time as they are shown: to people on their wall, to scripts in RFC 3339.
//!
//! Guarantees that what is shown can be typed again. Does not know what time it is.

use grid_broker::contract::proto::TimeInText;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A time of the contract. `None` if it is out of any calendar.
pub(crate) fn from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A time for the contract.
pub(crate) fn to_proto(moment: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() }
}

/// A time of the contract for scripts: RFC 3339, UTC, microseconds at most. Written as a date, since
/// a [`Timestamp`] ends a day before the contract's last year does. `None` if it is out of any
/// calendar.
pub(crate) fn rfc3339(time: &prost_types::Timestamp) -> Option<String> {
    let since_epoch = SignedDuration::new(time.seconds, time.nanos / 1_000 * 1_000);
    let at = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(since_epoch).ok()?;
    Some(format!("{at}Z"))
}

/// A time for people, to the second: on the wall of `zone`, with a `Z` if that is UTC by wish.
pub(crate) fn format_local(moment: Timestamp, zone: &TimeZone) -> String {
    let utc = if *zone == TimeZone::UTC { "Z" } else { "" };
    format!("{}{utc}", zone.to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S"))
}

/// The same with the zone, where nothing else names it: `2026-11-20 15:02:10 CET`.
pub(crate) fn with_zone(moment: Timestamp, zone: &TimeZone) -> String {
    let shown = format_local(moment, zone);
    if *zone == TimeZone::UTC { shown } else { format!("{shown} {}", zone_name(zone, moment)) }
}

/// What the zone is called at that moment: `CET`, `UTC`, `+05`.
pub(crate) fn zone_name(zone: &TimeZone, moment: Timestamp) -> String {
    zone.to_offset_info(moment).abbreviation().to_owned()
}

/// A text of the broker with its times as the reader reads them: the time of day alone if that is
/// today, else with the date. What does not lie in the text as it is told stays as it came.
pub(crate) fn format_sentence(
    text: &str,
    times: &[TimeInText],
    zone: &TimeZone,
    now: Timestamp,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for place in times {
        let Some(moment) = place.time.as_ref().and_then(from_proto) else { continue };
        let first = place.first as usize;
        let end = first.saturating_add(place.length as usize);
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

/// `14:02:10` if that is today, else `2026-11-19 14:02:10`; with a `Z` if it is UTC by wish.
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

    fn place(text: &str, written: &str) -> TimeInText {
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
    fn times_in_a_sentence_are_worded_for_the_reader_and_forged_ones_are_not() {
        let (now, zone) = (NOW.parse().unwrap(), TimeZone::fixed(tz::offset(1)));
        let text = "said \"2026-11-20T14:02:10Z ü\" at 2026-11-20T14:02:10Z, before that at \
                    2026-11-19T14:02:10Z; over";
        let times = [place(text, "2026-11-20T14:02:10Z"), place(text, "2026-11-19T14:02:10Z")];
        assert_eq!(
            format_sentence(text, &times, &zone, now),
            "said \"2026-11-20T14:02:10Z ü\" at 15:02:10, before that at 2026-11-19 15:02:10; over"
        );
        assert_eq!(
            format_sentence(text, &times[..1], &TimeZone::UTC, now),
            "said \"2026-11-20T14:02:10Z ü\" at 14:02:10Z, before that at 2026-11-19T14:02:10Z; over"
        );
    }

    #[test]
    fn a_time_by_itself_names_its_zone() {
        let now: Timestamp = NOW.parse().unwrap();
        let zone = TimeZone::posix("CET-1").unwrap();
        assert_eq!(with_zone(now, &zone), "2026-11-20 15:30:00 CET");
        assert_eq!(with_zone(now, &TimeZone::UTC), "2026-11-20 14:30:00Z");
        assert_eq!(zone_name(&TimeZone::UTC, now), "UTC");
    }

    #[test]
    fn places_that_do_not_fit_their_text_leave_it_as_it_is() {
        let at = |first, length| TimeInText {
            first,
            length,
            time: Some(to_proto(NOW.parse().unwrap())),
        };
        let times = [at(1, 1), at(u32::MAX, u32::MAX), at(0, 9)];
        assert_eq!(format_sentence("ü", &times, &TimeZone::UTC, NOW.parse().unwrap()), "ü");
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
