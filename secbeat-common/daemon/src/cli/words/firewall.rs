//! Words that people type who know firewalls.

use super::{
    Here::{self, Hint},
    Word, word,
};

const BAN: Here =
    Hint("`PROGRAM ban ADDRESS` drops its packets in the kernel, for 4h unless `--duration` says otherwise");
const UNBAN: Here = Hint("`PROGRAM unban ADDRESS` lifts its ban");
const ALLOW: Here =
    Hint("`PROGRAM allowlist add ADDRESS` lets it through; opening a port stays with the firewall");
const BAN_OR_ALLOW: Here = Hint(
    "`PROGRAM ban ADDRESS` drops its packets in the kernel, for 4h unless `--duration` says otherwise; `PROGRAM allowlist add ADDRESS` lets it through",
);
const DISALLOW: Here = Hint("`PROGRAM allowlist remove ADDRESS` takes it off the allowlist");
const LIFT_ALL: Here =
    Hint("`PROGRAM unban --all` lifts all bans; rules of the firewall stay with the firewall");
const LOOK: Here = Hint("`PROGRAM bans ADDRESS` lists the bans of it and of networks around it");
const LIST: Here = Hint("`PROGRAM bans` lists the bans; rules of the firewall stay with the firewall");

/// The same in every program. `PROGRAM` stands for its name.
pub const FIREWALL: &[Word] = &[
    word("ufw", "deny from ADDRESS …", BAN),
    word("ufw", "reject from ADDRESS …", BAN),
    word("ufw", "insert POSITION deny from ADDRESS …", BAN),
    word("ufw", "delete deny from ADDRESS …", UNBAN),
    word("ufw", "allow from ADDRESS …", ALLOW),
    word("iptables", "-A CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-I CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-I CHAIN POSITION -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-A CHAIN -p PROTOCOL -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-I CHAIN -p PROTOCOL -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-t TABLE -A CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-t TABLE -I CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("iptables", "-D CHAIN -s ADDRESS …", UNBAN),
    word("iptables", "-L …", LIST),
    word("iptables", "-nL …", LIST),
    word("iptables", "-vnL …", LIST),
    word("iptables", "-S …", LIST),
    word("iptables", "-F …", LIFT_ALL),
    word("ip6tables", "-A CHAIN -s ADDRESS …", BAN_OR_ALLOW),
    word("nft", "add element FAMILY TABLE SET { ADDRESS }", BAN),
    word("nft", "add element …", BAN),
    word(
        "nft",
        "add rule FAMILY TABLE CHAIN ip saddr ADDRESS …",
        BAN_OR_ALLOW,
    ),
    word("nft", "delete element FAMILY TABLE SET { ADDRESS }", UNBAN),
    word("nft", "delete element …", UNBAN),
    word("nft", "list ruleset", LIST),
    word("nft", "list set …", LIST),
    word("nft", "list table …", LIST),
    word("nft", "list tables …", LIST),
    word("nft", "flush ruleset", LIFT_ALL),
    word("ipset", "add SET ADDRESS …", BAN),
    word("ipset", "del SET ADDRESS …", UNBAN),
    word("ipset", "test SET ADDRESS", LOOK),
    word("ipset", "flush SET", LIFT_ALL),
    word("csf", "-d ADDRESS …", BAN),
    word("csf", "-td ADDRESS …", BAN),
    word("csf", "-dr ADDRESS", UNBAN),
    word("csf", "-tr ADDRESS", UNBAN),
    word("csf", "-a ADDRESS …", ALLOW),
    word("csf", "-ta ADDRESS …", ALLOW),
    word("csf", "-ar ADDRESS", DISALLOW),
    word("csf", "-g ADDRESS", LOOK),
    word("csf", "-t", LIST),
];
