//! Lines of a stream, in bounded memory.

use std::{
    io::{self, BufRead, BufReader, Read},
    mem,
};

use memchr::memchr;

use super::Piece;

/// Longest line that comes in one piece, in bytes without its line feed.
pub const MAX_LINE: usize = 64 * 1024;

/// Bytes read at a time.
const BUFFER: usize = 256 * 1024;

/// Splits a stream at its line feeds. A last line without one counts, too.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    /// Bytes of `input` that belong to the piece given out last.
    given: usize,
    /// A line that does not lie in `input` as a whole.
    line: Vec<u8>,
    /// Whether what comes next belongs to a line that has begun.
    is_open: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            given: 0,
            line: Vec::new(),
            is_open: false,
        }
    }

    /// The next line, or the next piece of a line that is longer than [`MAX_LINE`]; `None` at the end.
    ///
    /// # Errors
    ///
    /// Returns the errors of the stream.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece<'_>>> {
        self.input.consume(mem::take(&mut self.given));
        if self.is_open {
            return self.next_of_line().map(Some);
        }
        // Most lines need not be copied.
        if let Some(end) = memchr(b'\n', self.input.buffer())
            && end <= MAX_LINE
        {
            self.given = end + 1;
            return Ok(Some(Piece::Line(&self.input.buffer()[..end])));
        }
        self.next_split_line()
    }

    /// The next line, whose end is not in the buffer yet, or its beginning.
    fn next_split_line(&mut self) -> io::Result<Option<Piece<'_>>> {
        self.line.clear();
        let mut any = false;
        loop {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if self.line.len() + part.len() > MAX_LINE {
                self.is_open = true;
                return Ok(Some(Piece::Begin(&self.line)));
            }
            self.line.extend_from_slice(part);
            let read = part.len() + usize::from(end.is_some());
            self.input.consume(read);
            if end.is_some() {
                break;
            }
        }
        Ok(any.then_some(Piece::Line(&self.line)))
    }

    /// More of a line that has begun.
    fn next_of_line(&mut self) -> io::Result<Piece<'_>> {
        let buffer = fill(&mut self.input)?;
        let end = memchr(b'\n', buffer);
        self.is_open = end.is_none() && !buffer.is_empty();
        self.given = end.map_or(buffer.len(), |end| end + 1);
        let buffer = self.input.buffer();
        Ok(match end {
            Some(end) => Piece::End(&buffer[..end]),
            None if buffer.is_empty() => Piece::End(b""),
            None => Piece::More(buffer),
        })
    }
}

/// Returns what can be read without waiting, or else what comes next; empty at the end.
fn fill<R: Read>(input: &mut BufReader<R>) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => return Ok(input.buffer()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line, and in how many pieces it came.
    fn pieces(input: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let mut lines = Lines::new(input);
        let mut all: Vec<(Vec<u8>, usize)> = Vec::new();
        let mut is_open = false;
        while let Some(piece) = lines.next_piece().unwrap() {
            let (text, begins, ends) = match piece {
                Piece::Line(text) => (text, true, true),
                Piece::Begin(text) => (text, true, false),
                Piece::More(text) => (text, false, false),
                Piece::End(text) => (text, false, true),
            };
            assert_eq!(is_open, !begins);
            is_open = !ends;
            if begins {
                all.push((Vec::new(), 0));
            }
            let (line, count) = all.last_mut().unwrap();
            line.extend_from_slice(text);
            *count += 1;
        }
        assert!(!is_open);
        all
    }

    /// Lines that come in one piece each.
    fn lines(input: &[u8]) -> Vec<Vec<u8>> {
        let pieces = pieces(input).into_iter();
        pieces
            .map(|(line, count)| {
                assert_eq!(count, 1);
                line
            })
            .collect()
    }

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        let text = |text: &str| text.as_bytes().to_vec();
        assert!(lines(b"").is_empty());
        assert_eq!(lines(b"a\n\nb"), [text("a"), text(""), text("b")]);
        assert_eq!(lines(b"a\n"), [text("a")]);
    }

    #[test]
    fn lines_are_the_same_however_they_are_read() {
        // Longer than the buffer, so that lines lie across its ends.
        let text: Vec<Vec<u8>> = (0..9000_usize)
            .map(|n| format!("{n}").repeat(n % 40).into_bytes())
            .collect();
        let log = text.join(&b'\n');
        assert!(log.len() > 2 * BUFFER);
        assert_eq!(lines(&log), text);
    }

    #[test]
    fn a_longer_line_comes_in_pieces_and_is_whole() {
        for length in [MAX_LINE, MAX_LINE + 1, BUFFER - 1, BUFFER, BUFFER + 1, 1_000_000] {
            let long: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
            for (before, after) in [
                (&b"a\n"[..], &b"\nb\n"[..]),
                (b"", b"\nb"),
                (b"a\n", b""),
                (b"", b""),
            ] {
                let input = [before, &long, after].concat();
                let found = pieces(&input);
                let of_long = &found[usize::from(!before.is_empty())];
                assert!(of_long.0 == long, "{length} bytes");
                assert_eq!(of_long.1 == 1, length <= MAX_LINE, "{length} bytes");
                let others = found.len() - 1;
                assert_eq!(
                    others,
                    usize::from(!before.is_empty()) + usize::from(!after.is_empty())
                );
            }
        }
    }
}
