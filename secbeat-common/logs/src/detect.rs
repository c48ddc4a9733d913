//! Which format a log has.

use std::{
    fmt,
    io::{self, Chain, Cursor, Read},
    str::FromStr,
};

use super::{Format, FormatError, Lines, LogError, Piece};

/// Bytes at the beginning of a log from which its format is detected.
pub const DETECTED_FROM: usize = 256 * 1024;

/// A format, or that it is to be detected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FormatChoice {
    /// Called `auto`.
    #[default]
    Auto,
    Is(Format),
}

impl FromStr for FormatChoice {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            format => format.parse().map(Self::Is),
        }
    }
}

impl fmt::Display for FormatChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Is(format) => format.fmt(f),
        }
    }
}

/// A log whose beginning was read before.
pub type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// How many lines each format understood.
#[derive(Clone, Debug)]
pub struct Detection {
    lines: usize,
    understood: Vec<(Format, usize)>,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            lines: 0,
            understood: Format::named().map(|format| (format, 0)).collect(),
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

    /// Shows a line to every format; empty lines say nothing.
    pub fn see(&mut self, line: &[u8]) {
        let mut is_empty = false;
        for (format, understood) in &mut self.understood {
            match format.parse(line) {
                Ok(line) => *understood += usize::from(!line.unreadable),
                Err(error) => is_empty |= error == LogError::Empty,
            }
        }
        self.lines += usize::from(!is_empty);
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

    /// The format that understood most lines, the first of several; `None` if none understood any.
    #[must_use]
    pub fn chosen(&self) -> Option<&Format> {
        let most = self.understood.iter().map(|(_, understood)| *understood).max()?;
        let mut best = self
            .understood
            .iter()
            .filter(|(_, understood)| *understood == most);
        best.next().filter(|_| most > 0).map(|(format, _)| format)
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
            assert_eq!(detection.chosen(), Some(&Format::COMBINED));
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
}
