//! Sets and rules of nftables, as `nft list` prints them.

use std::collections::BTreeMap;

use secbeat_daemon::term::Term;

use super::{
    chain::Chain,
    firewall::{is_inner, of_output},
    keys::Sense,
    list::{About, End, Found, Out, Purpose, Source},
    target, when,
};

/// Expressions that hold for some packets of a source only, besides those to a port.
const SOME: [&str; 19] = [
    "limit", "meter", "quota", "numgen", "state", "recent", "icmp", "icmpv6", "frag-off", "hour", "day",
    "time", "fib", "pkttype", "length", "dscp", "ttl", "hoplimit", "mark",
];
/// What is said of sets that rules fill, of which none drops the members.
pub(super) const FILLED: &str =
    "sets that rules fill (`flags dynamic`), such as those that count recent clients";
/// What is said of a member with a limit of its own.
pub(super) const METERED: &str = "entries with a limit, which count packets of recent clients";

/// What a set says of all its members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// Rules put their packets' sources into it.
    pub is_dynamic: bool,
    /// Members have timeouts, and those without one stay for ever.
    pub is_timed: bool,
    /// Members without one have that of the set.
    pub has_timeout: bool,
}

impl Flags {
    /// The end of a member that says none.
    pub(super) fn end(self) -> Option<End> {
        (self.is_timed && !self.has_timeout).then_some(End::For(Term::Permanent))
    }
}

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
    for (line, rest) in (1..).zip(text.lines()) {
        // As a script runs it.
        let mut rest = rest.trim_start();
        rest = rest.strip_prefix("nft ").unwrap_or(rest);
        loop {
            // A shell's quotes say nothing.
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "'\\".contains(c));
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
                    let ends = |c: char| c.is_whitespace() || "{},;=!\"'\\".contains(c);
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
    let (mut flags, mut chain) = (Flags::default(), Chain::default());
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        at += 1;
        match token.text {
            _ if token.is_quoted => {}
            "set" | "map" => {
                (kind, is_address, flags) = (token.text, true, Flags::default());
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
            // `flags interval,timeout` of a set, and no `tcp flags` of a rule.
            "flags" if before.is_none_or(|before| !before.is("tcp")) => {
                let words = tokens[at..]
                    .iter()
                    .take_while(|next| next.line == token.line && !next.is(";"));
                for word in words {
                    flags.is_dynamic |= word.is("dynamic");
                    flags.is_timed |= word.is("timeout");
                }
            }
            "timeout" if before.is_none_or(|before| !before.is(",") && !before.is("flags")) => {
                flags.has_timeout = true;
            }
            "elements" | "element" | "define" => {
                if token.text != "elements" {
                    name = last_word(&tokens[at..], token.line).unwrap_or_default();
                    flags = Flags::default();
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
                            true => members(elements, name, sense_of(name), flags, source.purpose, found),
                            false => found.pass_over("definitions that no rule drops"),
                        }
                    }
                    (_, false) => found.pass_over("sets of other things than addresses"),
                    ("map", _) if token.text == "elements" => found.pass_over("maps"),
                    _ if flags.is_dynamic && sense_of(name) == Sense::Neither => found.pass_over(FILLED),
                    _ => members(elements, name, sense_of(name), flags, source.purpose, found),
                }
                at += elements.len();
            }
            "saddr" => at += rule(&tokens[at..], token.line, chain, source.purpose, found),
            "hook" => chain.hook = tokens.get(at).map_or("", |hook| hook.text),
            "table" | "chain" | "rule" => {
                let named = last_word(&tokens[at..], token.line).unwrap_or_default();
                let words = tokens[at..].iter().map(|word| word.text);
                chain = chain.behind(token.text, named, words);
                found.stand_in(chain.table, chain.name);
                match token.text {
                    "table" => found.is_certain = true,
                    _ => found.pass_over("chains, of whose rules those about sources are read"),
                }
            }
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

/// Returns what a rule does with its packets, and whether it does so with some only.
fn outcome(rule: &[Token<'_>]) -> (Sense, bool) {
    let has = |words: &[&str]| rule.iter().any(|token| words.iter().any(|word| token.is(word)));
    let sense = match (has(&["drop", "reject"]), has(&["accept", "return"])) {
        (true, false) => Sense::KeepsOut,
        (false, true) => Sense::LetsIn,
        _ => Sense::Neither,
    };
    // What stands behind is what the client is told: `reject with icmp port-unreachable`.
    let told = rule.iter().position(|token| token.is("reject"));
    let matches = &rule[..told.unwrap_or(rule.len())];
    let is_some = |token: &Token<'_>| SOME.iter().any(|word| token.is(word));
    let of_some = |pair: &[Token<'_>]| {
        (pair[0].is("tcp") && pair[1].is("flags"))
            || (["iifname", "iif", "ibrname"].iter().any(|word| pair[0].is(word)) && is_inner(pair[1].text))
    };
    (
        sense,
        matches.iter().any(is_some) || matches.windows(2).any(of_some),
    )
}

/// Returns what rules do with the sets and definitions that they name as sources.
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
fn rule(tokens: &[Token<'_>], line: u64, chain: Chain<'_>, purpose: Purpose, found: &mut Found) -> usize {
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
        if chain.is_of_output() {
            found.pass_over(of_output(chain.name));
        } else if is_some {
            found.pass_over("rules that hold for some packets only");
        } else if is_inverse {
            found.bad(line, "the rule is for all but its source");
        } else if sense == meant {
            members(sources, "", sense, Flags::default(), purpose, found);
        } else {
            // The first rule counts.
            if sense == Sense::LetsIn && purpose == Purpose::Bans {
                let is_return = rule.iter().any(|token| token.is("return"));
                sources
                    .iter()
                    .for_each(|source| chain.except(line, source.text, is_return, found));
            }
            found.pass_over("rules with another verdict");
        }
    }
    rule.len()
}

/// Takes the elements of the set `name`.
fn members(
    elements: &[Token<'_>],
    name: &str,
    sense: Sense,
    flags: Flags,
    purpose: Purpose,
    found: &mut Found,
) {
    let is_misfit = found.is_misfit(&format!("the set `{name}`"), sense, purpose);
    for element in elements.split(|token| token.is(",")) {
        match (is_misfit, element.first()) {
            (false, _) => member(element, flags, found),
            (true, Some(first)) if purpose == Purpose::Bans => {
                found.leave_out(Out::by(name), first.line, first.text);
            }
            _ => {}
        }
    }
}

/// `198.51.100.7 timeout 1h expires 59m comment "x"`.
fn member(element: &[Token<'_>], flags: Flags, found: &mut Found) {
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
    if options
        .iter()
        .any(|option| ["limit", "ct", "quota"].iter().any(|word| option.is(word)))
    {
        return found.pass_over(METERED);
    }
    let after = |name: &str| {
        let at = options.iter().position(|option| option.is(name))?;
        options.get(at + 1).map(|value| value.text)
    };
    let end = after("expires").or_else(|| after("timeout")).map(when::length);
    match end.transpose() {
        Ok(end) => {
            let end = end.or_else(|| flags.end());
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
