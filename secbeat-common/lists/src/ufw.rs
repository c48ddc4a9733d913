//! Rules of ufw: what `ufw status` and `ufw show added` print, and commands of scripts; and temporary rules of csf, which look like them.

use super::{
    list::{About, End, Found, Purpose, Source},
    target,
    words::after,
};

/// What ufw prints above its rules.
const HEADS: [&str; 8] = [
    "Status:", "Logging:", "Default:", "New", "Added", "To", "--", "(None)",
];

pub(super) fn read(source: &Source<'_>, found: &mut Found) {
    for (line, text) in source.lines().filter(|(_, text)| !text.starts_with('#')) {
        let (text, note) = text.split_once(" # ").unwrap_or((text, ""));
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["Status:", "active" | "inactive"] | ["To", "Action", "From"] => found.is_certain = true,
            ["ufw", ref rest @ ..] | ["sudo", "ufw", ref rest @ ..] => {
                command(line, rest, text, source.purpose, found);
            }
            ["A/D", "IP", ..] => found.is_certain = true,
            [
                action @ ("DENY" | "ALLOW"),
                address,
                port,
                direction @ ("in" | "out" | "inout"),
                ref rest @ ..,
            ] => {
                let is_meant = is_meant(action, source.purpose);
                temporary(line, (address, port, direction), rest, is_meant, found);
            }
            [first, ..] if HEADS.contains(&first) => {}
            _ => row(line, &words, note, source.purpose, found),
        }
    }
}

/// Whether a rule with this action is read.
fn is_meant(action: &str, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Bans => matches!(action, "DENY" | "REJECT"),
        Purpose::Allowlist => action == "ALLOW",
    }
}

/// `[ 1] 22/tcp  DENY IN  198.51.100.7`.
fn row(line: u64, words: &[&str], note: &str, purpose: Purpose, found: &mut Found) {
    let is_action = |word: &&str| matches!(*word, "ALLOW" | "DENY" | "REJECT" | "LIMIT");
    let Some(at) = words.iter().position(is_action) else {
        return found.bad(line, "no rule such as `Anywhere  DENY IN  198.51.100.7`");
    };
    let (action, rest) = (words[at], &words[at + 1..]);
    let (direction, rest) = match rest {
        ["IN", rest @ ..] => ("IN", rest),
        ["OUT" | "FWD", rest @ ..] => (words[at + 1], rest),
        rest => ("IN", rest),
    };
    if !is_meant(action, purpose) || direction != "IN" {
        // The first rule counts: what is let in to everything is not denied below.
        let to = words[..at]
            .iter()
            .filter(|word| !word.ends_with(']') && !["[", "(v6)"].contains(*word));
        if action == "ALLOW" && direction == "IN" && to.eq(&["Anywhere"]) {
            rest.iter()
                .for_each(|network| found.except_from_now_on(line, network));
        }
        let name = if direction == "IN" {
            action.to_owned()
        } else {
            format!("{action} {direction}")
        };
        return found.pass_over(format!("rules with `{name}`"));
    }
    match rest {
        ["Anywhere", ..] => found.pass_over("rules for all clients"),
        [network, ..] => found.take(line, network, About::noting(note.trim())),
        [] => found.bad(line, "the rule does not say from where"),
    }
}

/// A row of `csf -t`: `DENY 198.51.100.7 * inout 59m 40s lfd - (sshd) …`, with what is left of its time.
fn temporary(
    line: u64,
    (address, port, direction): (&str, &str, &str),
    rest: &[&str],
    is_meant: bool,
    found: &mut Found,
) {
    (found.is_certain, found.what) = (true, Some("temporary rules of csf".to_owned()));
    let is_time = |word: &&&str| {
        let digits = word.trim_end_matches(['d', 'h', 'm', 's']);
        digits.len() + 1 == word.len() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let times = rest.iter().take_while(is_time).count();
    let (time, note) = (rest[..times].join(" "), rest[times..].join(" "));
    if direction == "out" {
        found.pass_over("rules about packets that go out");
    } else if port != "*" {
        found.pass_over("rules about single ports");
    } else if !is_meant {
        found.except(line, address);
        found.pass_over("rules for the other purpose");
    } else {
        match time.parse() {
            Ok(term) => {
                let end = Some(End::For(term));
                let about = About {
                    end,
                    ..About::noting(note)
                };
                found.take(line, address, about);
            }
            Err(why) => found.bad(line, format!("invalid time `{time}`: {why}")),
        }
    }
}

/// `deny from 198.51.100.7 to any port 22 comment 'scanner'`.
fn command(line: u64, words: &[&str], text: &str, purpose: Purpose, found: &mut Found) {
    let verb = words
        .iter()
        .find(|word| matches!(**word, "allow" | "deny" | "reject" | "limit" | "delete" | "route"));
    let Some(verb) = verb.map(|verb| verb.to_ascii_uppercase()) else {
        return found.pass_over("commands that add no rule");
    };
    found.is_certain = true;
    if !is_meant(&verb, purpose) || words.contains(&"out") {
        let is_whole = !words.iter().any(|word| {
            matches!(
                *word,
                "out" | "port" | "proto" | "app" | "on" | "route" | "delete"
            )
        });
        if let Some(network) = after(words, "from")
            && verb == "ALLOW"
            && is_whole
        {
            match words.iter().any(|word| matches!(*word, "insert" | "prepend")) {
                true => found.except(line, network),
                false => found.except_from_now_on(line, network),
            }
        }
        return found.pass_over(format!("rules with `{}`", verb.to_lowercase()));
    }
    match after(words, "from") {
        None | Some("any") => found.pass_over("rules for all clients"),
        Some(network) => {
            let comment = text.split_once(" comment ").map_or("", |(_, comment)| comment);
            let note = comment.trim().trim_matches(['\'', '"']);
            match target::is_network(network) {
                true => found.take(line, network, About::noting(note)),
                false => found.bad(
                    line,
                    format!("`{network}` is neither an IP address nor a CIDR prefix"),
                ),
            }
        }
    }
}
