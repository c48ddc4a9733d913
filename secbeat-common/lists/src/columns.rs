//! Fields with names: the columns of a CSV or a table, and the keys of a JSON object.

use super::{
    keys::{Sense, elsewhere, plain},
    list::Purpose,
    verdict::{Verdict, is_other_action, is_test},
};

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// A network; of several fields, the one of the lowest rank counts.
    Target(usize),
    First,
    Last,
    /// The mask of the network that another field names, or its length.
    Mask,
    /// How long: from when it began if another field says so, or from now on.
    Length,
    /// How long from now on.
    Left,
    /// When it began.
    Began,
    /// Until when; the number of some programs is a length all the same.
    End,
    Reason,
    Layer,
    Strikes,
    Note,
    /// Remarks for the note, of which each may be a word for a verdict.
    Tags,
    /// One more remark for the note, behind this word.
    Remark(&'static str),
    /// What CrowdSec's decisions are about, and whether they only say so.
    Scope,
    Simulated,
    /// What becomes of the client, in a word that must be known.
    Verdict,
    /// What kind of entry it is; others have words of their own there.
    Kind,
    /// Others that may hold a word for a verdict, and something else as well.
    Word,
    /// Whether the entry comes or goes: `add`, `-`.
    Operation,
    /// Whether the client's packets come in or go out.
    Direction,
    /// Whether something of this sense is so.
    Flag(Sense),
    /// Whether the entry is in force, or whether it is over.
    State {
        is_over: bool,
    },
    /// The name of the list that the entry is on.
    List,
    /// Where our own bans hold.
    Edges,
}

/// Names of fields for a network, the most exact ones first.
const TARGETS: &[&str] = &[
    "target",
    "value",
    "cidr",
    "scopevalue",
    "ipprefix",
    "ipv6prefix",
    "ipv4prefix",
    "prefix",
    "network",
    "subnet",
    "netblock",
    "iprange",
    "range",
    "ip",
    "ips",
    "ipaddress",
    "ipaddr",
    "ipv4",
    "ipv6",
    "ipv4address",
    "ipv6address",
    "address",
    "addr",
    "sourceip",
    "srcip",
    "source",
    "src",
    "sourceaddress",
    "clientip",
    "client",
    "remoteip",
    "remoteaddr",
    "remoteaddress",
    "host",
    "hostip",
    "attackerip",
    "attacker",
    "bannedip",
    "blockedip",
    "badip",
    "maliciousip",
    "dstip",
    "indicator",
    "ioc",
    "entry",
];

/// Names of fields that say whether a client is let in, also behind `is`. Others have such words in them for other things: `pass` is
/// a password that a honeypot saw.
const LETS_IN: [&str; 23] = [
    "allowed",
    "allow",
    "whitelisted",
    "whitelist",
    "inwhitelist",
    "allowlisted",
    "allowlist",
    "safelisted",
    "trusted",
    "ignored",
    "ignore",
    "exempt",
    "exempted",
    "permitted",
    "excluded",
    "falsepositive",
    "benign",
    "unblocked",
    "unbanned",
    "accepted",
    "safe",
    "legit",
    "bypassed",
];

impl Column {
    /// By its name in any spelling: `IP Address`, `ip_address`, `ipAddress`.
    pub(super) fn of(written: &str) -> Option<Self> {
        let name = plain(written);
        if let Some(rank) = TARGETS.iter().position(|target| *target == name) {
            return Some(Self::Target(rank));
        }
        Some(match name.as_str() {
            "start" | "startip" | "startaddress" | "rangestart" | "begin" | "from" | "ipfrom" | "first"
            | "firstip" => Self::First,
            "end" | "endip" | "endaddress" | "rangeend" | "to" | "ipto" | "last" | "lastip" => Self::Last,
            "mask" | "netmask" | "subnetmask" | "masklen" | "masklength" | "maskbits" | "prefixlen"
            | "prefixlength" | "cidrlength" | "bits" | "netbits" | "prefixbits" | "cidrmask" => Self::Mask,
            "duration" | "bantime" | "ttl" | "timeout" => Self::Length,
            "expiresin" | "endsin" | "expiresinseconds" => Self::Left,
            // Not `created_at`: others tell with it of the address, and the length counts from now on.
            "timeofban" | "bannedat" | "banat" | "banstart" | "bandate" | "banneddate" | "bannedon"
            | "blockedat" | "blockedon" => Self::Began,
            "expiresat" | "expires" | "expiry" | "expiration" | "expirationdate" | "expirydate"
            | "expiretime" | "until" | "banneduntil" | "banuntil" | "endsat" | "validuntil" | "validto"
            | "expire" | "expireat" | "expireson" | "expirytime" | "expirationtime" | "banend"
            | "banends" | "banendsat" | "banexpires" | "banexpiresat" | "banexpiry" => Self::End,
            "reason" => Self::Reason,
            "layer" => Self::Layer,
            "strikes" => Self::Strikes,
            "description" | "desc" | "scenario" | "malware" | "sblid" | "service" | "region" | "name"
            | "jail" | "threat" | "category" => Self::Note,
            "note" | "notes" | "comment" | "comments" | "label" | "labels" | "tag" | "tags" => Self::Tags,
            "abuseconfidencescore" => Self::Remark("confidence"),
            "scope" => Self::Scope,
            "simulated" => Self::Simulated,
            "action" | "verdict" | "decision" | "disposition" | "status" | "kind" | "access"
            | "classification" | "judgement" | "judgment" | "permission" | "outcome" | "effect" => {
                Self::Verdict
            }
            // A state may be a part of a country.
            "type" | "state" => Self::Kind,
            "policy" | "rule" | "result" | "purpose" | "mode" | "reputation" => Self::Word,
            "operation" | "op" => Self::Operation,
            "direction" => Self::Direction,
            // MISP's attributes are meant for detection only with `to_ids`.
            "active" | "isactive" | "enabled" | "isenabled" | "inforce" | "toids" | "aktiv" | "actif"
            | "activo" | "activa" | "ativo" | "attivo" | "actief" => Self::State { is_over: false },
            "remove" | "delete" | "unbanat" | "unbantime" | "unbandate" | "ended" => {
                Self::State { is_over: true }
            }
            name if is_end_of(name) => Self::State { is_over: true },
            "blocked" | "isblocked" | "banned" | "isbanned" | "denied" | "isdenied" | "blacklisted"
            | "isblacklisted" | "blocklisted" | "isblocklisted" | "listed" | "islisted" | "malicious"
            | "ismalicious" => Self::Flag(Sense::KeepsOut),
            "list" | "listname" | "listtype" | "ipset" | "set" | "setname" | "addresslist" | "group"
            | "groupname" | "lista" | "liste" | "lijst" => Self::List,
            "edges" => Self::Edges,
            name if LETS_IN.contains(&name.strip_prefix("is").unwrap_or(name)) => Self::Flag(Sense::LetsIn),
            _ if written.chars().all(char::is_alphabetic) => match elsewhere(&written.to_lowercase()) {
                Sense::Neither => return None,
                sense => Self::Flag(sense),
            },
            _ => return None,
        })
    }

