//! Choice of the upstream of a request.

use std::collections::HashMap;

use super::config::{HostPattern, RouteConfig};

/// All routes, ready to be looked up. An exact host goes before a wildcard, a longer wildcard before a shorter one, and
/// any host last; among the routes of one host the longest path wins. Where no path of a host fits, the next host's are
/// looked at.
#[derive(Debug, Default)]
pub(super) struct Routes {
    exact: HashMap<String, Paths>,
    below: HashMap<String, Paths>,
    any: Paths,
}

/// Prefixes, the longest first, and the indices of their routes.
#[derive(Debug, Default)]
struct Paths(Vec<(String, usize)>);

impl Routes {
    pub(super) fn new(routes: &[RouteConfig]) -> Self {
        let mut sorted: Vec<_> = routes.iter().enumerate().collect();
        sorted.sort_by_key(|(_, route)| std::cmp::Reverse(route.path.len()));
        let mut this = Self::default();
        for (index, route) in sorted {
            let paths = match &route.host {
                HostPattern::Exact(host) => this.exact.entry(host.clone()).or_default(),
                HostPattern::Below(host) => this.below.entry(host.clone()).or_default(),
                HostPattern::Any => &mut this.any,
            };
            paths.0.push((route.path.clone(), index));
        }
        this
    }

    /// The route's index for a request to `host` (as in its Host field, so maybe with a port) and `path` (as sent,
    /// not decoded).
    pub(super) fn find(&self, host: &str, path: &str) -> Option<usize> {
        if self.exact.is_empty() && self.below.is_empty() {
            return self.any.find(path);
        }
        let host = without_port(host).to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let parents = std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.'));
        let exact = self.exact.get(host).into_iter();
        let below = parents.filter_map(|(_, parent)| self.below.get(parent));
        exact
            .chain(below)
            .chain([&self.any])
            .find_map(|paths| paths.find(path))
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<usize> {
        let found = self.0.iter().find(|(prefix, _)| is_within(path, prefix));
        found.map(|(_, route)| *route)
    }
}

fn is_within(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return true; // `*` too
    }
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

fn without_port(host: &str) -> &str {
    match host.rfind([':', ']']) {
        Some(at) if host.as_bytes()[at] == b':' => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(&str, &str)]) -> Routes {
        let route = |(upstream, (host, path)): (usize, &(&str, &str))| RouteConfig {
            host: match (*host, host.strip_prefix("*.")) {
                ("", _) => HostPattern::Any,
                (_, Some(below)) => HostPattern::Below(below.to_owned()),
                (exact, None) => HostPattern::Exact(exact.to_owned()),
            },
            path: (*path).to_owned(),
            upstream,
            response_timeout: None,
            idle_timeout: None,
            max_body: None,
        };
        Routes::new(&list.iter().enumerate().map(route).collect::<Vec<_>>())
    }

    #[test]
    fn the_nearest_host_and_then_the_longest_path_win() {
        let routes = routes(&[
            ("", "/"),
            ("", "/api"),
            ("*.example.org", "/"),
            ("*.a.example.org", "/"),
            ("www.example.org", "/api"),
            ("www.example.org", "/api/v2/"),
            ("[::1]", "/"),
        ]);
        for (host, path, upstream) in [
            ("", "/", 0),
            ("example.org", "/", 0),
            ("other", "/api", 1),
            ("other", "/api/x", 1),
            ("other", "/apis", 0),
            ("other", "*", 0),
            ("x.example.org", "/api", 2),
            ("x.y.example.org:8443", "/", 2),
            ("x.a.example.org", "/", 3),
            ("WWW.Example.org", "/api", 4),
            ("www.example.org.", "/api/v2", 4),
            ("www.example.org:443", "/api/v2/x", 5),
            ("www.example.org", "/", 2),
            ("[::1]:8443", "/", 6),
            ("[::1]", "/", 6),
        ] {
            assert_eq!(routes.find(host, path), Some(upstream), "{host} {path}");
        }
    }

    #[test]
    fn what_no_route_is_for_goes_nowhere() {
        let routes = routes(&[("a.example", "/x"), ("*.b.example", "/")]);
        for (host, path) in [("a.example", "/y"), ("b.example", "/"), ("", "/x")] {
            assert_eq!(routes.find(host, path), None, "{host} {path}");
        }
    }
}
