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
    let mut rules = Vec::new();
    for (line, text) in source.lines() {
        match text.strip_prefix("rule ") {
            Some(rule) => rules.push((line, rule)),
            None => found.bad(line, "no `<ipset>` and no rich rule such as `rule family=\"ipv4\" source address=\"198.51.100.7\" drop`"),
        }
    }
    // The order in which firewalld asks them: by priority, and of the same one those that drop come first.
    rules.sort_by_key(|(_, rule)| {
        let priority = pairs(rule).find(|(key, _)| *key == "priority");
        let priority = priority.and_then(|(_, number)| number.parse::<i32>().ok());
        (
            priority.unwrap_or_default(),
            action(rule).is_some_and(|(action, _)| action == "accept"),
        )
    });
    for (line, rule) in rules {
        rich(line, rule, source.purpose, found);
    }
}

/// Returns what a rule does, and whether with a limit. Another limit may be that of its `log`.
fn action(rule: &str) -> Option<(&str, bool)> {
    // What stands between quotes is a value.
    let words = rule.split('"').step_by(2).flat_map(str::split_whitespace);
    let mut behind = words.skip_while(|word| !["accept", "drop", "reject", "mark"].contains(word));
    let action = behind.next()?;
    Some((action, behind.any(|word| word == "limit")))
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
            match is_misfit {
                false => found.take(line, entry, About::default()),
                true => found.except(line, entry),
            }
            rest = after;
        }
    }
}

fn rich(line: u64, rule: &str, purpose: Purpose, found: &mut Found) {
    let Some((_, source)) = rule.split_once("source ") else {
        return found.pass_over("rules without a source");
    };
    found.is_certain = true;
    let (action, is_limited) = action(rule).unwrap_or_default();
    let is_meant = match purpose {
        Purpose::Bans => matches!(action, "drop" | "reject"),
        Purpose::Allowlist => action == "accept",
    };
    let inverts = |(key, value): (&str, &str)| {
        key == "invert"
            && ["true", "yes", "1"]
                .iter()
                .any(|yes| value.eq_ignore_ascii_case(yes))
    };
    let is_inverse = source.starts_with("NOT ") || source.starts_with("not ") || pairs(source).any(inverts);
    let address = pairs(source).find(|(key, _)| *key == "address");
    if !is_meant {
        const PART: [&str; 4] = [" service ", " port ", " protocol ", " destination "];
        let is_whole = !is_inverse && !PART.iter().any(|part| source.contains(part));
        if let Some((_, network)) = address
            && is_whole
            && action == "accept"
        {
            found.except_from_now_on(line, network);
        }
        return found.pass_over("rules with another action");
    }
    if is_inverse {
        return found.bad(line, "the rule is for all but its source");
    }
    if is_limited {
        return found.pass_over("rules that hold for some packets only (`limit`)");
    }
    match address {
        Some((_, network)) => found.take(line, network, About::default()),
        None => found.bad(
            line,
            "the rule names its source in another way than by an address",
        ),
    }
}
