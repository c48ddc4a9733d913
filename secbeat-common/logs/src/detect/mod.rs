//! Detection of a log's format.

mod choice;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Chain, Cursor, Read},
    net::IpAddr,
};

pub use self::choice::FormatChoice;
use super::{Format, Lines, LogError, Piece};

/// Bytes at the beginning of a log from which its format is detected.
pub const DETECTED_FROM: usize = 256 * 1024;

/// A log whose beginning was read before.
pub type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Lines that each format understood, and where two read another client or status each. The formats are [in
/// doubt](Format::with_doubt), since nobody said which it is.
#[derive(Clone, Debug)]
pub struct Detection {
    lines: usize,
    /// Lines that begin like JSON.
    objects: usize,
    understood: Vec<(Format, usize)>,
    /// So many of them, the last ones, have no name: none of them is chosen, but one may be in conflict with the one that is.
    rivals: usize,
    /// Whether a header said which fields lines have.
    has_fields: bool,
    /// Lines that a format takes for requests which it does not understand.
    nearly: Vec<usize>,
    /// Lines that a format takes for requests whose first field is not the client: where it is, no client can bring them about.
    strange: Vec<usize>,
    /// By two places in `understood`, the earlier one first.
    pairs: BTreeMap<(usize, usize), Pair>,
}

/// How two formats read the same lines.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// Lines that both understood.
    both: usize,
    /// The first line of which they had another client or status each.
    disputed: Option<(Vec<u8>, [Seen; 2])>,
}

/// A client and a status.
type Seen = (IpAddr, u16);

/// Two formats that read another client or status each of the same line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict<'d> {
    pub formats: [&'d Format; 2],
    pub clients: [IpAddr; 2],
    pub statuses: [u16; 2],
    /// First line that the two formats read differently.
    pub line: &'d [u8],
}

impl fmt::Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            formats: [first, second],
            clients: [of_first, of_second],
            statuses,
            line: _,
        } = self;
        if of_first == of_second {
            let [of_first, of_second] = statuses;
            return write!(
                f,
                "the log may be {first} or {second}: of one line, the first reads {of_first} as the status, the other \
                 {of_second}; state the format"
            );
        }
        write!(
            f,
            "the log may be {first} or {second}: of one line, the first reads {of_first} as the client, the other {of_second}; \
             state the format"
        )
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self::among(Format::named().map(Format::with_doubt).collect(), rivals())
    }
}

/// Layouts that people have, and that have no name since no client may be read from them unless somebody states them.
fn rivals() -> Vec<Format> {
    // A host before the client, and no `-` behind it. Two addresses in front are lighttpd's, too.
    let host_first = r#"$server_name $remote_addr $remote_user [$time_local] "$request" $status $rest"#;
    Format::pattern(host_first)
        .into_iter()
        .map(Format::with_doubt)
        .collect()
}

