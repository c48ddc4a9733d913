//! Sets and rules of nftables, as `nft -j list` prints them on one line.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::{
    chain::Chain,
    firewall::{is_inner, of_output},
    keys::Sense,
    list::{About, Found, Out, Purpose},
    nft::{FILLED, Flags, METERED},
    when,
};

/// Takes the sets and the rules among `objects`.
pub(super) fn read(line: u64, objects: &RawValue, purpose: Purpose, found: &mut Found) {
    found.is_certain = true;
    let objects: Vec<Value> = match serde_json::from_str(objects.get()) {
        Ok(objects) => objects,
        Err(error) => return found.bad(line, format!("nftables: {error}")),
    };
    let rules = objects.iter().filter_map(|object| Rule::of(object.get("rule")?));
    let mut uses = BTreeMap::new();
    for rule in rules.filter(|rule| !rule.is_some) {
        let name = rule.source.as_str().and_then(|source| source.strip_prefix('@'));
        if let (Some(name), Some(sense)) = (name, rule.of_source()) {
            let known = uses.entry(name).or_insert(sense);
            if *known != sense {
                *known = Sense::Both;
            }
        }
    }
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let hooks = objects.iter().filter_map(|object| object.get("chain"));
    let hooks: BTreeMap<_, _> = hooks
        .map(|chain| ((text(chain, "table"), text(chain, "name")), text(chain, "hook")))
        .collect();
    for object in &objects {
        if let Some(set) = object.get("set") {
            let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
            let sense = uses.get(name).copied().unwrap_or_else(|| Sense::of_list(name));
            found.stand_in(&text(set, "table"), "");
            set_of(line, set, name, sense, purpose, found);
        } else if let Some(of) = object.get("rule")
            && let Some(rule) = Rule::of(of)
        {
            let place = (text(of, "table"), text(of, "chain"));
            let chain = Chain {
                table: &place.0,
                name: &place.1,
                hook: hooks.get(&place).map_or("", String::as_str),
            };
            rule.take(line, chain, purpose, found);
        } else if object.get("metainfo").is_none() && object.get("table").is_none() {
            found.pass_over("what is not a set");
        }
    }
}

fn set_of(line: u64, set: &Value, name: &str, sense: Sense, purpose: Purpose, found: &mut Found) {
    let is_other = |kind: &Value| !matches!(kind.as_str(), Some("ipv4_addr" | "ipv6_addr"));
    if set.get("type").is_some_and(is_other) {
        return found.pass_over("sets of other things than addresses");
    }
    let has = |flag: &str| match set.get("flags") {
        Some(Value::Array(flags)) => flags.iter().any(|known| known == flag),
        Some(known) => known == flag,
        None => false,
    };
    let flags = Flags {
        is_dynamic: has("dynamic"),
        is_timed: has("timeout"),
        has_timeout: set.get("timeout").is_some(),
    };
    if flags.is_dynamic && sense == Sense::Neither {
        return found.pass_over(FILLED);
    }
    let is_misfit = found.is_misfit(&format!("the set `{name}`"), sense, purpose);
    for element in set.get("elem").and_then(Value::as_array).into_iter().flatten() {
        match (is_misfit, named(element)) {
            (false, _) => member(line, element, flags, found),
            (true, Some(network)) if purpose == Purpose::Bans => {
                found.leave_out(Out::by(name), line, &network);
            }
            _ => {}
        }
    }
}

fn member(line: u64, element: &Value, flags: Flags, found: &mut Found) {
    let inner = element.get("elem");
    let of = |key: &str| inner.and_then(|inner| inner.get(key));
    if ["limit", "ct count", "quota"].iter().any(|key| of(key).is_some()) {
        return found.pass_over(METERED);
    }
    let number = |key: &str| of(key).and_then(Value::as_i64);
    let end = number("expires")
        .or_else(|| number("timeout"))
        .map(when::seconds_long);
    match (end.transpose(), named(element)) {
        (Ok(end), Some(network)) => {
            let about = About {
                end: end.or_else(|| flags.end()),
                ..About::noting(of("comment").and_then(Value::as_str).unwrap_or_default())
            };
            found.take(line, &network, about);
        }
        (Err(why), _) => found.bad(line, why),
        (_, None) => found.bad(line, format!("invalid address `{element}`")),
    }
}

/// A rule about sources.
struct Rule<'a> {
    /// Of the match: `"@name"`, an address, a prefix, or a set of them.
    source: &'a Value,
    /// It is for all others.
    is_inverse: bool,
    /// What it does with their packets.
    sense: Sense,
    /// It ends its own chain only.
    is_return: bool,
    /// It is for some of their packets only.
    is_some: bool,
}

