//! What the detector's rules want to know of good answers.

use serde::{Deserialize, Serialize};

use super::{Message, WireError, decode, encode};
use crate::rules::Match;

/// Most filters in one [`Interest`].
pub const MAX_FILTERS: usize = 64;
/// Largest encoded [`Interest`], in bytes.
pub const MAX_INTEREST: usize = 64 * 1024;

/// Which answers edges report one by one, beside those with a status of 400–599: whatever one of the filters holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interest {
    filters: Vec<Match>,
}

impl Message for Interest {}

/// Rules that ask for too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooInterested {
    #[error("{0} filters over single requests, and there may be {MAX_FILTERS}")]
    Filters(usize),
    #[error("filters of {0} bytes, and there may be {MAX_INTEREST}")]
    Bytes(usize),
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Interest {
    /// What rules that go by single requests with these filters have to be told. Filters that only errors pass are left out:
    /// errors are reported anyway.
    #[must_use]
    pub fn of(filters: impl IntoIterator<Item = Match>) -> Self {
        let mut interest = Self::default();
        for filter in filters {
            if filter.holds_good_answers() && !interest.filters.contains(&filter) {
                interest.filters.push(filter);
            }
        }
        interest
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    #[must_use]
    pub fn filters(&self) -> &[Match] {
        &self.filters
    }

    /// The message, not larger than an edge takes it.
    ///
    /// # Errors
    ///
    /// [`TooInterested`].
    pub fn to_message(&self) -> Result<Vec<u8>, TooInterested> {
        let bytes = encode(self)?;
        self.check(bytes.len())?;
        Ok(bytes)
    }

    /// # Errors
    ///
    /// [`TooInterested`], also when `bytes` are no such message.
    pub fn from_message(bytes: &[u8]) -> Result<Self, TooInterested> {
        let interest = decode::<Self>(bytes)?;
        interest.check(bytes.len())?;
        Ok(interest)
    }

    const fn check(&self, bytes: usize) -> Result<(), TooInterested> {
        if self.filters.len() > MAX_FILTERS {
            return Err(TooInterested::Filters(self.filters.len()));
        }
        if bytes > MAX_INTEREST {
            return Err(TooInterested::Bytes(bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(statuses: &[&str], methods: &[&str], paths: &[&str]) -> Match {
        Match {
            statuses: statuses.iter().map(|text| text.parse().unwrap()).collect(),
            methods: methods.iter().map(|text| text.parse().unwrap()).collect(),
            paths: paths.iter().map(|text| text.parse().unwrap()).collect(),
            hosts: Vec::new(),
        }
    }

    const GOLDEN: &str = "010101c8fb2e010104504f535401062f6c6f67696e010d2a2e6578616d706c652e6f7267";

    #[test]
    fn the_encoding_is_golden_and_leads_back() {
        let mut login = filter(&["200-302"], &["POST"], &["/login"]);
        login.hosts.push("*.example.org".parse().unwrap());
        let interest = Interest::of([login]);
        let bytes = interest.to_message().unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(Interest::from_message(&bytes), Ok(interest));
    }

    #[test]
    fn what_is_reported_anyway_is_not_asked_for() {
        let posts = filter(&[], &["POST"], &[]);
        let asked = [
            filter(&["401", "403-404"], &[], &["/login"]),
            posts.clone(),
            filter(&["500", "399-400"], &[], &[]),
            posts.clone(),
        ];
        let interest = Interest::of(asked);
        assert_eq!(interest.filters(), [posts, filter(&["500", "399-400"], &[], &[])]);
        assert!(Interest::of([filter(&["400-599"], &[], &[])]).is_empty());
        assert!(!Interest::of([filter(&[], &[], &[])]).is_empty());
    }

    #[test]
    fn an_interest_has_a_limit_on_both_sides() {
        let many = Interest {
            filters: (0..=MAX_FILTERS)
                .map(|n| filter(&[], &[], &[&format!("/{n}")]))
                .collect(),
        };
        assert_eq!(many.to_message(), Err(TooInterested::Filters(65)));
        assert_eq!(
            Interest::from_message(&encode(&many).unwrap()),
            Err(TooInterested::Filters(65))
        );
        let long = Interest::of([filter(&[], &[], &[&format!("/{}", "x".repeat(MAX_INTEREST))])]);
        let size = encode(&long).unwrap().len();
        assert_eq!(long.to_message(), Err(TooInterested::Bytes(size)));
        assert_eq!(
            Interest::from_message(&[9]),
            Err(TooInterested::Wire(WireError::Version(9)))
        );
    }
}
