//! Which format a log has.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Chain, Cursor, Read},
    net::IpAddr,
    str::FromStr,
};

use super::{Format, FormatError, Formats, Lines, LogError, Piece};

/// Bytes at the beginning of a log from which its format is detected.
pub const DETECTED_FROM: usize = 256 * 1024;

/// Formats, or that the one is to be detected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FormatChoice {
    /// Called `auto`.
    #[default]
    Auto,
    Is(Formats),
}

impl FormatChoice {
    /// What several choices come to; [`Auto`](Self::Auto) if there are none.
    ///
    /// # Errors
    ///
    /// When one of several is `auto`.
    pub fn of(choices: impl IntoIterator<Item = Self>) -> Result<Self, FormatError> {
        let choices: Vec<Self> = choices.into_iter().collect();
        if let [Self::Auto] = choices.as_slice() {
            return Ok(Self::Auto);
        }
        let mut formats = Vec::new();
        for choice in choices {
            match choice {
                Self::Auto => return Err(FormatError::AutoAmongOthers),
                Self::Is(some) => formats.extend(some.iter().cloned()),
            }
        }
        Ok(Formats::of(formats).map_or(Self::Auto, Self::Is))
    }
}

impl FromStr for FormatChoice {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            format => Ok(Self::Is(format.parse::<Format>()?.into())),
        }
    }
}

impl fmt::Display for FormatChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Is(formats) => formats.fmt(f),
        }
    }
}

/// A log whose beginning was read before.
pub type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// How many lines each format understood, and where two read another client each. The formats are [in
/// doubt](Format::with_doubt), since nobody said which it is.
#[derive(Clone, Debug)]
pub struct Detection {
    lines: usize,
    /// Lines that begin like JSON.
    objects: usize,
    understood: Vec<(Format, usize)>,
    /// Lines that a format takes for requests which it does not understand.
    nearly: Vec<usize>,
    /// By two places in `understood`, the earlier one first.
    pairs: BTreeMap<(usize, usize), Pair>,
}

/// How two formats read the same lines.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// Lines that both understood.
    both: usize,
    /// The first line of which they had another client each.
    disputed: Option<(Vec<u8>, [IpAddr; 2])>,
}

/// Two formats that read another client each of the same line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict<'d> {
    pub formats: [&'d Format; 2],
    pub clients: [IpAddr; 2],
    /// The first line of which that is so.
    pub line: &'d [u8],
}

impl fmt::Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            formats: [first, second],
            clients: [of_first, of_second],
            line: _,
        } = self;
        write!(
            f,
            "the log may be {first} or {second}: of one line, {first} reads {of_first} as the client, {second} {of_second}; state \
             the format"
        )
    }
}

impl Default for Detection {
    fn default() -> Self {
        let formats = Format::named().map(|format| (format.with_doubt(), 0));
        let understood: Vec<_> = formats.collect();
        Self {
            lines: 0,
            objects: 0,
            nearly: vec![0; understood.len()],
            understood,
            pairs: BTreeMap::new(),
        }
    }
}

