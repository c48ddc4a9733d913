//! Times of the common log format.

/// Bytes of `10/Oct/2023:11:06:56 +0200`.
pub(super) const TIME_LEN: usize = 26;

const DAY_S: i64 = 86_400;
const MONTHS: [(&[u8; 3], i64); 12] = [
    (b"Jan", 31),
    (b"Feb", 28),
    (b"Mar", 31),
    (b"Apr", 30),
    (b"May", 31),
    (b"Jun", 30),
    (b"Jul", 31),
    (b"Aug", 31),
    (b"Sep", 30),
    (b"Oct", 31),
    (b"Nov", 30),
    (b"Dec", 31),
];

/// Parses exactly `10/Oct/2023:11:06:56 +0200` (years 0000–9999, a leap second counts as the second before it) to
/// milliseconds since the Unix epoch. `None` for anything else, dates that do not exist included.
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let text: &[u8; TIME_LEN] = text.try_into().ok()?;
    let [
        _,
        _,
        b'/',
        m0,
        m1,
        m2,
        b'/',
        _,
        _,
        _,
        _,
        b':',
        _,
        _,
        b':',
        _,
        _,
        b':',
        _,
        _,
        b' ',
        sign,
        ..,
    ] = text
    else {
        return None;
    };
    let year = digits(&text[7..11])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month = MONTHS.iter().position(|(name, _)| **name == [*m0, *m1, *m2])?;
    let february_29 = i64::from(leap && month == 1);
    let day = up_to(digits(&text[..2])?, MONTHS[month].1 + february_29).filter(|day| *day > 0)?;
    let hour = up_to(digits(&text[12..14])?, 23)?;
    let minute = up_to(digits(&text[15..17])?, 59)?;
    let second = up_to(digits(&text[18..20])?, 60)?.min(59);
    let offset = up_to(digits(&text[22..24])?, 23)? * 3600 + up_to(digits(&text[24..])?, 59)? * 60;
    let offset = match sign {
        b'+' => offset,
        b'-' => -offset,
        _ => return None,
    };
    Some((days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset) * 1000)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, byte| {
        byte.is_ascii_digit().then(|| n * 10 + i64::from(byte - b'0'))
    })
}

fn up_to(n: i64, max: i64) -> Option<i64> {
    (n <= max).then_some(n)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; `month` from 0. Counts years from March, so that the leap
/// day is the last of its year (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: usize, day: i64) -> i64 {
    let from_march = (month as i64 + 10) % 12;
    let year = if month < 2 { year - 1 } else { year };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, fmt::strtime, tz::Offset};
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
            let name = std::str::from_utf8(MONTHS[month].0).unwrap();
            let text = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:07 +0000");
            let theirs = strtime::parse("%d/%b/%Y:%H:%M:%S %z", &text).and_then(|time| time.to_timestamp());
            prop_assert_eq!(parse_time(text.as_bytes()), theirs.ok().map(|t| t.as_millisecond()), "{}", text);
        }
    }
}
