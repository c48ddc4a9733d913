//! What the detector's rules want to know of good answers.

use serde::{Deserialize, Serialize};

use super::{Kind, Message, WireError, encode};
use crate::{
    rules::Match,
    sign::{Command, Untrusted},
};

/// Most filters in one [`Interest`].
pub const MAX_FILTERS: usize = 64;
/// Largest encoded [`Interest`], in bytes.
pub const MAX_INTEREST: usize = 64 * 1024;

/// Which answers edges report one by one, beside those with a status of 400–599: whatever one of the filters holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interest {
    filters: Vec<Match>,
}

impl Message for Interest {
    const KIND: Kind = Kind::Interest;
}

impl Command for Interest {}

/// Rules that ask for too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooInterested {
    #[error("{0} filters over single requests, and there may be {MAX_FILTERS}")]
    Filters(usize),
    #[error("filters of {0} bytes, and there may be {MAX_INTEREST}")]
    Bytes(usize),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
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

    /// Itself, unless it asks for more than edges take.
    ///
    /// # Errors
    ///
    /// [`TooInterested`].
    pub fn checked(self) -> Result<Self, TooInterested> {
        if self.filters.len() > MAX_FILTERS {
            return Err(TooInterested::Filters(self.filters.len()));
        }
        match encode(&self)?.len() {
            bytes if bytes > MAX_INTEREST => Err(TooInterested::Bytes(bytes)),
            _ => Ok(self),
        }
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
    fn an_interest_has_a_limit() {
        let many = Interest {
            filters: (0..=MAX_FILTERS)
                .map(|n| filter(&[], &[], &[&format!("/{n}")]))
                .collect(),
        };
        assert_eq!(many.checked(), Err(TooInterested::Filters(65)));
        let long = Interest::of([filter(&[], &[], &[&format!("/{}", "x".repeat(MAX_INTEREST))])]);
        let size = encode(&long).unwrap().len();
        assert_eq!(long.checked(), Err(TooInterested::Bytes(size)));
    }
}
