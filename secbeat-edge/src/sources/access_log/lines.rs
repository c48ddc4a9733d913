//! Cuts what was read of a file into lines, in bounded memory.

use memchr::memchr;
use secbeat_logs::{MAX_LINE, Piece};

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    AtStart,
    /// In one that comes in pieces.
    Within,
}

/// Hands out the whole lines in `bytes`, and longer ones than [`MAX_LINE`] in pieces. Says how many bytes are done with: all
/// but a last line that has no end yet.
/// NUL bytes before a line are not part of it: a file that was truncated under a writer that does not append begins with
/// a hole.
///
/// # Errors
///
/// The first of `take`. What had been taken before is lost count of then.
pub(super) fn split<E>(
    bytes: &[u8],
    place: &mut Place,
    mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut start = 0;
    if *place == Place::Within {
        let Some(end) = memchr(b'\n', bytes) else {
            if !bytes.is_empty() {
                take(Piece::More(bytes))?;
            }
            return Ok(bytes.len());
        };
        start = end + 1;
        *place = Place::AtStart;
        take(Piece::End(&bytes[..end]))?;
    }
    while let Some(length) = memchr(b'\n', &bytes[start..]) {
        let line = without_nul(&bytes[start..start + length]);
        start += length + 1;
        if line.len() > MAX_LINE {
            take(Piece::Begin(line))?;
            take(Piece::End(b""))?;
        } else {
            take(Piece::Line(line.strip_suffix(b"\r").unwrap_or(line)))?;
        }
    }
    let rest = without_nul(&bytes[start..]);
    if rest.len() > MAX_LINE {
        *place = Place::Within;
        take(Piece::Begin(rest))?;
        return Ok(bytes.len());
    }
    Ok(bytes.len() - rest.len())
}

fn without_nul(line: &[u8]) -> &[u8] {
    let nul = line.iter().position(|byte| *byte != 0).unwrap_or(line.len());
    &line[nul..]
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// All lines of `input` read in parts of `part` bytes, as a file is, each with the number of pieces that it came in.
    fn pieces(input: &[u8], part: usize) -> (Vec<(Vec<u8>, usize)>, usize) {
        let (mut lines, mut place, mut offset, mut end) = (Vec::new(), Place::AtStart, 0, 0);
        while end < input.len() {
            end = input.len().min(end + part);
            offset += split(&input[offset..end], &mut place, |piece| {
                let text = match piece {
                    Piece::Line(text) | Piece::Begin(text) => {
                        lines.push((Vec::new(), 0));
                        text
                    }
                    Piece::More(text) | Piece::End(text) => text,
                };
                let (line, count) = lines.last_mut().unwrap();
                line.extend_from_slice(text);
                *count += 1;
                Ok::<_, Infallible>(())
            })
            .unwrap();
        }
        (lines, offset)
    }

    #[test]
    fn a_line_counts_when_its_end_is_there_however_it_comes() {
        let input = b"one\r\n\ntwo \xff\n\0\0\0three\nfour";
        let lines = ["one", "", "two \u{ff}", "three"];
        for part in 1..=input.len() {
            let (pieces, done) = pieces(input, part);
            let text = |(line, count): (Vec<u8>, usize)| {
                assert_eq!(count, 1);
                line.iter().map(|byte| char::from(*byte)).collect::<String>()
            };
            assert_eq!(
                pieces.into_iter().map(text).collect::<Vec<_>>(),
                lines,
                "parts of {part}"
            );
            assert_eq!(done, input.len() - "four".len());
        }
    }

    #[test]
    fn a_line_past_the_limit_comes_in_pieces() {
        for (length, in_pieces) in [(MAX_LINE, false), (MAX_LINE + 1, true), (5 * MAX_LINE, true)] {
            let long = vec![b'x'; length];
            let input = [b"a\n", &long[..], b"\nb\n"].concat();
            for part in [1000, MAX_LINE, input.len()] {
                let (lines, done) = pieces(&input, part);
                assert_eq!(done, input.len());
                let [a, found, b] = &lines[..] else {
                    panic!("{} lines", lines.len())
                };
                assert_eq!((a, b), (&(b"a".to_vec(), 1), &(b"b".to_vec(), 1)));
                assert!(found.0 == long, "{length} bytes in parts of {part}");
                assert_eq!(found.1 > 1, in_pieces, "{length} bytes in parts of {part}");
            }
        }
    }

    #[test]
    fn a_hole_is_passed_over_without_waiting_for_its_end() {
        let (pieces, done) = pieces(&vec![0; 3 * MAX_LINE], MAX_LINE);
        assert_eq!((pieces, done), (vec![], 3 * MAX_LINE));
    }
}
