//! Selection of requests that a rule asks for, by their answer's status, their method, path and host.

mod paths;
mod patterns;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::wire::UNREADABLE;

pub use self::{
    paths::{PathPattern, Target, canonical_path, short_path},
    patterns::{AgentPattern, HostPattern, Method, NoPattern, Statuses},
};

/// Status by which nginx, Traefik and the edge's proxy log that the client gave up before the response.
pub const CLIENT_GAVE_UP: u16 = 499;

/// Whether the client gave up: [`CLIENT_GAVE_UP`], or 0 where a log has no status of a response, as HAProxy's -1 and Envoy's 0.
#[must_use]
pub const fn is_aborted(status: u16) -> bool {
    matches!(status, 0 | CLIENT_GAVE_UP)
}

/// Whether a response counts as an error: 400 to 599, unless the client [gave up](is_aborted), or [`UNREADABLE`].
#[must_use]
pub const fn is_error(status: u16) -> bool {
    matches!(status, 400..=599 | UNREADABLE) && !is_aborted(status)
}

/// A filter over single requests: all lists that are not empty must hold the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    pub statuses: Vec<Statuses>,
    pub methods: Vec<Method>,
    pub paths: Vec<PathPattern>,
    pub hosts: Vec<HostPattern>,
}

impl Match {
    /// Whether it holds every request there is.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.statuses.is_empty() && self.methods.is_empty() && self.paths.is_empty() && self.hosts.is_empty()
    }

    /// Whether an answer with a status below 400 can be what it holds.
    #[must_use]
    pub fn holds_good_answers(&self) -> bool {
        self.statuses.is_empty()
            || (100..400).any(|status| self.statuses.iter().any(|statuses| statuses.contain(status)))
    }

    /// One that holds at least as much and has no `*` but at the ends of paths.
    pub(crate) fn widened(&self) -> Self {
        Self {
            paths: self.paths.iter().map(PathPattern::widened).collect(),
            ..self.clone()
        }
    }

    /// Whether it holds a request that was answered with `status`. `path` may have a query, `host` a port.
    #[must_use]
    pub fn matches(&self, status: u16, method: &str, path: &str, host: &str) -> bool {
        self.matches_target(status, method, &Target::new(path), host)
    }

    /// As [`matches`](Self::matches), for several filters over one request.
    #[must_use]
    pub fn matches_target(&self, status: u16, method: &str, target: &Target<'_>, host: &str) -> bool {
        self.matches_by(status, method, host, |pattern| pattern.matches(target))
    }

    /// As [`matches`](Self::matches), with `holds_path` for what a pattern says of the request's path.
    fn matches_by(
        &self,
        status: u16,
        method: &str,
        host: &str,
        holds_path: impl FnMut(&PathPattern) -> bool,
    ) -> bool {
        fn any<T>(list: &[T], holds: impl FnMut(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(holds)
        }
        // The cheap ones first; a path is made canonical once, and only if it matters.
        any(&self.statuses, |statuses| statuses.contain(status))
            && any(&self.methods, |wanted| wanted.as_str() == method)
            && any(&self.hosts, |pattern| pattern.matches(host))
            && any(&self.paths, holds_path)
    }
}

/// Requests that do not count for a rule: all lists that are not empty must hold the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    pub filter: Match,
    pub user_agents: Vec<AgentPattern>,
}

impl Exclusion {
    /// Whether it holds a request that was answered with `status`. One that goes by paths holds none that was
    /// [shortened](short_path). What a `*` begins with holds no [script](PathPattern::excludes), unless it goes by user agents, too.
    #[must_use]
    pub fn matches(&self, status: u16, method: &str, target: &Target<'_>, host: &str, agent: &str) -> bool {
        (self.user_agents.is_empty() || self.user_agents.iter().any(|part| part.matches(agent)))
            && self.filter.matches_by(status, method, host, |pattern| {
                match self.user_agents.is_empty() {
                    true => pattern.excludes(target),
                    false => pattern.matches(target),
                }
            })
            && (self.filter.paths.is_empty() || !target.is_shortened())
    }
}
