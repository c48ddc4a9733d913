//! What people type who know firewalls.

use super::{
    Here::{self, Hint},
    Word,
};

const fn word(of: &'static str, typed: &'static str, here: Here) -> Word {
    Word { of, typed, here }
}

const BAN: Here =
    Hint("`PROGRAM ban ADDRESS` drops its packets in the kernel, for 4h unless `--duration` says otherwise");
const UNBAN: Here = Hint("`PROGRAM unban ADDRESS` lifts its ban");
const ALLOW: Here =
    Hint("`PROGRAM allowlist add ADDRESS` lets it through; opening a port stays with the firewall");
const BAN_OR_ALLOW: Here = Hint(
    "`PROGRAM ban ADDRESS` drops its packets in the kernel, for 4h unless `--duration` says otherwise; `PROGRAM allowlist add ADDRESS` lets it through",
);
const LIST: Here = Hint("`PROGRAM bans` lists the bans; rules of the firewall stay with the firewall");

/// The same in every program, which comes before its own words. `PROGRAM` stands for its name.
pub const FIREWALL: &[Word] = &[
    word("ufw", "deny from ADDRESS …", BAN),
    word("ufw", "reject from ADDRESS …", BAN),
    word("ufw", "insert POSITION deny from ADDRESS …", BAN),
    word("ufw", "delete deny from ADDRESS …", UNBAN),
    word("ufw", "allow from ADDRESS …", ALLOW),
    word("iptables", "-A CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-I CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-D CHAIN -s ADDRESS …", UNBAN),
    word("iptables", "-L …", LIST),
    word("nft", "add element FAMILY TABLE SET { ADDRESS }", BAN),
    word("nft", "add element …", BAN),
    word("nft", "delete element FAMILY TABLE SET { ADDRESS }", UNBAN),
    word("nft", "delete element …", UNBAN),
    word("nft", "list ruleset", LIST),
    word("nft", "list set …", LIST),
    word("ipset", "add SET ADDRESS …", BAN),
    word("ipset", "del SET ADDRESS …", UNBAN),
];
