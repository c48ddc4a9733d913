//! Selection of the interfaces to protect: names, patterns, or whatever the default routes go through.

use std::{collections::BTreeSet, fmt, io};

use glob::Pattern;
use secbeat_daemon::protect::default_route_interfaces;

use super::names::{Named, primary};

/// What the config says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Names, and patterns of names; `None` for the interfaces of the default routes.
    named: Option<Vec<String>>,
    except: Vec<Pattern>,
}

impl Selection {
    /// `named` are names and patterns of names; without them, the interfaces of the default routes are meant. `except` are patterns,
    /// too.
    #[must_use]
    pub fn new(named: Option<Vec<String>>, except: Vec<Pattern>) -> Self {
        Self { named, except }
    }

    /// Whether this very interface is named, by whichever of its names.
    pub(super) fn names(&self, interface: &str) -> bool {
        self.named.as_ref().is_some_and(|named| {
            named
                .iter()
                .any(|name| name == interface || primary(name) == interface)
        })
    }

    /// Whether nothing is to be protected.
    pub(super) fn is_nothing(&self) -> bool {
        self.named.as_ref().is_some_and(Vec::is_empty)
    }

    /// The interfaces that are to be protected now, by the names that the kernel goes by. A name is among them also while there is no such
    /// interface.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not say which interfaces or routes there are.
    pub fn now(&self) -> io::Result<Vec<String>> {
        let Some(named) = &self.named else {
            return Ok(self.unexcepted(default_route_interfaces()?));
        };
        let is_pattern = |name: &String| pattern(name).is_some();
        let present = match named.iter().any(is_pattern) {
            true => Named::all()?,
            false => Vec::new(),
        };
        let mut found = BTreeSet::new();
        let matching = named.iter().flat_map(|name| match pattern(name) {
            Some(pattern) => {
                let fitting = present.iter().filter(|interface| interface.fits(&pattern));
                self.unexcepted(fitting.map(|interface| interface.name.clone()))
            }
            None => vec![primary(name)],
        });
        Ok(matching.filter(|name| found.insert(name.clone())).collect())
    }

    /// [`now`](Self::now), and of the interfaces in `held` those that there still are. A default route that goes away for a moment
    /// leaves no interface unprotected.
    ///
    /// # Errors
    ///
    /// As [`now`](Self::now).
    pub(super) fn now_with(&self, held: impl IntoIterator<Item = String>) -> io::Result<Vec<String>> {
        let mut names = self.now()?;
        if self.named.is_none() {
            for name in self.unexcepted(held) {
                if Named::find(&name).is_some_and(|found| found.name == name) && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    fn unexcepted(&self, names: impl IntoIterator<Item = String>) -> Vec<String> {
        let is_excepted = |name: &String| {
            !self.except.is_empty()
                && match Named::find(name) {
                    Some(interface) => self.except.iter().any(|pattern| interface.fits(pattern)),
                    None => self.except.iter().any(|pattern| pattern.matches(name)),
                }
        };
        names.into_iter().filter(|name| !is_excepted(name)).collect()
    }

    /// Returns why nothing is selected.
    #[must_use]
    pub fn emptiness(&self) -> &'static str {
        match self.named {
            None => "there is no default route",
            Some(_) => "no interface has such a name",
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.named {
            None => write!(f, "auto"),
            Some(named) => write!(f, "{}", named.join(", ")),
        }
    }
}

/// The pattern that `name` is, if it is one.
pub(super) fn pattern(name: &str) -> Option<Pattern> {
    let is_pattern = name.contains(['*', '?', '[']);
    is_pattern.then(|| Pattern::new(name).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(named: &[&str], except: &[&str]) -> Selection {
        Selection::new(
            Some(named.iter().map(|name| (*name).to_owned()).collect()),
            except.iter().map(|text| Pattern::new(text).unwrap()).collect(),
        )
    }

    #[test]
    fn names_are_kept_and_patterns_find_what_there_is() {
        assert_eq!(of(&["nope0", "l?", "lo"], &[]).now().unwrap(), ["nope0", "lo"]);
        assert_eq!(of(&["nope*"], &[]).now().unwrap(), [""; 0]);
        assert_eq!(of(&["l*"], &["lo"]).now().unwrap(), [""; 0]);
        // Who names an interface wants it.
        assert_eq!(of(&["lo"], &["*"]).now().unwrap(), ["lo"]);
    }

    #[test]
    fn interfaces_whose_default_route_has_gone_stay_as_long_as_there_are() {
        let auto = Selection::new(None, vec![Pattern::new("no*").unwrap()]);
        let held = || ["lo", "gone0"].map(str::to_owned);
        let names = auto.now_with(held()).unwrap();
        assert!(names.contains(&"lo".to_owned()) && !names.contains(&"gone0".to_owned()));
        assert!(
            !of(&["nope0"], &[])
                .now_with(held())
                .unwrap()
                .contains(&"lo".to_owned())
        );
        assert_eq!(
            (auto.to_string().as_str(), auto.emptiness()),
            ("auto", "there is no default route")
        );
    }
}
