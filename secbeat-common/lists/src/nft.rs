//! Sets of nftables, as `nft list` prints them, with or without `-j`.

use serde_json::{Value, value::RawValue};

use super::{
    list::{About, Found, Source},
    when,
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
                '{' | '}' | ',' | ';' | '=' => (&rest[..1], &rest[1..], false),
                _ => {
                    let ends = |c: char| c.is_whitespace() || "{},;=\"".contains(c);
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
    let (mut at, mut kind, mut is_address) = (0, "", true);
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            _ if token.is_quoted => {}
            "set" | "map" => (kind, is_address) = (token.text, true),
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
            "elements" | "element" => {
                let Some(opening) = tokens[at..].iter().position(|next| next.is("{")) else {
                    break;
                };
                at += opening + 1;
                let len = tokens[at..].iter().position(|next| next.is("}"));
                let elements = &tokens[at..len.map_or(tokens.len(), |len| at + len)];
                if len.is_none() && !source.goes_on {
                    found.bad(token.line, "the set does not end");
                }
                found.is_certain = true;
                match (kind, is_address) {
                    (_, false) => found.pass_over("sets of other things than addresses"),
                    ("map", _) => found.pass_over("maps"),
                    _ => elements
                        .split(|token| token.is(","))
                        .for_each(|element| member(element, found)),
                }
                at += elements.len();
            }
            "table" => found.is_certain = true,
            "rule" | "chain" => found.pass_over("chains and their rules"),
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
pub(super) fn read_json(line: u64, objects: &RawValue, found: &mut Found) {
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
