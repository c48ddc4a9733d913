//! Fields with names: the columns of a CSV or a table, and the keys of a JSON object.

use jiff::tz::TimeZone;
use secbeat_common::wire::{Layer, Reason};
use secbeat_daemon::{cli::FORMULAS, term::Term};

use super::{
    keys::{Sense, plain},
    list::{About, End, Found, Purpose},
    target,
    verdict::Verdict,
    when,
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
    /// How long, from now on.
    Length,
    /// Until when; the number of some programs is a length all the same.
    End,
    Reason,
    Layer,
    Strikes,
    Note,
    /// One more remark for the note, behind this word.
    Remark(&'static str),
    /// What CrowdSec's decisions are about, and whether they only say so.
    Scope,
    Simulated,
    /// What becomes of the client, in a word that must be known.
    Verdict,
    /// What kind of entry it is; others have words of their own there.
    Kind,
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
            "duration" | "bantime" | "ttl" | "timeout" | "expiresin" | "endsin" | "expiresinseconds" => {
                Self::Length
            }
            "expiresat" | "expires" | "expiry" | "expiration" | "expirationdate" | "expirydate"
            | "expiretime" | "until" | "banneduntil" | "banuntil" | "endsat" | "validuntil" => Self::End,
            "reason" => Self::Reason,
            "layer" => Self::Layer,
            "strikes" => Self::Strikes,
            "note" | "notes" | "comment" | "comments" | "description" | "desc" | "label" | "scenario"
            | "malware" | "sblid" | "service" | "region" | "name" | "tag" | "jail" | "category"
            | "threat" => Self::Note,
            "abuseconfidencescore" => Self::Remark("confidence"),
            "scope" => Self::Scope,
            "simulated" => Self::Simulated,
            "action" | "verdict" | "decision" | "disposition" | "status" | "kind" | "access"
            | "classification" | "judgement" | "judgment" | "permission" | "outcome" => Self::Verdict,
            // A state may be a part of a country.
            "type" | "state" => Self::Kind,
            "active" | "isactive" | "enabled" | "isenabled" | "inforce" => Self::State { is_over: false },
            "disabled" | "isdisabled" | "expired" | "isexpired" | "revoked" | "isrevoked" | "deleted"
            | "isdeleted" | "removed" | "isremoved" | "inactive" | "ended" => Self::State { is_over: true },
            "blocked" | "isblocked" | "banned" | "isbanned" | "denied" | "isdenied" | "blacklisted"
            | "isblacklisted" | "blocklisted" | "isblocklisted" | "malicious" | "ismalicious" => {
                Self::Flag(Sense::KeepsOut)
            }
            "list" | "listname" | "listtype" | "ipset" => Self::List,
            "edges" => Self::Edges,
            name if LETS_IN.contains(&name.strip_prefix("is").unwrap_or(name)) => Self::Flag(Sense::LetsIn),
            _ => return None,
        })
    }

    pub(super) const fn is_target(self) -> bool {
        matches!(self, Self::Target(_) | Self::First)
    }
}

/// An entry of which not all fields were read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    target: Option<(usize, String)>,
    first: Option<String>,
    last: Option<String>,
    mask: Option<String>,
    about: About,
    scope: Option<String>,
    kind: Option<String>,
    /// What other fields say of it: in each the column and the text.
    verdicts: Vec<(Column, String)>,
    is_simulated: bool,
}

