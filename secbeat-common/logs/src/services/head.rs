//! Heads of messages: syslog's head, the journal's fields, or the service's own.

use std::borrow::Cow;

use jiff::{Timestamp, tz::TimeZone};

use super::lazy::Expression;
use crate::{
    time::{Zone, split_time},
    wrap::{is_level, repeated},
};

/// How far a time without a year may be ahead of the clock, in milliseconds: a day, for zones.
const AHEAD_MS: i64 = 24 * 3600 * 1000;
/// Longest host, program or time, in bytes.
const MAX_TOKEN: usize = 255;

/// One line as it comes.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Of a file. What a container's runtime wrote around it was [taken off](crate::OpenLines::service_line).
    Line(&'a [u8]),
    /// A line of an entry of the journal.
    Entry {
        /// `SYSLOG_IDENTIFIER`; empty if there is none.
        identifier: &'a str,
        /// `_PID`; empty if there is none.
        pid: &'a str,
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
        message: &'a [u8],
    },
}

/// What times in lines go by.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Of times that are logged without one.
    pub zone: TimeZone,
    /// The wall clock, milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// A message without its head.
#[derive(Clone, Debug)]
pub(super) struct Headed<'a> {
    pub(super) message: &'a [u8],
    pub(super) pid: Option<Cow<'a, str>>,
    /// Number of times that syslog says that the message came.
    pub(super) times: u32,
    /// Syslog names the program, in a file, so the message came by syslog, which may have cut it. The journal cuts none.
    pub(super) is_by_syslog: bool,
    /// A head of the service's own was taken off, and the line may as well be one of syslog, of another program.
    pub(super) is_perhaps_of_another: bool,
    when: When<'a>,
}

#[derive(Clone, Copy, Debug)]
enum When<'a> {
    Unknown,
    Text(&'a [u8]),
    At(i64),
}

/// What a filter knows of heads.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Programs by whose name syslog or the journal calls the service; `None` if it calls it anything.
    pub(super) programs: Option<Expression>,
    /// The service's own heads, each anchored at the begin.
    pub(super) own: Vec<Expression>,
}

impl Heads {
    /// Takes the heads off `input`; `None` if it is not of this service, or has no head that a line of it has.
    pub(super) fn take<'a>(&self, input: &Input<'a>) -> Option<Headed<'a>> {
        let (program, mut headed) = match *input {
            Input::Entry {
                identifier,
                pid,
                at_ms,
                message,
            } => {
                let headed = Headed {
                    message,
                    pid: Some(pid).filter(|pid| !pid.is_empty()).map(Cow::Borrowed),
                    times: 1,
                    is_by_syslog: false,
                    is_perhaps_of_another: false,
                    when: When::At(at_ms),
                };
                (Some(identifier.as_bytes()), headed)
            }
            Input::Line(line) => {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let bare = Headed {
                    message: line,
                    pid: None,
                    times: 1,
                    is_by_syslog: false,
                    is_perhaps_of_another: false,
                    when: When::Unknown,
                };
                // A head of the service's own may look like syslog's, with something else in the program's place.
                // Where anything may be the program, only what is certain to be a head is one, and the service's own come first, but for
                // those behind syslog's with the number of a process.
                let of_syslog = syslog(line, self.programs.is_some());
                let has_own =
                    |(_, headed): &(&[u8], Headed<'_>)| headed.pid.is_some() && self.begins(headed.message);
                let is_own =
                    self.programs.is_none() && self.begins(line) && !of_syslog.as_ref().is_some_and(has_own);
                let bare = Headed {
                    is_perhaps_of_another: is_own && of_syslog.is_some(),
                    ..bare
                };
                match of_syslog.filter(|_| !is_own) {
                    Some((program, headed)) if self.is_of(program) => (Some(program), headed),
                    Some(_) | None => (None, bare),
                }
            }
        };
        if program.is_some_and(|program| !self.is_of(program)) {
            return None;
        }
        let is_named = program.is_some() && self.programs.is_some();
        headed.is_by_syslog = is_named && matches!(input, Input::Line(_));
        for own in &self.own {
            let Some(captures) = own.captures(headed.message) else {
                continue;
            };
            let end = captures.get(0).map_or(0, |all| all.end());
            if let Some(time) = captures.name("time") {
                headed.when = When::Text(time.as_bytes());
            }
            if let Some(pid) = captures.name("pid") {
                headed.pid = Some(String::from_utf8_lossy(pid.as_bytes()));
            }
            headed.message = &headed.message[end..];
            return Some(headed);
        }
        is_named.then_some(headed)
    }

    /// Whether `text` begins with a head of the service's own.
    fn begins(&self, text: &[u8]) -> bool {
        let is_head = |own: &Expression| own.find(text).is_some_and(|head| !head.is_empty());
        self.own.iter().any(is_head)
    }

    /// Whether syslog or the journal names a program of this service.
    pub(super) fn are_named_by(&self, input: &Input<'_>) -> bool {
        let Some(programs) = &self.programs else {
            return false;
        };
        match *input {
            Input::Entry { identifier, .. } => programs.is_match(identifier.as_bytes()),
            Input::Line(line) => syslog(line, true).is_some_and(|(program, _)| programs.is_match(program)),
        }
    }

    fn is_of(&self, program: &[u8]) -> bool {
        self.programs
            .as_ref()
            .is_none_or(|programs| programs.is_match(program))
    }
}

