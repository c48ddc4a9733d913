//! iptables as fail2ban drives it: a chain with one rule per banned source, gone through from the start.

use std::fmt::Write as _;

use secbeat_programs::FilterPeer;

use super::{Dropped, tool};
use crate::{
    bench::sources::BANNED_V4,
    lab::{frames, netns::Namespace},
};

/// Sources that were banned later than the one that sends: fail2ban puts each before the others.
const BANNED_LATER: u8 = 50;

const CHAIN: &str = "f2b-bench";

/// Which of the kernel's packet filters the rules become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// nftables, by the same commands: what Debian's `iptables` is.
    Nft,
    /// The old one.
    Legacy,
}

impl Variant {
    fn program(self) -> FilterPeer {
        match self {
            Self::Nft => FilterPeer::IptablesNft,
            Self::Legacy => FilterPeer::IptablesLegacy,
        }
    }

    fn restore(self) -> FilterPeer {
        match self {
            Self::Nft => FilterPeer::IptablesNftRestore,
            Self::Legacy => FilterPeer::IptablesLegacyRestore,
        }
    }
}

pub(super) fn install(host: &Namespace, variant: Variant) -> Result<Dropped, String> {
    let port = frames::PORT;
    let mut rules = format!(
        "*filter\n\
         :{CHAIN} - [0:0]\n\
         -A INPUT -p udp -m multiport --dports {port} -j {CHAIN}\n"
    );
    for last in 1..=BANNED_LATER {
        // Writing to a string does not fail.
        let _ = writeln!(rules, "-A {CHAIN} -s 203.0.113.{last}/32 -j REJECT");
    }
    // Not REJECT, whose answer would cost the peer more than the drop.
    let _ = write!(
        rules,
        "-A {CHAIN} -s {BANNED_V4}/32 -j DROP\n-A {CHAIN} -j RETURN\nCOMMIT\n"
    );
    load(host, variant, &rules)?;
    let host = host.clone();
    Ok(Box::new(move || dropped(&host, variant, "filter", CHAIN)))
}

/// Adds rules in the form of `iptables-save`.
pub(super) fn load(host: &Namespace, variant: Variant, rules: &str) -> Result<(), String> {
    tool::run(host, variant.restore(), &["--noflush"], rules).map(drop)
}

/// Packets that the only dropping rule of a chain has counted.
pub(super) fn dropped(
    host: &Namespace,
    variant: Variant,
    table: &str,
    chain: &str,
) -> Result<Option<u64>, String> {
    let listed = tool::run(host, variant.program(), &["-t", table, "-nvxL", chain], "")?;
    drops_in(&listed)
        .map(Some)
        .ok_or_else(|| format!("{} lists no rule that drops in {chain}", variant.program().name()))
}

/// The lines begin with packets, bytes and target.
fn drops_in(listed: &str) -> Option<u64> {
    let mut lines = listed.lines().map(str::split_whitespace);
    lines.find_map(|mut fields| {
        let packets = fields.next()?;
        (fields.nth(1)? == "DROP").then(|| packets.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::drops_in;

    #[test]
    fn the_dropping_rules_packets_are_found() {
        let listed = "Chain f2b-bench (1 references)\n    \
            pkts      bytes target     prot opt in     out     source               destination\n       \
            3       180 REJECT     all  --  *      *       203.0.113.1          0.0.0.0/0\n  \
            123456  7407360 DROP       all  --  *      *       198.51.100.7         0.0.0.0/0\n";
        assert_eq!(drops_in(listed), Some(123_456));
        assert_eq!(drops_in("Chain INPUT (policy DROP 1 packets, 2 bytes)\n"), None);
    }
}
