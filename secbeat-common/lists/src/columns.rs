//! Fields with names: the columns of a CSV or a table, and the keys of a JSON object.

use jiff::tz::TimeZone;
use secbeat_common::wire::{Layer, Reason};
use secbeat_daemon::{cli::FORMULAS, term::Term};

use super::{
    list::{About, End, Found},
    target, when,
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
    /// What CrowdSec's decisions are about, what they do, and whether they only say so.
    Scope,
    Kind,
    Simulated,
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

impl Column {
    /// By its name in any spelling: `IP Address`, `ip_address`, `ipAddress`.
    pub(super) fn of(name: &str) -> Option<Self> {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
        if let Some(rank) = TARGETS.iter().position(|target| *target == name) {
            return Some(Self::Target(rank));
        }
        Some(match name.as_str() {
            "start" | "startip" | "startaddress" | "rangestart" | "begin" | "from" | "ipfrom" | "first"
            | "firstip" => Self::First,
            "end" | "endip" | "endaddress" | "rangeend" | "to" | "ipto" | "last" | "lastip" => Self::Last,
            "mask" | "netmask" | "subnetmask" | "masklen" | "masklength" | "maskbits" | "prefixlen"
            | "prefixlength" | "cidrlength" => Self::Mask,
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
            "type" | "action" => Self::Kind,
            "simulated" => Self::Simulated,
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
        if text.is_empty() {
            return Ok(());
        }
        match column {
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
            Column::Kind => self.kind = Some(text.to_owned()),
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
    pub(super) fn finish(mut self, line: u64, found: &mut Found) {
        if let Err(why) = self.whole(line, found) {
            found.bad(line, why);
        }
    }

    fn whole(&mut self, line: u64, found: &mut Found) -> Result<(), String> {
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            let range = format!("{first}-{last}");
            found.take(line, &range, std::mem::take(&mut self.about));
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
            self.is_decided(scope, value)?;
        }
        let about = std::mem::take(&mut self.about);
        match &self.mask {
            Some(mask) if target::address(value).is_some() => {
                let mask = mask.trim_start_matches('/');
                found.take(line, &format!("{value}/{mask}"), about);
            }
            _ => found.take(line, value, about),
        }
        Ok(())
    }

    /// Whether a decision of CrowdSec is a ban of an address.
    fn is_decided(&self, scope: &str, value: &str) -> Result<(), String> {
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
            Some(kind) if !kind.eq_ignore_ascii_case("ban") => {
                Err(format!("the decision about {value} is not a ban, but `{kind}`"))
            }
            _ => Ok(()),
        }
    }
}
