//! Successful responses that the detector's rules ask for.

use serde::{Deserialize, Serialize};

use super::{Kind, Message, Part, PartWriter, WireError, encode};
use crate::{
    rules::{CLIENT_GAVE_UP, Exclusion, Match, Target, is_aborted, short_path},
    sign::{Command, Untrusted},
};

/// Most filters in one [`Interest`].
pub const MAX_FILTERS: usize = 64;
/// Largest encoded [`Interest`], in bytes.
pub const MAX_INTEREST: usize = 64 * 1024;

/// Responses that edges report one by one, beside [errors](crate::rules::is_error).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interest {
    /// In the words of the first release, so that every edge reports all that is asked for, and perhaps more.
    filters: Vec<Match>,
    /// Part 1: exactly what is asked for, if `filters` cannot say it.
    #[serde(skip)]
    exact: Vec<Asked>,
}

/// Requests that one rule asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub filter: Match,
    /// Whether only requests that the client [gave up](is_aborted) are asked for.
    pub aborted: bool,
    /// Requests that one of these holds are not asked for.
    pub excluded: Vec<Exclusion>,
}

impl From<Match> for Asked {
    fn from(filter: Match) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }
}

impl Asked {
    /// Whether edges report it without being asked.
    fn is_reported_anyway(&self) -> bool {
        let holds = |status| {
            let statuses = &self.filter.statuses;
            statuses.is_empty() || statuses.iter().any(|statuses| statuses.contain(status))
        };
        !self.aborted && !self.filter.holds_good_answers() && !holds(CLIENT_GAVE_UP)
    }

    /// A filter of the first release that holds as much, where that reports less than all of it without being asked.
    fn widened(&self) -> Option<Match> {
        // That release reports 499 as an error, and has no word for 0.
        (!self.aborted && self.filter.holds_good_answers()).then(|| self.filter.widened())
    }

    /// Whether it holds a request that was answered with `status`.
    #[must_use]
    pub fn holds(&self, status: u16, method: &str, target: &Target<'_>, host: &str, agent: &str) -> bool {
        (!self.aborted || is_aborted(status))
            && self.filter.matches_target(status, method, target, host)
            && !self
                .excluded
                .iter()
                .any(|exclusion| exclusion.matches(status, method, target, host, agent))
    }
}

/// What rules ask for exactly.
const EXACT: u16 = 1;

impl Message for Interest {
    const KIND: Kind = Kind::Interest;
    const PARTS: &'static [u16] = &[EXACT];

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        match self.exact.is_empty() {
            true => Ok(()),
            false => parts.put(EXACT, &self.exact),
        }
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        self.exact = part.read()?;
        Ok(())
    }
}

impl Command for Interest {}

/// Rules that ask for too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooInterested {
    #[error("{0} filters over single requests, and there may be {MAX_FILTERS}")]
    Filters(usize),
    #[error("filters of {0} bytes: at most {MAX_INTEREST} are allowed")]
    Bytes(usize),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Interest {
    /// Returns what rules that go by single requests have to be told. What is reported anyway is left out.
    #[must_use]
    pub fn of(asked: impl IntoIterator<Item: Into<Asked>>) -> Self {
        let mut exact: Vec<Asked> = Vec::new();
        for asked in asked {
            let asked = asked.into();
            if !asked.is_reported_anyway() && !exact.contains(&asked) {
                exact.push(asked);
            }
        }
        let mut filters: Vec<Match> = Vec::new();
        for filter in exact.iter().filter_map(Asked::widened) {
            if !filters.contains(&filter) {
                filters.push(filter);
            }
        }
        let is_said = filters.len() == exact.len()
            && exact
                .iter()
                .zip(&filters)
                .all(|(asked, filter)| *asked == filter.clone().into());
        if is_said {
            exact.clear();
        }
        Self { filters, exact }
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.exact.is_empty()
    }

    /// Number of filters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filters.len().max(self.exact.len())
    }

    /// Whether a request that was answered with `status` is reported by itself.
    #[must_use]
    pub fn holds(&self, status: u16, method: &str, path: &str, host: &str, agent: &str) -> bool {
        // As the orchestrator will compare it.
        let path = short_path(path);
        let target = Target::new(&path);
        match self.exact.as_slice() {
            [] => self
                .filters
                .iter()
                .any(|filter| filter.matches_target(status, method, &target, host)),
            exact => exact
                .iter()
                .any(|asked| asked.holds(status, method, &target, host, agent)),
        }
    }

    /// Itself, unless it asks for more than edges take.
    ///
    /// # Errors
    ///
    /// [`TooInterested`].
    pub fn checked(self) -> Result<Self, TooInterested> {
        if self.len() > MAX_FILTERS {
            return Err(TooInterested::Filters(self.len()));
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
        let mixed = filter(&["500", "399-400"], &[], &[]);
        assert_eq!(
            (&interest.filters, interest.exact.len()),
            (&vec![posts, mixed], 0)
        );
        assert!(Interest::of([filter(&["400-498", "500-599"], &[], &[])]).is_empty());
        assert!(!Interest::of([filter(&[], &[], &[])]).is_empty());
    }

    #[test]
    fn what_the_first_release_cannot_say_is_in_a_part_and_its_edges_report_more() {
        let login = Asked::from(filter(
            &["200"],
            &["POST"],
            &["*/wp-login.php", "/api/*/poll", "/a"],
        ));
        let excluding = Asked {
            filter: filter(&[], &["GET"], &["/search"]),
            excluded: vec![Exclusion {
                user_agents: vec!["monitor".parse().unwrap()],
                ..Exclusion::default()
            }],
            ..Asked::default()
        };
        let aborted = Asked {
            aborted: true,
            ..Asked::default()
        };
        let gave_up = Asked::from(filter(&["499"], &[], &["/x"]));
        let all = vec![login, excluding, aborted, gave_up];
        let interest = Interest::of(all.clone());
        assert_eq!(interest.exact, all);
        assert_eq!(
            interest.filters,
            [
                filter(&["200"], &["POST"], &["/*", "/api/*", "/a"]),
                filter(&[], &["GET"], &["/search"])
            ]
        );
        assert_eq!(
            super::super::decode(&encode(&interest).unwrap()),
            Ok(interest.clone())
        );
        for (status, method, path, agent, expected) in [
            (200, "POST", "/blog/wp-login.php", "", true),
            (302, "POST", "/blog/wp-login.php", "", false),
            (200, "POST", "/other", "", false),
            (200, "GET", "/search", "curl", true),
            (200, "GET", "/search", "a Monitor", false),
            (0, "GET", "/", "", true),
            (499, "GET", "/", "", true),
        ] {
            assert_eq!(
                interest.holds(status, method, path, "", agent),
                expected,
                "{status} {method} {path} {agent}"
            );
        }
    }

    #[test]
    fn an_interest_has_a_limit() {
        let many = Interest::of((0..=MAX_FILTERS).map(|n| filter(&[], &[], &[&format!("/{n}")])));
        assert_eq!(many.checked(), Err(TooInterested::Filters(65)));
        let long = Interest::of([filter(&[], &[], &[&format!("/{}", "x".repeat(MAX_INTEREST))])]);
        let size = encode(&long).unwrap().len();
        assert_eq!(long.checked(), Err(TooInterested::Bytes(size)));
    }
}
