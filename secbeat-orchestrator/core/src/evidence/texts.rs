//! A ring of bytes for short texts.

/// Texts in the order in which they came; the newest take the place of the oldest.
#[derive(Debug)]
pub(super) struct Texts {
    bytes: Box<[u8]>,
    /// Bytes written since the start, skipped ones included: where the next text begins.
    end: u64,
}

/// Where texts that were written together begin, in bytes since the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

impl Mark {
    /// Of nothing.
    pub(super) const NOWHERE: Self = Self(0);
}

impl Texts {
    /// A ring of `capacity` bytes, which the system gives page by page as they are written.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity].into_boxed_slice(),
            end: 0,
        }
    }

    /// Writes `parts`, one after the other and never around the ring's end. Together they must fit.
    pub(super) fn push(&mut self, parts: [&str; 6]) -> Mark {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut at = self.index(self.end);
        if at + len > self.bytes.len() {
            self.end += (self.bytes.len() - at) as u64;
            at = 0;
        }
        let mark = Mark(self.end);
        for part in parts {
            let Some(place) = self.bytes.get_mut(at..at + part.len()) else {
                break;
            };
            place.copy_from_slice(part.as_bytes());
            at += part.len();
        }
        self.end += len as u64;
        mark
    }

    /// Whether what was written at `mark` is still there.
    pub(super) const fn holds(&self, mark: Mark) -> bool {
        mark.0 + self.bytes.len() as u64 >= self.end
    }

    /// The parts that were written at `mark`, by their lengths.
    pub(super) fn get(&self, mark: Mark, lens: [usize; 6]) -> [&str; 6] {
        let mut at = self.index(mark.0);
        lens.map(|len| {
            let part = self.bytes.get(at..at + len).unwrap_or_default();
            at += len;
            std::str::from_utf8(part).unwrap_or_default()
        })
    }

    fn index(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }
}
