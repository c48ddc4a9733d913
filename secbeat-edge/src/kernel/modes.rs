//! Interfaces that only observe, while others drop what is banned.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use glob::Pattern;
use secbeat_edge_core::FilterMode;
use serde::Deserialize;

use super::{
    interface::Interface,
    names::{Named, primary},
    selection::pattern,
};

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
    /// Gives the interface of this very name a mode, which may be an alternative name of it.
    pub fn set(&mut self, interface: &str, mode: FilterMode) {
        self.named.insert(primary(interface), mode);
    }

    /// Whether packets of banned clients pass on an interface, also while the host enforces. The name that the kernel goes by, the first of
    /// `names`, goes before its other ones.
    fn observes(&self, names: &[&str]) -> bool {
        let is_loopback = names.contains(&LOOPBACK);
        let of_pattern = || {
            let mut patterns = self.patterns.iter().filter(|_| !is_loopback);
            let found = patterns.find(|(pattern, _)| names.iter().any(|name| pattern.matches(name)));
            found.map(|(_, mode)| *mode)
        };
        let mode = names.iter().find_map(|name| self.named.get(*name).copied());
        mode.or_else(of_pattern) == Some(FilterMode::Observe)
    }

    /// Names and patterns that stand for no interface which there is.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not say which interfaces there are.
    pub(crate) fn without_interface(&self) -> io::Result<Vec<String>> {
        if self.named.is_empty() && self.patterns.is_empty() {
            return Ok(Vec::new());
        }
        let present = Named::all()?;
        let names = self.named.keys();
        let names = names.filter(|name| !present.iter().any(|it| it.names().any(|known| known == **name)));
        let patterns = self.patterns.iter().map(|(pattern, _)| pattern);
        let patterns =
            patterns.filter(|pattern| !present.iter().any(|it| it.name != LOOPBACK && it.fits(pattern)));
        let patterns = patterns.map(|pattern| pattern.as_str().to_owned());
        Ok(names.cloned().chain(patterns).collect())
    }

    /// The numbers of the interfaces whose packets are only observed, as the programs see them: a bond's program runs on its members.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not say which interfaces there are.
    pub(crate) fn observing(&self) -> io::Result<BTreeSet<u32>> {
        if self.named.is_empty() && self.patterns.is_empty() {
            return Ok(BTreeSet::new());
        }
        let present = Named::all()?;
        let observing = present
            .iter()
            .filter(|it| self.observes(&it.names().collect::<Vec<_>>()));
        let mut observing: BTreeSet<_> = observing.map(|it| it.index).collect();
        let is_bond = |index: &u32| Interface::of(*index).is_ok_and(|found| found.is_bond());
        let bonds: Vec<_> = observing.iter().copied().filter(is_bond).collect();
        if !bonds.is_empty() {
            let is_named = |it: &Named| it.names().any(|name| self.named.contains_key(name));
            let others = present.iter().filter(|it| !is_named(it));
            let members = others.map(|it| it.index).filter(|index| {
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
        let observes = |modes: &InterfaceModes, name| modes.observes(&[name]);
        for (name, expected) in [
            ("wg0", true),
            ("eth0", false),
            ("eth1", true),
            ("eth10", false),
            ("lo", false),
        ] {
            assert_eq!(observes(&modes, name), expected, "{name}");
        }
        let by_both = |modes: &InterfaceModes| modes.observes(&["eth0", "eth10", "eth1"]);
        assert!(!by_both(&modes), "the kernel's own name goes first");
        modes.set("eth1", FilterMode::Enforce);
        modes.set("lo", FilterMode::Observe);
        assert!(!observes(&modes, "eth1") && observes(&modes, "lo"));
        assert!(modes.observing().unwrap().contains(&1));
        assert!(InterfaceModes::default().observing().unwrap().is_empty());
        let none = of("nope0 = 'observe'\n'nope*' = 'observe'\nlo = 'observe'").unwrap();
        assert_eq!(none.without_interface().unwrap(), ["nope0", "nope*"]);
    }

    #[test]
    fn what_is_no_mode_or_no_pattern_is_named() {
        let error = of("eth0 = 'watch'").unwrap_err().to_string();
        assert!(error.contains("unknown variant `watch`"), "{error}");
        let error = of("'eth[' = 'observe'").unwrap_err().to_string();
        assert!(error.contains("`eth[`"), "{error}");
    }
}
