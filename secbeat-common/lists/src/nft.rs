//! Sets of nftables, as `nft list` prints them, with or without `-j`.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::{
    keys::Sense,
    list::{About, Found, Purpose, Source},
    target, when,
};

/// A part of the text: a word, a mark, or what stands between quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    line: u64,
    text: &'a str,
    is_quoted: bool,
}

impl Token<'_> {
    fn is(&self, mark: &str) -> bool {
        !self.is_quoted && self.text == mark
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, mut rest) in (1..).zip(text.lines()) {
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next().filter(|first| *first != '#') else {
                break;
            };
            let (text, after, is_quoted) = match first {
                '"' => {
                    let (text, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
                    (text, after, true)
                }
                '{' | '}' | ',' | ';' | '=' | '!' => (&rest[..1], &rest[1..], false),
                _ => {
                    let ends = |c: char| c.is_whitespace() || "{},;=!\"".contains(c);
                    let (text, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                    (text, after, false)
                }
            };
            tokens.push(Token {
                line,
                text,
                is_quoted,
            });
            rest = after;
        }
    }
    tokens
}

pub(super) fn read(source: &Source<'_>, found: &mut Found) {
    /// What `nft` prints, and what its files begin with.
    const FIRST: [&str; 9] = [
        "table", "set", "map", "add", "create", "flush", "delete", "define", "elements",
    ];
    let tokens = tokens(source.text);
    if !tokens.first().is_some_and(|token| FIRST.contains(&token.text)) || !source.text.contains('{') {
        return found.bad(1, "no set with `elements = { … }`");
    }
    if tokens.get(1).is_some_and(|name| name.text.starts_with('<')) {
        return found.bad(1, "a table of pf: `pfctl -t NAME -T show` prints its addresses");
    }
    let uses = uses(&tokens);
    let sense_of = |name: &str| uses.get(name).copied().unwrap_or_else(|| Sense::of_list(name));
    let (mut at, mut kind, mut name, mut is_address) = (0, "", "", true);
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        at += 1;
        match token.text {
            _ if token.is_quoted => {}
            "set" | "map" => {
                (kind, is_address) = (token.text, true);
                name = last_word(&tokens[at..], token.line).unwrap_or_default();
            }
            "type" | "typeof" => {
                let words = tokens[at..]
                    .iter()
                    .take_while(|next| next.line == token.line && !next.is(";"));
                let words: Vec<_> = words.map(|word| word.text).collect();
                is_address = match words[..] {
                    [one] => matches!(one, "ipv4_addr" | "ipv6_addr"),
                    [_, field] => matches!(field, "saddr" | "daddr"),
                    // A chain's.
                    _ => is_address,
                };
            }
            "elements" | "element" | "define" => {
                if token.text != "elements" {
                    name = last_word(&tokens[at..], token.line).unwrap_or_default();
                }
                let Some(opening) = tokens[at..].iter().position(|next| next.is("{")) else {
                    break;
                };
                let is_one = token.text == "define"
                    && tokens
                        .get(at + opening)
                        .is_some_and(|next| next.line != token.line);
                if is_one {
                    continue;
                }
                at += opening + 1;
                let len = tokens[at..].iter().position(|next| next.is("}"));
                let elements = &tokens[at..len.map_or(tokens.len(), |len| at + len)];
                if len.is_none() && !source.goes_on {
                    found.bad(token.line, "the set does not end");
                }
                found.is_certain = true;
                let is_removed = before.is_some_and(|before| before.is("delete") || before.is("destroy"));
                match (kind, is_address) {
                    _ if is_removed => found.pass_over("elements that are deleted"),
                    _ if token.text == "define" => {
                        let is_used = !matches!(sense_of(name), Sense::Neither);
                        match is_used
                            && elements
                                .iter()
                                .all(|token| token.is(",") || target::is_network(token.text))
                        {
                            true => members(elements, name, sense_of(name), source.purpose, found),
                            false => found.pass_over("definitions that no rule drops"),
                        }
                    }
                    (_, false) => found.pass_over("sets of other things than addresses"),
                    ("map", _) if token.text == "elements" => found.pass_over("maps"),
                    _ => members(elements, name, sense_of(name), source.purpose, found),
                }
                at += elements.len();
            }
            "saddr" => at += rule(&tokens[at..], token.line, source.purpose, found),
            "table" => found.is_certain = true,
            "rule" | "chain" => found.pass_over("chains, of whose rules those about sources are read"),
            _ => {}
        }
    }
}

