//! firewalld: sets in XML, and rich rules.

use super::{
    keys::Sense,
    list::{About, Found, Purpose, Source},
    routers::pairs,
};

/// Sets of firewalld in XML, and rich rules as `firewall-cmd --list-rich-rules` prints them.
pub(super) fn read(source: &Source<'_>, found: &mut Found) {
    if source.text.contains("<ipset") {
        return read_set(source, found);
    }
    for (line, text) in source.lines() {
        let Some(rule) = text.strip_prefix("rule ") else {
            found.bad(line, "no `<ipset>` and no rich rule such as `rule family=\"ipv4\" source address=\"198.51.100.7\" drop`");
            continue;
        };
        rich(line, rule, source.purpose, found);
    }
}

/// A set in XML, with its entries outside of comments.
fn read_set(source: &Source<'_>, found: &mut Found) {
    let (mut is_comment, mut is_misfit) = (false, false);
    for (line, text) in source.lines() {
        let mut shown = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (mark, next) = if is_comment {
                ("-->", false)
            } else {
                ("<!--", true)
            };
            let (before, after) = rest
                .split_once(mark)
                .map_or((rest, None), |(before, after)| (before, Some(after)));
            if !is_comment {
                shown += before;
            }
            match after {
                Some(after) => (rest, is_comment) = (after, next),
                None => break,
            }
        }
        let between = |tag: &str| {
            let (_, after) = shown.split_once(&format!("<{tag}>"))?;
            Some(
                after
                    .split_once("</")
                    .map_or(after, |(name, _)| name)
                    .trim()
                    .to_owned(),
            )
        };
        if let Some(name) = between("short") {
            is_misfit = found.is_misfit(
                &format!("the set `{name}`"),
                Sense::of_list(&name),
                source.purpose,
            );
        }
        let mut rest = shown.as_str();
        while let Some((_, after)) = rest.split_once("<entry>") {
            found.is_certain = true;
            let Some((entry, after)) = after.split_once("</entry>") else {
                found.bad(line, "an `<entry>` without an end");
                break;
            };
            if !is_misfit {
                found.take(line, entry, About::default());
            }
            rest = after;
        }
    }
}

fn rich(line: u64, rule: &str, purpose: Purpose, found: &mut Found) {
    let words: Vec<_> = rule.split_whitespace().collect();
    let has = |verb: &str| words.contains(&verb);
    let Some((_, source)) = rule.split_once("source ") else {
        return found.pass_over("rules without a source");
    };
    found.is_certain = true;
    let is_meant = match purpose {
        Purpose::Bans => has("drop") || has("reject"),
        Purpose::Allowlist => has("accept"),
    };
    if !is_meant {
        return found.pass_over("rules with another action");
    }
    let inverts = |(key, value): (&str, &str)| {
        key == "invert"
            && ["true", "yes", "1"]
                .iter()
                .any(|yes| value.eq_ignore_ascii_case(yes))
    };
    if source.starts_with("NOT ") || source.starts_with("not ") || pairs(source).any(inverts) {
        return found.bad(line, "the rule is for all but its source");
    }
    if has("limit") {
        return found.pass_over("rules that hold for some packets only (`limit`)");
    }
    let address = pairs(source).find(|(key, _)| *key == "address");
    match address {
        Some((_, network)) => found.take(line, network, About::default()),
        None => found.bad(
            line,
            "the rule names its source in another way than by an address",
        ),
    }
}