impl Detection {
    /// Looks at the whole lines within the first [`DETECTED_FROM`] bytes of a log, and gives it back as if nothing had been
    /// read.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn of<R: Read>(mut log: R) -> io::Result<(Self, Whole<R>)> {
        let mut begin = Vec::new();
        log.by_ref().take(DETECTED_FROM as u64).read_to_end(&mut begin)?;
        let cut_off = begin.len() == DETECTED_FROM;
        let last = memchr::memrchr(b'\n', &begin).filter(|_| cut_off);
        let mut lines = Lines::new(&begin[..last.unwrap_or(begin.len())]);
        let mut detection = Self::default();
        while let Some(piece) = lines.next_piece()? {
            // A longer line says nothing that others do not.
            if let Piece::Line(text) = piece {
                detection.see(text);
            }
        }
        Ok((detection, Cursor::new(begin).chain(log)))
    }

    /// Shows a line to every format; empty lines and headers say nothing.
    pub fn see(&mut self, line: &[u8]) {
        let mut says_nothing = false;
        let mut clients: Vec<(usize, IpAddr)> = Vec::new();
        for (at, (format, understood)) in self.understood.iter_mut().enumerate() {
            match format.parse(line) {
                // What is unreadable in one format may be none of its lines.
                Ok(parsed) if parsed.unreadable => {}
                Ok(parsed) => {
                    *understood += 1;
                    clients.push((at, parsed.client));
                }
                Err(LogError::Empty) => says_nothing = true,
                Err(LogError::Header) => {
                    says_nothing = true;
                    if let Ok(learned) = format.after_header(line) {
                        *format = learned;
                    }
                }
                Err(error) => self.nearly[at] += usize::from(error.is_of_a_request()),
            }
        }
        if says_nothing {
            return;
        }
        self.lines += 1;
        self.objects += usize::from(line.trim_ascii_start().starts_with(b"{"));
        for (n, (first, of_first)) in clients.iter().enumerate() {
            for (second, of_second) in &clients[n + 1..] {
                let pair = self.pairs.entry((*first, *second)).or_default();
                pair.both += 1;
                if of_first != of_second && pair.disputed.is_none() {
                    pair.disputed = Some((line.to_vec(), [*of_first, *of_second]));
                }
            }
        }
    }

    /// Lines seen that are not empty.
    #[must_use]
    pub const fn lines(&self) -> usize {
        self.lines
    }

    /// Every format with a name and how many lines it understood.
    #[must_use]
    pub fn understood(&self) -> &[(Format, usize)] {
        &self.understood
    }

    /// The format that understood most lines, the first of several; `None` if none understood any, or if there is a
    /// [conflict](Self::conflict).
    #[must_use]
    pub fn chosen(&self) -> Option<&Format> {
        let best = self.best()?;
        self.conflict_with(best)
            .is_none()
            .then(|| &self.understood[best].0)
    }

    /// The format that understood most lines, and another that reads another client of one of them. A format that understood
    /// all lines that the other did, and more, is in no conflict with it: the other is not that of the log.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict<'_>> {
        self.conflict_with(self.best()?)
    }

    /// The format that a log most likely is meant to have, whether or not it understood any line: its reasons say best why
    /// lines are not understood.
    #[must_use]
    pub fn likeliest(&self) -> Format {
        let best = self.best().or_else(|| {
            let nearest = (0..self.nearly.len()).rev().max_by_key(|at| self.nearly[*at]);
            nearest.filter(|at| self.nearly[*at] > 0)
        });
        match best {
            Some(at) => self.understood[at].0.clone(),
            None if 2 * self.objects > self.lines => Format::NGINX_JSON,
            None => Format::default(),
        }
    }

    fn best(&self) -> Option<usize> {
        let places = (0..self.understood.len()).rev();
        let best = places.max_by_key(|at| self.understood[*at].1)?;
        (self.understood[best].1 > 0).then_some(best)
    }

    fn conflict_with(&self, best: usize) -> Option<Conflict<'_>> {
        let counts = |at: usize| self.understood[at].1;
        self.pairs.iter().find_map(|((first, second), pair)| {
            let other = match best {
                best if best == *first => *second,
                best if best == *second => *first,
                _ => return None,
            };
            let (line, clients) = pair.disputed.as_ref()?;
            let is_outdone = pair.both == counts(other) && counts(best) > counts(other);
            (!is_outdone).then(|| Conflict {
                formats: [*first, *second].map(|at| &self.understood[at].0),
                clients: *clients,
                line,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_a_name() {
        for text in ["auto", "haproxy", "$remote_addr $msec $status"] {
            assert_eq!(text.parse::<FormatChoice>().unwrap().to_string(), text);
        }
        assert!("automatic".parse::<FormatChoice>().is_err());
    }

    #[test]
    fn a_log_is_whole_after_a_look_at_its_beginning() {
        let line = "203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 125\n";
        for times in [1, DETECTED_FROM / line.len() + 1] {
            let log = line.repeat(times);
            let (detection, mut whole) = Detection::of(log.as_bytes()).unwrap();
            let mut read = String::new();
            whole.read_to_string(&mut read).unwrap();
            assert!(read == log, "{times} lines are not the same");
            assert_eq!(detection.chosen().unwrap().to_string(), "combined");
            let seen = times.min(DETECTED_FROM / line.len());
            assert_eq!((detection.lines(), detection.understood()[0].1), (seen, seen));
        }
    }

    #[test]
    fn the_format_that_understands_most_is_chosen() {
        let mut detection = Detection::default();
        detection.see(b"");
        detection.see(b"junk");
        assert!(detection.chosen().is_none());
        let haproxy = b"203.0.113.7:1 [14/Jan/2015:12:48:57.127] f b/s 1/0/0/3/4 200 7 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
        let combined =
            b"203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 125 \"-\" \"curl\"";
        detection.see(haproxy);
        assert_eq!(detection.chosen().unwrap().to_string(), "haproxy");
        detection.see(combined);
        detection.see(combined);
        assert_eq!(detection.chosen().unwrap().to_string(), "combined");
        assert_eq!(detection.lines(), 4);
    }

    #[test]
    fn several_choices_are_one() {
        let of = |names: &[&str]| FormatChoice::of(names.iter().map(|name| name.parse().unwrap()));
        assert_eq!(of(&[]), Ok(FormatChoice::Auto));
        assert_eq!(of(&["auto"]), Ok(FormatChoice::Auto));
        assert_eq!(of(&["haproxy", "envoy"]).unwrap().to_string(), "haproxy or envoy");
        assert_eq!(of(&["haproxy", "auto"]), Err(FormatError::AutoAmongOthers));
    }

    const TIME: &str = "[21/Nov/2026:11:06:56 +0100]";
    const REQUEST: &str = r#""GET /x HTTP/1.1" 404 12 "-" "curl""#;

    /// What is made of a log of lines that begin so: the format, the conflict, or neither.
    fn detected(begins: &[&str]) -> (Detection, String) {
        let mut detection = Detection::default();
        for begin in begins {
            detection.see(format!("{begin} {TIME} {REQUEST}").as_bytes());
        }
        let shown = match (detection.chosen(), detection.conflict()) {
            (Some(format), None) => format.to_string(),
            (None, Some(conflict)) => conflict.to_string(),
            (chosen, _) => format!("{chosen:?}"),
        };
        (detection, shown)
    }

    #[test]
    fn two_addresses_are_a_conflict_unless_other_lines_say_which_is_the_client() {
        let conflict = "the log may be vhost-combined or lighttpd: of one line, vhost-combined reads 198.51.100.66 as the client, \
                        lighttpd 203.0.113.7; state the format";
        for (begins, expected) in [
            (&["203.0.113.7 198.51.100.66 -"][..], "lighttpd"),
            (&["203.0.113.7 198.51.100.66 - -"], conflict),
            (
                &["203.0.113.7 example.org - -", "203.0.113.7 198.51.100.66 - -"],
                "lighttpd",
            ),
            (
                &["example.org 203.0.113.7 - -", "192.0.2.1 203.0.113.7 - -"],
                "vhost-combined",
            ),
            (&["198.51.100.66:443 203.0.113.7:42918 - -"], "vhost-combined"),
            (&["203.0.113.7 - -", "6.6.6.6, 203.0.113.7 - -"], "combined"),
        ] {
            assert_eq!(detected(begins).1, expected, "{begins:?}");
        }
        let (detection, _) = detected(&["203.0.113.7 198.51.100.66 - -"]);
        let conflict = detection.conflict().unwrap();
        let expected = format!("203.0.113.7 198.51.100.66 - - {TIME} {REQUEST}");
        assert_eq!(conflict.line, expected.as_bytes());
    }

    #[test]
    fn what_is_detected_is_in_doubt() {
        let (detection, _) = detected(&["203.0.113.7 - -"]);
        let format = detection.chosen().unwrap();
        let line = format!("198.51.100.67 - x, 203.0.113.7 - - {TIME} {REQUEST}");
        assert!(matches!(
            format.parse(line.as_bytes()),
            Err(LogError::TwoReadings(1, 4))
        ));
    }

    #[test]
    fn reasons_are_those_of_the_likeliest_format() {
        let likeliest = |lines: &[&str]| {
            let mut detection = Detection::default();
            lines.iter().for_each(|line| detection.see(line.as_bytes()));
            detection.likeliest().to_string()
        };
        assert_eq!(likeliest(&[]), "combined");
        assert_eq!(likeliest(&["junk", "{"]), "combined");
        assert_eq!(
            likeliest(&["{\"client\":\"x\"}", "{\"a\":1}", "junk"]),
            "nginx-json"
        );
        assert_eq!(
            likeliest(&["203.0.113.7:1 [14/Jan/2015:12:48:57.127] f f: SSL handshake failure"]),
            "haproxy"
        );
        let line = format!("a.org 203.0.113.7 - - {TIME} {REQUEST}");
        assert_eq!(likeliest(&["{}", "{}", &line]), "vhost-combined");
    }

    #[test]
    fn a_header_says_which_fields_the_lines_have() {
        let mut detection = Detection::default();
        detection.see(b"#Fields: date time c-ip cs-method cs-uri-stem sc-status");
        detection.see(b"2026-11-21 10:06:56 203.0.113.7 GET /x 404");
        assert_eq!(detection.lines(), 1);
        let format = detection.chosen().unwrap();
        assert_eq!(format.to_string(), "iis");
        let line = format
            .parse(b"2026-11-21 10:06:56 203.0.113.7 GET /x 404")
            .unwrap();
        assert_eq!(line.status, 404);
    }
}
