//! Which format a log has.

use super::{Format, LogError};

/// Lines from which a format is detected; whoever reads a stream need not keep more.
pub const DETECTED_FROM: usize = 1000;

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
    /// Shows a line to every format; empty lines say nothing.
    pub fn see(&mut self, line: &[u8]) {
        let mut is_empty = false;
        for (format, understood) in &mut self.understood {
            match format.parse(line) {
                Ok(_) => *understood += 1,
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
