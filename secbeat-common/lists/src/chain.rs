//! Chains of rules, as nft writes them.

use super::{
    firewall::{is_first, is_of_output},
    list::Found,
};

/// The chain in which a rule stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain<'a> {
    pub table: &'a str,
    pub name: &'a str,
    /// Hook at which the kernel begins with it: `input`; others are called by rules.
    pub hook: &'a str,
}

impl<'a> Chain<'a> {
    /// The one behind `keyword`, which is `table`, `chain` or `rule`: by the name of the table or the chain, or by the words of a
    /// command.
    pub(super) fn behind(self, keyword: &str, name: &'a str, words: impl Iterator<Item = &'a str>) -> Self {
        const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
        let (table, name) = match keyword {
            "table" => (name, ""),
            "chain" => (self.table, name),
            _ => {
                let mut words = words.skip_while(|word| FAMILIES.contains(word));
                (words.next().unwrap_or_default(), words.next().unwrap_or_default())
            }
        };
        let hook = "";
        Self { table, name, hook }
    }

    pub(super) fn is_of_output(self) -> bool {
        is_of_output(self.name) || is_of_output(self.hook)
    }

    /// Excepts `source` from the rules that follow. `return` leaves the chain only, and others that called it go on.
    pub(super) fn except(self, line: u64, source: &str, is_return: bool, found: &mut Found) {
        match is_return && self.hook.is_empty() && !is_first(self.name) {
            true => found.except_in_chain(line, source),
            false => found.except_from_now_on(line, source),
        }
    }
}
