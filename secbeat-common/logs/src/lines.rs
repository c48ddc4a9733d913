//! Lines of a stream, in bounded memory.

use std::{
    io::{self, BufRead, BufReader, Read},
    mem,
};

use memchr::memchr;

/// Longest line that is kept, in bytes without its line feed.
pub const MAX_LINE: usize = 64 * 1024;

/// Bytes read at a time.
const BUFFER: usize = 256 * 1024;

/// One line without its line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Text(&'a [u8]),
    /// It was longer than [`MAX_LINE`] bytes and is skipped.
    TooLong,
}

/// Splits a stream at its line feeds. A last line without one counts, too.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    /// Bytes of `input` that belong to the line given out last.
    given: usize,
    /// A line that does not lie in `input` as a whole.
    line: Vec<u8>,
    /// Whether `line` comes next.
    again: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            given: 0,
            line: Vec::new(),
            again: false,
        }
    }

    /// Gives the text given out last once more, with the next call of [`next_line`](Self::next_line).
    pub fn again(&mut self) {
        // A line in the buffer is still there.
        self.again = mem::take(&mut self.given) == 0;
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        if mem::take(&mut self.again) {
            return Ok(Some(Line::Text(&self.line)));
        }
        self.input.consume(mem::take(&mut self.given));
        // Most lines need not be copied.
        if let Some(end) = memchr(b'\n', self.input.buffer()) {
            self.given = end + 1;
            let line = &self.input.buffer()[..end];
            return Ok(Some(if line.len() > MAX_LINE {
                Line::TooLong
            } else {
                Line::Text(line)
            }));
        }
        self.next_split_line()
    }

    /// The next line, whose end is not in the buffer yet.
    fn next_split_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut any = false;
        let mut too_long = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            too_long |= self.line.len() + part.len() > MAX_LINE;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let read = part.len() + usize::from(end.is_some());
            self.input.consume(read);
            if end.is_some() {
                break;
            }
        }
        Ok(any.then_some(if too_long {
            Line::TooLong
        } else {
            Line::Text(&self.line)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(input);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        all
    }

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(lines(b""), []);
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
        assert_eq!(lines(&log), text.into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_comes_again_wherever_it_lies() {
        let log: Vec<u8> = (0..60_000_usize)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        assert!(log.len() > 2 * BUFFER);
        let mut lines = Lines::new(&log[..]);
        for n in 0..60_000 {
            let expected = format!("line {n}");
            for _ in 0..3 {
                let line = lines.next_line().unwrap();
                assert_eq!(line, Some(Line::Text(expected.as_bytes())));
                lines.again();
            }
            lines.next_line().unwrap();
        }
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_past_the_limit_is_skipped_as_a_whole() {
        for len in [MAX_LINE, MAX_LINE + 1, 1_000_000] {
            let long = vec![b'x'; len];
            let input = [&b"a\n"[..], &long, b"\nb\n"].concat();
            let middle = (len <= MAX_LINE).then_some(long);
            assert_eq!(
                lines(&input),
                [Some(b"a".to_vec()), middle, Some(b"b".to_vec())],
                "{len} bytes"
            );
        }
    }
}
