//! Interfaces that only observe, while others drop what is banned.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use glob::Pattern;
use nix::net::if_::if_nameindex;
use secbeat_edge_core::FilterMode;
use serde::Deserialize;

use super::{interface::Interface, selection::pattern};

/// The loopback interface, which nobody means by a pattern: the kernel runs tests of the program as if packets came in by it.
const LOOPBACK: &str = "lo";

/// The modes of single interfaces, by names and patterns of names. A name goes before patterns, a longer pattern before a shorter one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, FilterMode>")]
pub struct InterfaceModes {
    named: BTreeMap<String, FilterMode>,
    /// The longest ones first.
    patterns: Vec<(Pattern, FilterMode)>,
}

impl TryFrom<BTreeMap<String, FilterMode>> for InterfaceModes {
    type Error = String;

    fn try_from(modes: BTreeMap<String, FilterMode>) -> Result<Self, String> {
        let mut found = Self::default();
        for (name, mode) in modes {
            Pattern::new(&name).map_err(|error| format!("`{name}`: {error}"))?;
            match pattern(&name) {
                Some(pattern) => found.patterns.push((pattern, mode)),
                None => drop(found.named.insert(name, mode)),
            }
        }
        let length = |(pattern, _): &(Pattern, FilterMode)| std::cmp::Reverse(pattern.as_str().len());
        found.patterns.sort_by_key(length);
        Ok(found)
    }
}

impl InterfaceModes {
    /// Gives the interface of this very name a mode.
    pub fn set(&mut self, interface: String, mode: FilterMode) {
        self.named.insert(interface, mode);
    }

    /// Whether packets of banned clients pass on the interface of this name, also while the host enforces.
    #[must_use]
    pub fn observes(&self, interface: &str) -> bool {
        let of_pattern = || {
            let mut patterns = self.patterns.iter().filter(|_| interface != LOOPBACK);
            let found = patterns.find(|(pattern, _)| pattern.matches(interface));
            found.map(|(_, mode)| *mode)
        };
        let mode = self.named.get(interface).copied().or_else(of_pattern);
        mode == Some(FilterMode::Observe)
    }

    /// The numbers of the interfaces whose packets are only observed, as the programs see them: a bond's program runs on its members.
    ///
    /// # Errors
    ///
    /// When the kernel does not say which interfaces there are.
    pub(crate) fn observing(&self) -> io::Result<BTreeSet<u32>> {
        if self.named.is_empty() && self.patterns.is_empty() {
            return Ok(BTreeSet::new());
        }
        let present: Vec<_> = if_nameindex()?
            .iter()
            .map(|interface| {
                let name = interface.name().to_string_lossy().into_owned();
                (interface.index(), name)
            })
            .collect();
        let observing = present.iter().filter(|(_, name)| self.observes(name));
        let mut observing: BTreeSet<_> = observing.map(|(index, _)| *index).collect();
        let is_bond = |index: &u32| Interface::of(*index).is_ok_and(|found| found.is_bond());
        let bonds: Vec<_> = observing.iter().copied().filter(is_bond).collect();
        if !bonds.is_empty() {
            let others = present.iter().filter(|(_, name)| !self.named.contains_key(name));
            let members = others.map(|(index, _)| *index).filter(|index| {
                let master = Interface::of(*index).ok().and_then(|found| found.master());
                master.is_some_and(|master| bonds.contains(&master))
            });
            observing.extend(members);
        }
        Ok(observing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<InterfaceModes, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_name_goes_before_patterns_and_a_longer_pattern_before_a_shorter_one() {
        let mut modes =
            of("'*' = 'observe'\n'eth*' = 'enforce'\n'eth1*' = 'observe'\neth10 = 'enforce'").unwrap();
        let observes = |modes: &InterfaceModes, name| modes.observes(name);
        for (name, expected) in [
            ("wg0", true),
            ("eth0", false),
            ("eth1", true),
            ("eth10", false),
            ("lo", false),
        ] {
            assert_eq!(observes(&modes, name), expected, "{name}");
        }
        modes.set("eth1".to_owned(), FilterMode::Enforce);
        modes.set("lo".to_owned(), FilterMode::Observe);
        assert!(!modes.observes("eth1") && modes.observes("lo"));
        assert!(modes.observing().unwrap().contains(&1));
        assert!(InterfaceModes::default().observing().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_mode_or_no_pattern_is_named() {
        let error = of("eth0 = 'watch'").unwrap_err().to_string();
        assert!(error.contains("unknown variant `watch`"), "{error}");
        let error = of("'eth[' = 'observe'").unwrap_err().to_string();
        assert!(error.contains("`eth[`"), "{error}");
    }
}