impl Headed<'_> {
    /// Returns when it was logged, milliseconds since the Unix epoch; `None` if the line does not say.
    pub(super) fn at_ms(&self, clock: &Clock) -> Option<i64> {
        match self.when {
            When::Unknown => None,
            When::At(at_ms) => Some(at_ms),
            When::Text(text) => time(text, clock),
        }
    }
}

/// The program and the rest of a line with a head of syslog: RFC 3164, RFC 5424, with or without `<PRI>`, or with a time as
/// RFC 3339 has it.
fn syslog(line: &[u8], may_have_space: bool) -> Option<(&[u8], Headed<'_>)> {
    let rest = match line.strip_prefix(b"<") {
        Some(rest) => {
            let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
            &rest[end + 1..]
        }
        None => line,
    };
    if rest.len() < line.len()
        && let Some(rest) = rest.strip_prefix(b"1 ")
    {
        return rfc_5424(rest);
    }
    if rest.len() == line.len()
        && let Some(rest) = rest.strip_prefix(b"1 ").and_then(rfc_5424)
    {
        // Some write it into a file without the priority.
        return Some(rest);
    }
    let (time, rest) = bsd_time(rest)
        .or_else(|| iso_time(rest, may_have_space))
        .or_else(|| full_time(rest))?;
    let (first, after) = token(rest)?;
    let (tag, message) = match first.ends_with(b":") {
        true => (first, after),
        false => match token(after)? {
            (level, after) if is_level(level) => token(after)?,
            tag => tag,
        },
    };
    let tag = tag.strip_suffix(b":")?;
    let (program, pid) = match tag.strip_suffix(b"]").and_then(|tag| {
        let open = tag.iter().rposition(|byte| *byte == b'[')?;
        Some((&tag[..open], &tag[open + 1..]))
    }) {
        Some((program, pid)) => (program, Some(pid)),
        None => (tag, None),
    };
    if program.is_empty() {
        return None;
    }
    let (times, message) = repeated(message).unwrap_or((1, message));
    let headed = Headed {
        message,
        pid: pid.map(String::from_utf8_lossy),
        times,
        is_by_syslog: true,
        is_perhaps_of_another: false,
        when: When::Text(time),
    };
    Some((program, headed))
}

fn rfc_5424(text: &[u8]) -> Option<(&[u8], Headed<'_>)> {
    let (time, rest) = token(text)?;
    let (_, rest) = token(rest)?;
    let (program, rest) = token(rest)?;
    let (pid, rest) = token(rest)?;
    let (_, rest) = token(rest)?;
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => crate::wrap::after_data(rest)?,
    };
    let message = rest.strip_prefix(b" ")?;
    let headed = Headed {
        message: message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message),
        pid: Some(String::from_utf8_lossy(pid)).filter(|pid| pid != "-"),
        times: 1,
        is_by_syslog: true,
        is_perhaps_of_another: false,
        when: When::Text(time),
    };
    Some((program, headed))
}

