//! Which requests a rule asks for, by their answer's status, their method, path and host.

mod patterns;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::patterns::{HostPattern, Method, NoPattern, PathPattern, Statuses, canonical_path};

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

    /// Whether it holds a request that was answered with `status`. `path` may have a query, `host` a port.
    #[must_use]
    pub fn matches(&self, status: u16, method: &str, path: &str, host: &str) -> bool {
        fn any<T>(list: &[T], holds: impl FnMut(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(holds)
        }
        // The cheap ones first; a path is made canonical once, and only if it matters.
        any(&self.statuses, |statuses| statuses.contain(status))
            && any(&self.methods, |wanted| wanted.as_str() == method)
            && any(&self.hosts, |pattern| pattern.matches(host))
            && (self.paths.is_empty() || {
                let path = canonical_path(path);
                any(&self.paths, |pattern| pattern.matches_canonical(&path))
            })
    }
}
