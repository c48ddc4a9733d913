//! Cuts what was read of a file into lines, in bounded memory.

use memchr::memchr;

/// Longest line that is read, in bytes without its line feed.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What the bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// The beginning of one longer than [`MAX_LINE`]; the rest is passed over.
    TooLong,
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    AtStart,
    /// In one that was too long, up to its line feed.
    PassingOver,
}

/// Hands out the whole lines in `bytes`, and says how many bytes are done with: all but a last line that has no end yet.
/// NUL bytes before a line are no part of it: a file that was truncated under a writer that does not append begins with
/// a hole.
///
/// # Errors
///
/// The first of `take`. What had been taken before is lost count of then.
pub(super) fn split<E>(
    bytes: &[u8],
    place: &mut Place,
    take: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    split_to(MAX_LINE, bytes, place, take)
}

/// As [`split`], for lines of up to `longest` bytes.
///
/// # Errors
///
/// Those of `take`.
pub(super) fn split_to<E>(
    longest: usize,
    bytes: &[u8],
    place: &mut Place,
    mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut start = 0;
    if *place == Place::PassingOver {
        let Some(end) = memchr(b'\n', bytes) else {
            return Ok(bytes.len());
        };
        start = end + 1;
        *place = Place::AtStart;
    }
    while let Some(length) = memchr(b'\n', &bytes[start..]) {
        let line = without_nul(&bytes[start..start + length]);
        start += length + 1;
        if line.len() > longest {
            take(Piece::TooLong)?;
        } else {
            take(Piece::Line(line.strip_suffix(b"\r").unwrap_or(line)))?;
        }
    }
    let rest = without_nul(&bytes[start..]);
    if rest.len() > longest {
        *place = Place::PassingOver;
        take(Piece::TooLong)?;
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

    /// All pieces of `input` read in parts of `part` bytes, as a file is; too long lines as `None`.
    fn pieces(input: &[u8], part: usize) -> (Vec<Option<Vec<u8>>>, usize) {
        let (mut pieces, mut place, mut offset, mut end) = (Vec::new(), Place::AtStart, 0, 0);
        while end < input.len() {
            end = input.len().min(end + part);
            offset += split(&input[offset..end], &mut place, |piece| {
                pieces.push(match piece {
                    Piece::Line(line) => Some(line.to_vec()),
                    Piece::TooLong => None,
                });
                Ok::<_, Infallible>(())
            })
            .unwrap();
        }
        (pieces, offset)
    }

    #[test]
    fn a_line_counts_when_its_end_is_there_however_it_comes() {
        let input = b"one\r\n\ntwo \xff\n\0\0\0three\nfour";
        let lines = ["one", "", "two \u{ff}", "three"];
        for part in 1..=input.len() {
            let (pieces, done) = pieces(input, part);
            let text = |piece: Option<Vec<u8>>| {
                piece
                    .unwrap()
                    .iter()
                    .map(|byte| char::from(*byte))
                    .collect::<String>()
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
    fn a_line_past_the_limit_is_told_once_and_passed_over() {
        for (length, kept) in [(MAX_LINE, true), (MAX_LINE + 1, false), (5 * MAX_LINE, false)] {
            let long = vec![b'x'; length];
            let input = [b"a\n", &long[..], b"\nb\n"].concat();
            for part in [1000, MAX_LINE, input.len()] {
                let (pieces, done) = pieces(&input, part);
                let expected = [
                    Some(b"a".to_vec()),
                    kept.then(|| long.clone()),
                    Some(b"b".to_vec()),
                ];
                assert!(pieces == expected, "{length} bytes in parts of {part}");
                assert_eq!(done, input.len());
            }
        }
    }

    #[test]
    fn a_hole_is_passed_over_without_waiting_for_its_end() {
        let (pieces, done) = pieces(&vec![0; 3 * MAX_LINE], MAX_LINE);
        assert_eq!((pieces, done), (vec![], 3 * MAX_LINE));
    }
}