/// The bytes that are looked at.
fn read_begin(log: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    log.by_ref().take(DETECTED_FROM as u64).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Without a line that is cut off.
fn whole_lines(begin: &[u8]) -> &[u8] {
    let cut_off = begin.len() == DETECTED_FROM;
    let last = memchr::memrchr(b'\n', begin).filter(|_| cut_off);
    &begin[..last.unwrap_or(begin.len())]
}

impl Detection {
    fn among(named: Vec<Format>, rivals: Vec<Format>) -> Self {
        Self {
            lines: 0,
            objects: 0,
            has_fields: false,
            rivals: rivals.len(),
            nearly: vec![0; named.len() + rivals.len()],
            strange: vec![0; named.len() + rivals.len()],
            understood: named
                .into_iter()
                .chain(rivals)
                .map(|format| (format, 0))
                .collect(),
            pairs: BTreeMap::new(),
        }
    }

    /// Looks at the whole lines within the first [`DETECTED_FROM`] bytes of a log, and gives it back as if nothing had been
    /// read.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub fn of<R: Read>(mut log: R) -> io::Result<(Self, Whole<R>)> {
        let begin = read_begin(&mut log)?;
        let mut detection = Self::default();
        detection.see_lines(whole_lines(&begin), |_| true)?;
        Ok((detection, Cursor::new(begin).chain(log)))
    }

    /// As [`of`](Self::of), in a fraction of the time. If there are formats that understand every line, no others are counted: they
    /// can neither be [chosen](Self::chosen) nor be in [conflict](Self::conflict) with the one that is. All are, where a header
    /// may say what the lines after it are.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub fn of_fitting<R: Read>(mut log: R) -> io::Result<(Self, Whole<R>)> {
        let begin = read_begin(&mut log)?;
        let lines = whole_lines(&begin);
        let may_have_header = memchr::memmem::find(lines, b"#Fields:").is_some();
        let fits = |format: &Format| {
            let mut alone = Self::among(vec![format.clone()], Vec::new());
            alone.see_lines(lines, |alone| alone.understood[0].1 == alone.lines)?;
            io::Result::Ok(alone.lines > 0 && alone.understood[0].1 == alone.lines)
        };
        let fitting = |formats: Vec<Format>| -> io::Result<Vec<Format>> {
            let tried = formats.into_iter().map(|format| Ok((fits(&format)?, format)));
            tried
                .filter_map(|tried| tried.map(|(fits, format)| fits.then_some(format)).transpose())
                .collect()
        };
        let named = Format::named()
            .filter(|_| !may_have_header)
            .map(Format::with_doubt);
        let named = fitting(named.collect())?;
        let mut detection = match named.is_empty() {
            true => Self::default(),
            false => Self::among(named, fitting(rivals())?),
        };
        detection.see_lines(lines, |_| true)?;
        Ok((detection, Cursor::new(begin).chain(log)))
    }

    /// Shows lines to every format for as long as `go_on` says.
    fn see_lines(&mut self, text: &[u8], go_on: impl Fn(&Self) -> bool) -> io::Result<()> {
        let mut lines = Lines::new(text);
        while let Some(piece) = lines.next_piece()? {
            // A longer line says nothing that others do not.
            if let Piece::Line(line) = piece {
                self.see(line);
                if !go_on(self) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Shows a line to every format; empty lines and headers say nothing.
    pub fn see(&mut self, line: &[u8]) {
        let mut says_nothing = false;
        let mut read: Vec<(usize, Seen)> = Vec::new();
        for (at, (format, understood)) in self.understood.iter_mut().enumerate() {
            match format.parse(line) {
                // What is unreadable in one format may be none of its lines.
                Ok(parsed) if parsed.unreadable => self.nearly[at] += 1,
                // Any columns with an address and a status in the right places would be its lines.
                Ok(_) if format.lacks_header() => {}
                Ok(parsed) => {
                    *understood += 1;
                    read.push((at, (parsed.client, parsed.status)));
                }
                Err(LogError::Empty) => says_nothing = true,
                Err(LogError::Header) => {
                    says_nothing = true;
                    if let Ok(learned) = format.after_header(line) {
                        *format = learned;
                    }
                }
                Err(_) if format.lacks_header() => {}
                Err(error) => {
                    self.nearly[at] += usize::from(error.is_of_a_request());
                    self.strange[at] += usize::from(error == LogError::OtherLayout(1));
                }
            }
        }
        if says_nothing {
            self.has_fields |= crate::names_fields(line);
            return;
        }
        self.lines += 1;
        self.objects += usize::from(line.trim_ascii_start().starts_with(b"{"));
        for (n, (first, of_first)) in read.iter().enumerate() {
            for (second, of_second) in &read[n + 1..] {
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
        &self.understood[..self.named()]
    }

    fn named(&self) -> usize {
        self.understood.len() - self.rivals
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
        // What quotes an object holds says nothing about it as a line of text.
        let are_objects = 2 * self.objects > self.lines;
        let best = self.best().or_else(|| {
            if self.has_fields {
                return None;
            }
            let places = (0..self.named()).rev();
            let alike = places.filter(|at| !are_objects || self.understood[*at].0.table().is_some());
            let nearest = alike.max_by_key(|at| self.nearly[*at]);
            nearest.filter(|at| self.nearly[*at] > 0)
        });
        match best {
            None if self.has_fields => Format::iis().with_doubt(),
            Some(at) => self.understood[at].0.clone(),
            None if are_objects => Format::NGINX_JSON,
            None => Format::default(),
        }
    }

    /// The format that understood most lines, unless it takes more for those of another layout: what clients wrote could look like
    /// its lines then.
    fn best(&self) -> Option<usize> {
        let places = (0..self.named()).rev();
        let places = places.filter(|at| self.strange[*at] <= self.understood[*at].1);
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
            let (line, seen) = pair.disputed.as_ref()?;
            let is_outdone = pair.both == counts(other) && counts(best) > counts(other);
            (!is_outdone).then(|| Conflict {
                formats: [*first, *second].map(|at| &self.understood[at].0),
                clients: seen.map(|(client, _)| client),
                statuses: seen.map(|(_, status)| status),
                line,
            })
        })
    }
}