/// The last word before a brace, a mark or the end of the line: a name behind those of a family and a table.
fn last_word<'a>(tokens: &[Token<'a>], line: u64) -> Option<&'a str> {
    let words = tokens
        .iter()
        .take_while(|next| next.line == line && !["{", "=", ";"].iter().any(|mark| next.is(mark)));
    words.last().map(|token| token.text)
}

/// The tokens of a rule, up to its end.
fn rest_of_rule<'t, 'a>(tokens: &'t [Token<'a>], line: u64) -> &'t [Token<'a>] {
    let (mut depth, mut line) = (0, line);
    let ends = |token: &Token<'_>| {
        let is_inside = depth > 0;
        match token.text {
            "{" if !token.is_quoted => depth += 1,
            "}" if !token.is_quoted => depth -= 1,
            _ => {}
        }
        // A set may take several lines.
        if is_inside {
            line = token.line;
        }
        depth < 0 || (!is_inside && (token.is(";") || token.line != line))
    };
    let end = tokens.iter().position(ends).unwrap_or(tokens.len());
    &tokens[..end]
}

/// What a rule does with its packets, and whether it does so with some only.
fn outcome(rule: &[Token<'_>]) -> (Sense, bool) {
    let has = |words: &[&str]| rule.iter().any(|token| words.iter().any(|word| token.is(word)));
    let sense = match (has(&["drop", "reject"]), has(&["accept", "return"])) {
        (true, false) => Sense::KeepsOut,
        (false, true) => Sense::LetsIn,
        _ => Sense::Neither,
    };
    (
        sense,
        has(&["limit", "meter", "quota", "numgen", "state", "recent"]),
    )
}

/// What rules do with the sets and definitions that they name as sources.
fn uses<'a>(tokens: &[Token<'a>]) -> BTreeMap<&'a str, Sense> {
    let mut uses = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is("saddr")) {
        let rule = rest_of_rule(&tokens[at + 1..], token.line);
        let is_inverse = rule.first().is_some_and(|token| token.is("!"));
        let name = rule
            .iter()
            .take(3)
            .find_map(|token| token.text.strip_prefix(['@', '$']));
        let sense = match (outcome(rule), is_inverse) {
            ((Sense::KeepsOut, false), false) | ((Sense::LetsIn, _), true) => Sense::KeepsOut,
            ((Sense::LetsIn, _), false) | ((Sense::KeepsOut, _), true) => Sense::LetsIn,
            _ => continue,
        };
        if let Some(name) = name {
            let known = uses.entry(name).or_insert(sense);
            if *known != sense {
                *known = Sense::Both;
            }
        }
    }
    uses
}