/// `Nov 21 11:06:56`, with or without parts of a second, and what follows the space behind it. The day may have one digit alone.
fn bsd_time(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_short = text.get(5) == Some(&b' ') && text.get(4) != Some(&b' ');
    let shape: &[u8] = match is_short {
        true => b"aaa n nn:nn:nn",
        false => b"aaa nn nn:nn:nn",
    };
    let (time, rest) = text.split_at_checked(shape.len())?;
    let rest = match rest.strip_prefix(b".") {
        Some(rest) => &rest[rest.iter().take_while(|byte| byte.is_ascii_digit()).count()..],
        None => rest,
    };
    let rest = rest.strip_prefix(b" ")?;
    let fits = time
        .iter()
        .zip(shape)
        .enumerate()
        .all(|(at, (byte, shape))| match shape {
            b'a' => byte.is_ascii_alphabetic(),
            b'n' => byte.is_ascii_digit() || (at == 4 && *byte == b' '),
            other => byte == other,
        });
    fits.then_some((time, rest))
}

/// `Sat Nov 21 11:06:56 2026`, as OpenWrt's `logread` has it, and what follows the space behind the level, which stands in the host's place.
fn full_time(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (day, after) = text.split_at_checked(4)?;
    let is_day = day[..3].iter().all(u8::is_ascii_alphabetic) && day[3] == b' ';
    let (time, rest) = bsd_time(after).filter(|_| is_day)?;
    let (year, rest) = token(rest)?;
    let is_year = year.len() == 4 && year.iter().all(u8::is_ascii_digit);
    let (level, behind) = token(rest).filter(|_| is_year)?;
    is_level(level).then_some((&text[..4 + time.len() + 5], behind))
}

/// `2026-11-21T11:06:56.123+01:00`, and if that may be, with a space in place of the `T` or without a zone; and what follows the space behind it.
fn iso_time(text: &[u8], may_have_space: bool) -> Option<(&[u8], &[u8])> {
    let is_date = |time: &[u8]| time.len() >= 10 && time[4] == b'-' && time[7] == b'-';
    let (time, rest) = token(text)?;
    if time.len() == 10 && may_have_space {
        let (clock, rest) = token(rest)?;
        let is_clock = clock.len() >= 8 && clock[2] == b':' && clock[5] == b':';
        return (is_date(time) && is_clock).then_some((&text[..11 + clock.len()], rest));
    }
    let is_time = time.len() >= 19 && is_date(time) && time[10] == b'T';
    (is_time && (may_have_space || has_offset(&time[19..]))).then_some((time, rest))
}

/// Whether what follows the seconds of a time are parts of one, and a zone, as `.123+01:00`.
fn has_offset(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".,".contains(byte);
    let zone = &text[text.iter().take_while(|byte| is_part(byte)).count()..];
    match zone {
        [b'Z'] => true,
        [b'+' | b'-', rest @ ..] => {
            rest.len() >= 4 && rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b':')
        }
        _ => false,
    }
}

/// Printable bytes up to the next space, and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', &text[..text.len().min(MAX_TOKEN)])?;
    let (token, rest) = (&text[..space], &text[space + 1..]);
    (space > 0 && token.iter().all(u8::is_ascii_graphic)).then_some((token, rest))
}

/// A time as services write it, in milliseconds since the Unix epoch.
pub(super) fn time(text: &[u8], clock: &Clock) -> Option<i64> {
    if let Some((bsd, _)) = bsd_time(&[text, b" "].concat()) {
        // Always two places for the day.
        return match bsd.get(5) {
            Some(b' ') if bsd.len() == 14 => time_of_this_year(&[&bsd[..4], b" ", &bsd[4..]].concat(), clock),
            _ => time_of_this_year(bsd, clock),
        };
    }
    let mut text = Cow::Borrowed(text);
    // `261128  9:00:01`, as MySQL 5.5 has it.
    if text.get(6) == Some(&b' ') && text[..6].iter().all(u8::is_ascii_digit) {
        let (year, month, day, clock) = (&text[..2], &text[2..4], &text[4..6], &text[7..]);
        text = [&b"20"[..], year, b"-", month, b"-", day, b" ", clock]
            .concat()
            .into();
    }
    // `Sat Nov 8 09:00:01 2026`: always two places for the day.
    if text.get(3) == Some(&b' ') && text.get(9) == Some(&b' ') && text.get(8) != Some(&b' ') {
        text.to_mut().insert(8, b' ');
    }
    // `2026-11-28  9:00:01`, as MariaDB pads the hour.
    if text.get(10..12) == Some(b"  ") {
        text.to_mut()[11] = b'0';
    }
    // `28 Nov 2026 09:00:01.123`, as Redis has it.
    if text.get(2) == Some(&b' ') && text.get(6) == Some(&b' ') && text.get(11) == Some(&b' ') {
        let text = text.to_mut();
        (text[2], text[6], text[11]) = (b'/', b'/', b':');
    }
    let zone = Zone::new(clock.zone.clone());
    let (at_ms, rest) = split_time(&text, &zone)?;
    match rest {
        b" UTC" | b" GMT" => split_time(&text, &Zone::UTC).map(|(at_ms, _)| at_ms),
        _ => Some(at_ms),
    }
}