impl<'a> Rule<'a> {
    fn of(rule: &'a Value) -> Option<Self> {
        let steps = rule.get("expr")?.as_array()?;
        let matches = || steps.iter().filter_map(|step| step.get("match"));
        let field = |of: &Value| {
            let field = of.get("left")?.get("payload")?.get("field")?;
            field.as_str().map(str::to_owned)
        };
        let of_source = matches().find(|of| field(of).as_deref() == Some("saddr"))?;
        let has = |verdicts: &[&str]| {
            let mut known = verdicts.iter();
            known.any(|verdict| steps.iter().any(|step| step.get(verdict).is_some()))
        };
        let sense = match (has(&["drop", "reject"]), has(&["accept", "return"])) {
            (true, false) => Sense::KeepsOut,
            (false, true) => Sense::LetsIn,
            _ => Sense::Neither,
        };
        // As in the text: those to a port, or from an interface to others, are for clients all the same.
        let is_plain = |of: &Value| {
            let meta = || of.get("left")?.get("meta")?.get("key")?.as_str();
            match (field(of).as_deref(), meta()) {
                (Some("saddr" | "daddr" | "dport" | "sport"), _) => true,
                (Some("protocol" | "nexthdr"), _) | (_, Some("l4proto" | "nfproto" | "protocol")) => !of
                    .get("right")
                    .is_some_and(|right| right.to_string().contains("icmp")),
                (_, Some("iifname" | "iif" | "ibrname")) => {
                    !of.get("right").and_then(Value::as_str).is_some_and(is_inner)
                }
                _ => false,
            }
        };
        const PLAIN: [&str; 8] = [
            "match", "drop", "reject", "accept", "return", "counter", "log", "comment",
        ];
        let is_known = |step: &Value| PLAIN.iter().any(|known| step.get(known).is_some());
        Some(Self {
            source: of_source.get("right")?,
            is_inverse: of_source.get("op").and_then(Value::as_str) == Some("!="),
            sense,
            is_return: has(&["return"]),
            is_some: !matches().all(is_plain) || !steps.iter().all(is_known),
        })
    }

    /// Returns what it does with those whom it names.
    fn of_source(&self) -> Option<Sense> {
        match (self.sense, self.is_inverse) {
            (Sense::KeepsOut, false) | (Sense::LetsIn, true) => Some(Sense::KeepsOut),
            (Sense::LetsIn, false) | (Sense::KeepsOut, true) => Some(Sense::LetsIn),
            _ => None,
        }
    }

    /// Takes the addresses that it names itself.
    fn take(&self, line: u64, chain: Chain<'_>, purpose: Purpose, found: &mut Found) {
        let members = self.source.get("set").and_then(Value::as_array);
        let named: Vec<_> = match members {
            Some(members) => members.iter().filter_map(named).collect(),
            None => named(self.source).into_iter().collect(),
        };
        let sources = || named.iter().filter(|name| !name.starts_with('@'));
        if sources().next().is_none() {
            return;
        }
        found.stand_in(chain.table, chain.name);
        if chain.is_of_output() {
            found.pass_over(of_output(chain.name));
        } else if self.is_some {
            found.pass_over("rules that hold for some packets only");
        } else if self.is_inverse {
            found.bad(line, "the rule is for all but its source");
        } else if self.sense == Sense::Neither || self.sense.misfit(purpose).is_some() {
            // The first rule counts.
            if self.sense == Sense::LetsIn && purpose == Purpose::Bans {
                sources().for_each(|source| chain.except(line, source, self.is_return, found));
            }
            found.pass_over("rules with another verdict");
        } else {
            sources().for_each(|source| found.take(line, source, About::default()));
        }
    }
}

/// The network of an element: an address, a prefix or a range.
fn named(element: &Value) -> Option<String> {
    let value = element
        .get("elem")
        .and_then(|inner| inner.get("val"))
        .unwrap_or(element);
    if let Some(prefix) = value.get("prefix") {
        return Some(format!(
            "{}/{}",
            prefix.get("addr")?.as_str()?,
            prefix.get("len")?.as_u64()?
        ));
    }
    if let Some(range) = value.get("range") {
        return Some(format!("{}-{}", range.get(0)?.as_str()?, range.get(1)?.as_str()?));
    }
    value.as_str().map(str::to_owned)
}
