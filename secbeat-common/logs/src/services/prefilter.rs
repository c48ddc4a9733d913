//! Patterns that a line can match at all.

use aho_corasick::AhoCorasick;

/// Finds the patterns that a line may match, by the texts that these hold.
#[derive(Debug)]
pub(super) struct Prefilter {
    texts: AhoCorasick,
    /// The pattern of each text.
    of: Vec<usize>,
    /// Patterns without a text.
    always: Vec<usize>,
}

impl Prefilter {
    /// `literals` holds the text of each pattern, empty if it has none.
    ///
    /// # Errors
    ///
    /// Returns an error if they are too many.
    pub(super) fn new(literals: &[&[u8]]) -> Result<Self, String> {
        let numbered = || literals.iter().enumerate();
        let (of, texts): (Vec<usize>, Vec<&&[u8]>) =
            numbered().filter(|(_, literal)| !literal.is_empty()).unzip();
        Ok(Self {
            texts: AhoCorasick::new(texts).map_err(|error| error.to_string())?,
            of,
            always: numbered()
                .filter(|(_, literal)| literal.is_empty())
                .map(|(at, _)| at)
                .collect(),
        })
    }

    /// Whether there is a pattern that `line` may match.
    pub(super) fn holds(&self, line: &[u8]) -> bool {
        !self.always.is_empty() || self.texts.is_match(line)
    }

    /// The patterns that `line` may match, in order.
    pub(super) fn candidates(&self, line: &[u8]) -> Vec<usize> {
        let mut candidates = self.always.clone();
        candidates.extend(
            self.texts
                .find_overlapping_iter(line)
                .map(|found| self.of[found.pattern()]),
        );
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}