/// `Nov 21 11:06:56` of the latest year in which that is not ahead of the clock.
fn time_of_this_year(text: &[u8], clock: &Clock) -> Option<i64> {
    let now = Timestamp::from_millisecond(clock.now_ms).ok()?;
    let this_year = clock.zone.to_datetime(now).year();
    let zone = Zone::new(clock.zone.clone());
    let in_year = |year: i16| {
        // The shape of C's `ctime`, whose day of the week nobody looks at.
        let dated = [b"Mon ", text, format!(" {year}").as_bytes()].concat();
        split_time(&dated, &zone).map(|(at_ms, _)| at_ms)
    };
    let times = [this_year + 1, this_year, this_year - 1]
        .into_iter()
        .filter_map(in_year);
    times.into_iter().find(|at_ms| *at_ms <= clock.now_ms + AHEAD_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::lazy::Compile;

    /// 2026-11-28T09:00:01.123Z
    const AT_MS: i64 = 1_795_856_401_123;

    fn clock() -> Clock {
        Clock {
            zone: TimeZone::UTC,
            now_ms: AT_MS,
        }
    }

    #[test]
    fn every_head_of_syslog_is_taken_off() {
        for line in [
            "Nov 28 09:00:01 host sshd[7]: x",
            "<38>Nov 28 09:00:01 host sshd[7]: x",
            "Nov 28 09:00:01 sshd[7]: x",
            "Nov 28 09:00:01.123456 host sshd[7]: x",
            "Nov 28 09:00:01 host auth.info sshd[7]: x",
            "2026-11-28T09:00:01.123456+00:00 host sshd[7]: x",
            "2026-11-28T10:00:01+0100 host sshd[7]: x",
            "2026-11-28 09:00:01 host sshd[7]: x",
            "2026-11-28 09:00:01.123 host sshd[7]: x",
            "Sat Nov 28 09:00:01 2026 authpriv.warn sshd[7]: x",
            "Nov 28 09:00:01 host sshd[7]: message repeated 3 times: [ x]",
            "1 2026-11-28T09:00:01.123Z host sshd 7 - - x",
            "<38>1 2026-11-28T09:00:01.123Z host sshd 7 - - x",
            r#"<38>1 2026-11-28T09:00:01.123Z host sshd 7 - [a b="]"] x"#,
        ] {
            let (program, headed) = syslog(line.as_bytes(), true).unwrap();
            assert_eq!((program, headed.message), (&b"sshd"[..], &b"x"[..]), "{line}");
            assert_eq!(headed.pid.as_deref(), Some("7"), "{line}");
            let at_ms = headed.at_ms(&clock()).unwrap();
            assert_eq!(at_ms / 1000, AT_MS / 1000, "{line}");
        }
        for line in [
            "x",
            "Nov 28 09:00:01 host x",
            "Nov 28 9:00:01 host sshd: x",
            "Nov 28 09:00:01 host a.example sshd: x",
            "[2026-11-28 09:00:01] x",
            "Sat Nov 28 09:00:01 2026 host sshd[7]: x",
            "Sat Nov 28 09:00:01 2026 [pid 5] [x] OK: y",
            "2026-11-28 09:00:01,123 host proftpd[5701] 198.51.100.1 (x): y",
            "2026-11-28 [x] host sshd[7]: x",
            "2026-11-28 09:00:01 UTC [7]: [1-1] x",
        ] {
            assert!(syslog(line.as_bytes(), true).is_none(), "{line}");
        }
        for line in [
            "2026-11-28 09:00:01 host sshd[7]: x",
            "2026-11-28T09:00:01 host sshd[7]: x",
            "2026-11-28T09:00:01Z: host sshd[7]: x",
        ] {
            assert!(
                syslog(line.as_bytes(), false).is_none(),
                "not for certain: {line}"
            );
        }
    }

    /// A word behind the time, and one that ends with a colon, are not host and program.
    #[test]
    fn a_head_of_ones_own_comes_before_that_of_syslog() {
        let head = r"\A(?P<time>\S+Z|Nov \d+ [\d:]+):? ";
        let heads = Heads {
            programs: None,
            own: vec![Expression::part(head.to_owned(), Compile::Now).unwrap()],
        };
        for (line, message) in [
            (
                "2026-11-28T09:00:01Z Failed login: user=x",
                "Failed login: user=x",
            ),
            ("2026-11-28T09:00:01.667Z: Failed Login: x", "Failed Login: x"),
            ("Nov 28 09:00:01 host app[7]: 2026-11-28T09:00:01Z x", "x"),
            ("Nov 28 09:00:01 login bob: x", "login bob: x"),
        ] {
            let headed = heads.take(&Input::Line(line.as_bytes())).unwrap();
            assert_eq!(headed.message, message.as_bytes(), "{line}");
            assert_eq!(headed.at_ms(&clock()).unwrap() / 1000, AT_MS / 1000, "{line}");
        }
    }

    #[test]
    fn a_day_of_one_digit_is_read() {
        for line in [
            "Nov  8 09:00:01 host sshd[7]: x",
            "Nov 8 09:00:01 host sshd[7]: x",
        ] {
            let (program, headed) = syslog(line.as_bytes(), true).unwrap();
            assert_eq!(program, b"sshd");
            // 2026-11-08T09:00:01Z
            assert_eq!(headed.at_ms(&clock()), Some(1_794_128_401_000), "{line}");
        }
    }

    #[test]
    fn a_message_that_was_repeated_is_one_that_came_so_often() {
        for (message, expected) in [
            ("message repeated 3 times: [ a] b]", Some((3, "a] b"))),
            ("message repeated 12 times: [a]", Some((12, "a"))),
            ("message repeated times: [ a]", None),
            ("message repeated 99999999999 times: [ a]", None),
            ("message repeated 3 times: [ a", None),
        ] {
            let found = repeated(message.as_bytes());
            let found = found.map(|(times, message)| (times, std::str::from_utf8(message).unwrap()));
            assert_eq!(found, expected, "{message}");
        }
    }

    #[test]
    fn times_of_services_are_read() {
        for text in [
            "2026-11-28  9:00:01",
            "2026-11-28 09:00:01.123 UTC",
            "2026-11-28 09:00:01,123",
            "2026/11/28 09:00:01",
            "28 Nov 2026 09:00:01.123",
            "Sat Nov 28 09:00:01 2026",
            "Sat Nov 28 09:00:01.123456 2026",
            "261128  9:00:01",
            "261128 09:00:01",
            "2026-11-28T09:00:01.123456789Z",
        ] {
            assert_eq!(
                time(text.as_bytes(), &clock()).unwrap() / 1000,
                AT_MS / 1000,
                "{text}"
            );
        }
        assert_eq!(time(b"yesterday", &clock()), None);
        for text in ["Sun Nov  8 09:00:01 2026", "Sun Nov 8 09:00:01 2026"] {
            // 2026-11-08T09:00:01Z
            assert_eq!(time(text.as_bytes(), &clock()), Some(1_794_128_401_000), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_year_is_of_the_past() {
        // 2027-01-01T00:00:30Z
        let new_year = Clock {
            zone: TimeZone::UTC,
            now_ms: 1_798_761_630_000,
        };
        assert_eq!(time(b"Dec 31 23:59:50", &new_year), Some(1_798_761_590_000));
        assert_eq!(time(b"Jan  1 00:00:29", &new_year), Some(1_798_761_629_000));
    }
}