/// Takes the sources of a rule: `{ 198.51.100.7, 203.0.113.0/24 } drop`. Returns the tokens that were read.
fn rule(tokens: &[Token<'_>], line: u64, purpose: Purpose, found: &mut Found) -> usize {
    let rule = rest_of_rule(tokens, line);
    let (sense, is_some) = outcome(rule);
    let is_inverse = rule.first().is_some_and(|token| token.is("!"));
    let sources: &[Token<'_>] = match rule {
        [opening, rest @ ..] if opening.is("{") => {
            let len = rest.iter().position(|token| token.is("}")).unwrap_or(rest.len());
            &rest[..len]
        }
        [not, equal, opening, rest @ ..] if not.is("!") && equal.is("=") && opening.is("{") => {
            let len = rest.iter().position(|token| token.is("}")).unwrap_or(rest.len());
            &rest[..len]
        }
        [not, equal, one, ..] if not.is("!") && equal.is("=") && target::is_network(one.text) => {
            std::slice::from_ref(one)
        }
        [one, ..] if target::is_network(one.text) => std::slice::from_ref(one),
        _ => &[],
    };
    let meant = match purpose {
        Purpose::Bans => Sense::KeepsOut,
        Purpose::Allowlist => Sense::LetsIn,
    };
    if !sources.is_empty() {
        found.is_certain = true;
        if is_some {
            found.pass_over("rules that hold for some packets only");
        } else if is_inverse {
            found.bad(line, "the rule is for all but its source");
        } else if sense == meant {
            members(sources, "", sense, purpose, found);
        } else {
            found.pass_over("rules with another verdict");
        }
    }
    rule.len()
}

/// Takes the elements of the set `name`.
fn members(elements: &[Token<'_>], name: &str, sense: Sense, purpose: Purpose, found: &mut Found) {
    let is_misfit = found.is_misfit(&format!("the set `{name}`"), sense, purpose);
    for element in elements.split(|token| token.is(",")) {
        match (is_misfit, element.first()) {
            (false, _) => member(element, found),
            (true, Some(first)) if purpose == Purpose::Bans => found.except(first.line, first.text),
            _ => {}
        }
    }
}

/// `198.51.100.7 timeout 1h expires 59m comment "x"`.
fn member(element: &[Token<'_>], found: &mut Found) {
    let Some((first, options)) = element.split_first() else {
        return;
    };
    if let Some(mark) = options.first().filter(|next| next.is(".") || next.is(":")) {
        let what = if mark.is(".") {
            "more than an address"
        } else {
            "an entry of a map"
        };
        return found.bad(first.line, format!("{} is a part of {what}", first.text));
    }
    let after = |name: &str| {
        let at = options.iter().position(|option| option.is(name))?;
        options.get(at + 1).map(|value| value.text)
    };
    let end = after("expires").or_else(|| after("timeout")).map(when::length);
    match end.transpose() {
        Ok(end) => {
            let note = after("comment").unwrap_or_default().to_owned();
            found.take(
                first.line,
                first.text,
                About {
                    end,
                    note,
                    ..About::default()
                },
            );
        }
        Err(why) => found.bad(first.line, why),
    }
}

/// The sets among `objects`, which `nft -j` prints on one line.
pub(super) fn read_json(line: u64, objects: &RawValue, purpose: Purpose, found: &mut Found) {
    found.is_certain = true;
    let objects: Vec<Value> = match serde_json::from_str(objects.get()) {
        Ok(objects) => objects,
        Err(error) => return found.bad(line, format!("nftables: {error}")),
    };
    for object in &objects {
        let Some(set) = object.get("set") else {
            if object.get("metainfo").is_none() && object.get("table").is_none() {
                found.pass_over("what is not a set");
            }
            continue;
        };
        let kind = set.get("type").and_then(Value::as_str);
        if !matches!(kind, Some("ipv4_addr" | "ipv6_addr") | None) {
            found.pass_over("sets of other things than addresses");
            continue;
        }
        let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_misfit = found.is_misfit(&format!("the set `{name}`"), Sense::of_list(name), purpose);
        for element in set.get("elem").and_then(Value::as_array).into_iter().flatten() {
            let inner = element.get("elem");
            let value = inner.and_then(|inner| inner.get("val")).unwrap_or(element);
            let number = |key: &str| inner.and_then(|inner| inner.get(key)?.as_i64());
            let note = inner
                .and_then(|inner| inner.get("comment")?.as_str())
                .unwrap_or_default();
            let end = number("expires")
                .or_else(|| number("timeout"))
                .map(when::seconds_long);
            match (end.transpose(), named(value)) {
                (_, Some(network)) if is_misfit => {
                    if purpose == Purpose::Bans {
                        found.except(line, &network);
                    }
                }
                (Ok(end), Some(network)) => {
                    let note = note.to_owned();
                    found.take(
                        line,
                        &network,
                        About {
                            end,
                            note,
                            ..About::default()
                        },
                    );
                }
                (Err(why), _) => found.bad(line, why),
                (_, None) => found.bad(line, format!("invalid address `{value}`")),
            }
        }
    }
}

/// The network of an element: an address, a prefix or a range.
fn named(value: &Value) -> Option<String> {
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
