//! Times of servers, beside what jiff says of them.

use jiff::{fmt::strtime, tz::Offset};
use proptest::prelude::*;

use super::*;

#[test]
fn times_are_golden() {
    assert_eq!(parse_time(b"01/Jan/1970:00:00:00 +0000"), Some(0));
    assert_eq!(parse_time(b"10/Oct/2023:11:06:56 +0200"), Some(1_696_928_816_000));
    assert_eq!(parse_time(b"31/Dec/1969:19:00:00 -0500"), Some(0));
    assert_eq!(parse_time(b"29/Feb/2000:23:59:60 +0000"), Some(951_868_799_000));
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "",
        "10/Oct/2023:11:06:56",
        "29/Feb/2023:11:06:56 +0200",
        "29/Feb/1900:11:06:56 +0200",
        "31/Apr/2023:11:06:56 +0200",
        "00/Oct/2023:11:06:56 +0200",
        "10/oct/2023:11:06:56 +0200",
        "10/Oct/2023:24:06:56 +0200",
        "10/Oct/2023:11:60:56 +0200",
        "10/Oct/2023:11:06:61 +0200",
        "10/Oct/2023:11:06:56 00200",
        "10/Oct/2023:11:06:56 +2400",
        "10/Oct/2023:11:06:56 +020 ",
        "10/Oct/2023 11:06:56 +0200",
        "+1/Oct/2023:11:06:56 +0200",
    ] {
        assert_eq!(parse_time(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn every_servers_time_is_understood() {
    const AT: i64 = 1_696_928_816_000;
    for (text, at_ms) in [
        ("10/Oct/2023:11:06:56 +0200", AT),
        ("10/Oct/2023:09:06:56", AT),
        ("10/Oct/2023:09:06:56.789", AT + 789),
        ("2023-10-10T09:06:56Z", AT),
        ("2023-10-10T11:06:56.789123456+02:00", AT + 789),
        ("2023-10-10T09:06:56", AT),
        ("1696928816", AT),
        ("1696928816.789", AT + 789),
        ("1696928816.7", AT + 700),
        ("1696928816789", AT + 789),
        ("1696928816789.5", AT + 789),
        ("1696928816789123", AT + 789),
        ("1696928816789123456", AT + 789),
        ("10/Oct/2023:11:06:56.789 +0200", AT + 789),
        ("10/Oct/2023:11:06:56,789+02:00", AT + 789),
        ("10/Oct/2023:09:06:56 Z", AT),
        ("10/Oct/2023 09:06:56", AT),
        ("10/10/2023:11:06:56 +0200", AT),
        // Of Hiawatha.
        ("Tue 10 Oct 2023 11:06:56 +0200", AT),
        // Of cPanel, with the month first.
        ("09/10/2023:09:06:56 -0000", AT - 30 * 86_400_000),
        ("09/10/2023:09:06:56 +0000", AT - 86_400_000),
        ("2023/10/10 09:06:56", AT),
        ("2023/10/10 09:06:56.789", AT + 789),
        ("2023-10-10 09:06:56", AT),
        ("2023-10-10 11:06:56.789 +0200", AT + 789),
        ("2023-10-10 11:06:56,789 +02:00", AT + 789),
        ("2023-10-10T11:06:56+02", AT),
        ("2023-10-10\t09:06:56", AT),
        ("10-Oct-2023 11:06:56 +0200", AT),
        ("Tue Oct 10 09:06:56 2023", AT),
        ("Tue Oct 10 09:06:56.789123 2023", AT + 789),
        ("Tue, 10 Oct 2023 09:06:56 GMT", AT),
        ("Tue, 10 Oct 2023 11:06:56 +0200", AT),
        ("Tue, 10 Oct 2023 09:06:56", AT),
        // In UTC, the zone given.
        ("10/Oct/2023:09:06:56 CET", AT),
        ("2023-10-10 09:06:56.789 UTC", AT + 789),
    ] {
        assert_eq!(parse_any(text.as_bytes(), &Zone::UTC), Some(at_ms), "{text}");
    }
    for text in [
        "",
        "-",
        ".5",
        "1e9",
        "1696928816.",
        "-1",
        "99999999999999999999",
        "2023-10-10",
        "10/10/2023",
        "2023-10/10 09:06:56",
        "Oct-10-2023 09:06:56",
        "2023-13-10 09:06:56",
        "2023-00-10 09:06:56",
        "2023-10-10 24:06:56",
        "2023-10-10 09:06:56.",
        "2023-10-10 09:06:56 +24",
        "2023-10-10 09:06:56 Zurich",
        "2023-10-10 09:06:56 GET /",
        "1696928816 CET",
        "Tue, 32 Oct 2023 09:06:56 GMT",
        "Tue, 10 Oct 2023",
        "Tue Oct 32 09:06:56 2023",
        "Tue Oct 10 09:06:56",
        "Tuesday",
        "\u{ff}\u{ff}",
    ] {
        assert_eq!(parse_any(text.as_bytes(), &Zone::UTC), None, "{text}");
    }
}

#[test]
fn a_time_ends_where_the_next_field_begins() {
    const AT: i64 = 1_696_928_816_000;
    for (text, rest) in [
        ("2023-10-10 09:06:56 203.0.113.7", " 203.0.113.7"),
        ("2023-10-10 09:06:56.000,404", ",404"),
        ("2023-10-10T09:06:56,404", ""),
        ("2023-10-10T09:06:56, 404", ", 404"),
        ("2023-10-10T09:06:56 -1", " -1"),
        ("2023-10-10T09:06:56 -100", " -100"),
        ("2023-10-10T09:06:56 Zurich", " Zurich"),
        ("1696928816 404", " 404"),
        ("Tue Oct 10 09:06:56 2023 404", " 404"),
    ] {
        let (at_ms, left) = split_time(text.as_bytes(), &Zone::UTC).unwrap();
        assert_eq!((at_ms / 1000, left), (AT / 1000, rest.as_bytes()), "{text}");
    }
}

#[test]
fn numbers_tell_their_unit() {
    for number in [
        1.693_840_791_756_499_5e9,
        1.693_840_791_756e12,
        1.693_840_791_756_499e15,
        1.693_840_791_756_499e18,
    ] {
        assert_eq!(from_epoch(number), Some(1_693_840_791_756), "{number}");
    }
    for number in [-1.0, 20_261_121_110_656.0, f64::NAN, f64::INFINITY] {
        assert_eq!(from_epoch(number), None, "{number}");
    }
}

#[test]
fn a_time_without_an_offset_is_of_the_zone_given() {
    let zone = Zone::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
    for (text, utc) in [
        ("10/Jul/2023:11:06:56.5", "2023-07-10T09:06:56.5Z"),
        ("10/Jan/2023:11:06:56", "2023-01-10T10:06:56Z"),
        ("2023-07-10T11:06:56", "2023-07-10T09:06:56Z"),
        ("Mon Jul 10 11:06:56 2023", "2023-07-10T09:06:56Z"),
        ("10/Jul/2023:11:06:56 CEST", "2023-07-10T09:06:56Z"),
        ("10/Jul/2023:11:06:56 UTC", "2023-07-10T11:06:56Z"),
        ("Mon, 10 Jul 2023 11:06:56 GMT", "2023-07-10T11:06:56Z"),
        ("Mon Jul 10 11:06:56 UTC 2023", "2023-07-10T11:06:56Z"),
        ("Mon Jul 10 11:06:56 CEST 2023", "2023-07-10T09:06:56Z"),
        ("2023-07-10T12:06:56+01:00[Europe/London]", "2023-07-10T11:06:56Z"),
        ("2023-07-10T11:06:56.5Z[UTC]", "2023-07-10T11:06:56.5Z"),
        // Twice: the first time it was summer.
        ("29/Oct/2023:02:30:00", "2023-10-29T00:30:00Z"),
    ] {
        let expected = utc.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(parse_any(text.as_bytes(), &zone), Some(expected), "{text}");
    }
    for text in [
        "2023-07-10T12:06:56[Europe/London]",
        "2023-07-10T12:06:56+01:00[]",
        "2023-07-10T12:06:56+01:00[a b]",
        "Mon Jul 10 11:06:56 utc 2023",
    ] {
        assert_eq!(parse_any(text.as_bytes(), &zone), None, "{text}");
    }
    assert_eq!(
        parse_any(b"2023-07-10T11:06:56Z", &zone),
        parse_any(b"2023-07-10T11:06:56Z", &Zone::UTC)
    );
}

proptest! {
    #[test]
    fn times_equal_jiffs(second in -62_000_000_000i64..253_000_000_000, minutes in -23 * 60 - 59..=23 * 60 + 59i32) {
        let offset = Offset::from_seconds(minutes * 60).unwrap();
        let zoned = Timestamp::from_second(second).unwrap().to_zoned(offset.to_time_zone());
        let text = strtime::format("%d/%b/%Y:%H:%M:%S %z", &zoned).unwrap();
        prop_assert_eq!(parse_time(text.as_bytes()), Some(second * 1000), "{}", text);
    }

    #[test]
    fn any_date_is_one_for_us_if_it_is_one_for_jiff(
        day in 0..33u8, month in 0..12usize, year in 0..10_000u16, hour in 0..26u8, minute in 0..62u8,
    ) {
        let name = &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * month..3 * month + 3];
        let text = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:07 +0000");
        let theirs = strtime::parse("%d/%b/%Y:%H:%M:%S %z", &text).and_then(|time| time.to_timestamp());
        prop_assert_eq!(parse_time(text.as_bytes()), theirs.ok().map(|t| t.as_millisecond()), "{}", text);
    }

    #[test]
    fn rfc_3339_is_what_jiff_says(second in -62_000_000_000i64..253_000_000_000, ns in 0..1_000_000_000i32, minutes in -23 * 60 - 59..=23 * 60 + 59i32) {
        let at = Timestamp::new(second, if second < 0 { 0 } else { ns }).unwrap();
        let offset = Offset::from_seconds(minutes * 60).unwrap();
        for text in [at.to_string(), at.display_with_offset(offset).to_string()] {
            let expected = at.as_millisecond();
            prop_assert_eq!(parse_any(text.as_bytes(), &Zone::UTC), Some(expected), "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_a_time_or_none(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse_any(&text, &Zone::UTC);
    }
}