    pub(super) const fn is_target(self) -> bool {
        matches!(self, Self::Target(_) | Self::First)
    }

    /// Returns what the field says of its entry with `text`.
    pub(super) fn judge(self, text: &str, purpose: Purpose) -> Verdict {
        match self {
            Self::Flag(sense) => Verdict::of_flag(sense, text, purpose),
            Self::State { is_over } => Verdict::of_state(is_over, text),
            Self::List => match Sense::of_list(text).misfit(purpose) {
                Some(_) => Verdict::Other,
                None => Verdict::Listed,
            },
            Self::Word if is_other_action(text) || is_test(text) => Verdict::Unknown,
            Self::Kind | Self::Word => Verdict::of_kind(text, purpose),
            Self::Tags => Verdict::of_tags(text, purpose),
            Self::Operation => Verdict::of_operation(text),
            Self::Direction => Verdict::of_direction(text),
            Self::Verdict => Verdict::of_word(text, purpose),
            Self::Remark(_) if purpose == Purpose::Bans && text == "0" => Verdict::Over,
            _ => Verdict::Listed,
        }
    }

    /// Returns what the field says with `text` of everybody in an array beside it. Answers of servers have a status there, too,
    /// so only plain words and truth values count.
    pub(super) fn judge_beside(self, text: &str, purpose: Purpose) -> Verdict {
        // Rules that only count or log their clients.
        const WATCHES: [&str; 4] = ["log", "count", "monitor", "observe"];
        match self {
            Self::Verdict if WATCHES.iter().any(|word| text.eq_ignore_ascii_case(word)) => Verdict::Over,
            Self::Verdict => Verdict::of_kind(text, purpose),
            Self::Flag(_) | Self::State { .. } if !["true", "false"].contains(&text) => Verdict::Listed,
            _ => self.judge(text, purpose),
        }
    }

    /// Returns how it is told of entries that are passed over for `text` in the field.
    pub(super) fn told(self, text: &str) -> String {
        let field = match self {
            Self::Flag(Sense::LetsIn) => "they are let in",
            Self::Flag(_) => "they are kept out",
            Self::State { is_over: false } => "they hold",
            Self::State { is_over: true } => "they are over",
            Self::Remark(word) => return format!("a {word} of {text}"),
            _ => return format!("`{text}`"),
        };
        format!("`{text}` in the field that says whether {field}")
    }
}

/// `deleted`, `isRevoked`, `unbanned_at`: whether it is over, or when it was.
fn is_end_of(name: &str) -> bool {
    const ENDS: [&str; 13] = [
        "disabled",
        "expired",
        "revoked",
        "deleted",
        "removed",
        "inactive",
        "delisted",
        "unlisted",
        "lifted",
        "released",
        "withdrawn",
        "unbanned",
        "unblocked",
    ];
    let bare = name.strip_prefix("is").unwrap_or(name);
    let is_time = bare.strip_suffix("at").or_else(|| bare.strip_suffix("on"));
    // `unbanned` alone says whether the client is let in.
    (ENDS.contains(&bare) && !LETS_IN.contains(&bare)) || is_time.is_some_and(|bare| ENDS.contains(&bare))
}