impl Draft {
    /// Takes the field of `column`. An empty one says nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn fill(&mut self, column: Column, text: &str, zone: &TimeZone) -> Result<(), String> {
        let text = text.trim();
        // Programs write a dash where there is nothing, and 0 for what never ends.
        let says_nothing = match column {
            Column::Verdict | Column::Kind | Column::Flag(_) | Column::State { .. } => text == "-",
            Column::End | Column::Length => text == "0",
            _ => false,
        };
        if text.is_empty() || says_nothing {
            return Ok(());
        }
        match column {
            // `ip,prefix` and `198.51.100.0,24`.
            Column::Target(_) if is_length(text) => self.mask = Some(text.to_owned()),
            Column::Target(rank) => {
                if self.target.as_ref().is_none_or(|(known, _)| rank < *known) {
                    self.target = Some((rank, text.to_owned()));
                }
            }
            Column::First => self.first = Some(text.to_owned()),
            Column::Last => self.last = Some(text.to_owned()),
            Column::Mask => self.mask = Some(text.to_owned()),
            Column::Length => self.ends(
                text.parse::<Term>()
                    .map(End::For)
                    .or_else(|_| when::length(text))?,
            )?,
            Column::End => self.ends(when::end(text, zone)?)?,
            // Other programs have words of their own here.
            Column::Reason => match text.parse::<Reason>() {
                Ok(reason) => self.about.reason = Some(reason),
                Err(_) if self.about.note.is_empty() => text.clone_into(&mut self.about.note),
                Err(_) => {}
            },
            Column::Layer => {
                let layers = [Layer::Kernel, Layer::L7];
                let layer = layers.into_iter().find(|layer| layer.name() == text);
                self.about.layer = Some(layer.ok_or_else(|| format!("`{text}` is neither kernel nor l7"))?);
            }
            Column::Strikes => {
                let strikes = text.parse();
                self.about.strikes = Some(strikes.map_err(|error| format!("strikes: {error}"))?);
            }
            Column::Note => {
                // As it is written here, so that a spreadsheet takes it for a text.
                let quoted = text.strip_prefix('\'');
                let quoted = quoted.filter(|rest| rest.trim_start_matches('\'').starts_with(FORMULAS));
                self.about.remark(quoted.unwrap_or(text));
            }
            Column::Remark(word) => self.about.remark(&format!("{word} {text}")),
            Column::Scope => self.scope = Some(text.to_owned()),
            Column::Verdict | Column::Kind => {
                self.kind = Some(text.to_owned());
                self.verdicts.push((column, text.to_owned()));
            }
            Column::Flag(_) | Column::State { .. } | Column::List => {
                self.verdicts.push((column, text.to_owned()))
            }
            Column::Edges => {
                if text != "all" {
                    return Err(format!("the ban holds on some edges only ({text})"));
                }
            }
            Column::Simulated => self.is_simulated = text.eq_ignore_ascii_case("true"),
        }
        Ok(())
    }

    fn ends(&mut self, end: End) -> Result<(), String> {
        self.about.end = Some(match (self.about.end, end) {
            (None, end) => end,
            // CrowdSec's decisions say both, and lengths count from when they were printed.
            (Some(at @ End::At(_)), End::For(_)) | (Some(End::For(_)), at @ End::At(_)) => at,
            (Some(known), end) if known == end => end,
            _ => return Err("it says twice when the ban ends".to_owned()),
        });
        Ok(())
    }

    /// The entry, into `found`.
    pub(super) fn finish(mut self, line: u64, purpose: Purpose, found: &mut Found) {
        if let Err(why) = self.whole(line, purpose, found) {
            found.bad(line, why);
        }
    }

    fn whole(&mut self, line: u64, purpose: Purpose, found: &mut Found) -> Result<(), String> {
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            let range = format!("{first}-{last}");
            if self.is_listed(line, &range, purpose, found)? {
                found.take(line, &range, std::mem::take(&mut self.about));
            }
            return Ok(());
        }
        let Some((_, target)) = self.target.take().or(self.first.take().map(|first| (0, first))) else {
            return Err("it names no address".to_owned());
        };
        // `Ip:198.51.100.7`, as `cscli` writes it.
        let scoped = target.split_once(':').filter(|(scope, value)| {
            scope.len() > 1
                && scope.bytes().all(|byte| byte.is_ascii_alphabetic())
                && !target::is_network(&target)
                && !value.starts_with(':')
        });
        let (scope, value) = match scoped {
            Some((scope, value)) => (Some(scope), value),
            None => (self.scope.as_deref(), target.as_str()),
        };
        if let Some(scope) = scope {
            self.is_decided(scope, value, purpose)?;
        }
        let network = match &self.mask {
            Some(mask) if target::address(value).is_some() => {
                format!("{value}/{}", mask.trim_start_matches('/'))
            }
            _ => value.to_owned(),
        };
        if self.is_listed(line, &network, purpose, found)? {
            found.take(line, &network, std::mem::take(&mut self.about));
        }
        Ok(())
    }

    /// Whether what the other fields say lists `network` for `purpose`.
    ///
    /// # Errors
    ///
    /// If nobody knows what one of them says.
    fn is_listed(
        &self,
        line: u64,
        network: &str,
        purpose: Purpose,
        found: &mut Found,
    ) -> Result<bool, String> {
        for (column, text) in &self.verdicts {
            let verdict = match *column {
                Column::Flag(sense) => Verdict::of_flag(sense, text, purpose),
                Column::State { is_over } => Verdict::of_state(is_over, text),
                Column::List => match Sense::of_list(text).misfit(purpose) {
                    Some(_) => Verdict::Other,
                    None => Verdict::Listed,
                },
                Column::Kind => Verdict::of_kind(text, purpose),
                _ => Verdict::of_word(text, purpose),
            };
            let said = match *column {
                Column::Flag(sense) => {
                    let what = if sense == Sense::LetsIn {
                        "let in"
                    } else {
                        "kept out"
                    };
                    format!("`{text}` in the field that says whether they are {what}")
                }
                Column::State { is_over: false } => {
                    format!("`{text}` in the field that says whether they hold")
                }
                Column::State { is_over: true } => {
                    format!("`{text}` in the field that says whether they are over")
                }
                _ => format!("`{text}`"),
            };
            match verdict {
                Verdict::Listed => continue,
                Verdict::Other => {
                    if purpose == Purpose::Bans {
                        found.except(line, network);
                    }
                    found.pass_over(format!("entries with {said}"));
                }
                Verdict::Over => found.pass_over(format!("entries with {said}")),
                Verdict::Unknown => {
                    return Err(format!(
                        "{said} does not say whether {network} is to be listed: leave the column out, or write `{}`",
                        match purpose {
                            Purpose::Bans => "ban",
                            Purpose::Allowlist => "allow",
                        }
                    ));
                }
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a decision of CrowdSec is a ban of an address.
    fn is_decided(&self, scope: &str, value: &str, purpose: Purpose) -> Result<(), String> {
        let is_address = ["ip", "range"]
            .iter()
            .any(|known| scope.eq_ignore_ascii_case(known));
        // Google's scope is a region.
        if !is_address && !target::is_network(value) {
            return Err(format!(
                "`{scope}:{value}` is a decision about no address (scope {scope})"
            ));
        }
        if !is_address {
            return Ok(());
        }
        match &self.kind {
            _ if self.is_simulated => Err(format!("the decision about {value} is simulated")),
            Some(kind) if purpose == Purpose::Bans && !kind.eq_ignore_ascii_case("ban") => {
                Err(format!("the decision about {value} is not a ban, but `{kind}`"))
            }
            Some(kind) if purpose == Purpose::Allowlist && Sense::of(kind) != Sense::LetsIn => Err(format!(
                "the decision about {value} is `{kind}`, and lets nobody in"
            )),
            _ => Ok(()),
        }
    }
}

/// The length of a prefix alone: `24` or `/24`.
fn is_length(text: &str) -> bool {
    let digits = text.strip_prefix('/').unwrap_or(text);
    digits.len() <= 3 && digits.parse::<u8>().is_ok_and(|length| length <= 128)
}
