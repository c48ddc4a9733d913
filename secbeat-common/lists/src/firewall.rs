//! Sets and rules of firewalls: ipset and iptables.

use secbeat_daemon::term::Term;

use super::{
    list::{About, End, Found, Purpose, Source},
    target, when,
    words::{after, words},
};

/// What `ipset save` and `ipset list` print.
pub(super) fn read_ipset(source: &Source<'_>, found: &mut Found) {
    let mut are_members = false;
    for (line, text) in source.lines() {
        let words = words(text);
        let commands = words
            .iter()
            .take_while(|word| matches!(**word, "sudo" | "ipset" | "-exist" | "-!"));
        match words[commands.count()..] {
            [] => {}
            ["create" | "-N" | "--create", ..] => found.is_certain = true,
            ["add" | "-A" | "--add", _, entry, ref options @ ..] => member(line, entry, options, found),
            ["del" | "flush" | "destroy" | "COMMIT", ..] => found.pass_over("commands that add nothing"),
            [word, ..] if word.starts_with('#') => {}
            ["Members:"] => (are_members, found.is_certain) = (true, true),
            ["Name:", ..] => are_members = false,
            [word, ..] if word.ends_with(':') && !are_members => {}
            ["Size" | "Number", ..] if !are_members => {}
            [entry, ref options @ ..] if are_members => member(line, entry, options, found),
            _ => found.bad(line, "no line such as `add NAME 198.51.100.7`"),
        }
    }
}

fn member(line: u64, entry: &str, options: &[&str], found: &mut Found) {
    // Others have commands with these names, too.
    found.is_certain |= entry.split(',').next().is_some_and(target::is_network);
    if entry.contains(',') {
        return found.bad(line, format!("`{entry}` is more than an address"));
    }
    if options.contains(&"nomatch") {
        return found.bad(line, format!("{entry} is an exception of the set (nomatch)"));
    }
    let end = match after(options, "timeout").map(str::parse::<i64>) {
        None => None,
        Some(Ok(0)) => Some(Ok(End::For(Term::Permanent))),
        Some(Ok(seconds)) => Some(when::seconds_long(seconds)),
        Some(Err(error)) => Some(Err(format!("timeout: {error}"))),
    };
    match end.transpose() {
        Ok(end) => {
            let note = after(options, "comment").unwrap_or_default().to_owned();
            found.take(
                line,
                entry,
                About {
                    end,
                    note,
                    ..About::default()
                },
            );
        }
        Err(why) => found.bad(line, why),
    }
}

/// Rules of `iptables-save`, commands of scripts, and what `iptables -L -n` shows: those that drop or reject a source, or accept one for
/// an allowlist.
pub(super) fn read_iptables(source: &Source<'_>, found: &mut Found) {
    // Where the verdict stands in rows that are shown, once there was a header.
    let mut shown = None;
    for (line, text) in source.lines() {
        let words = words(without_counters(text));
        let words = match words[..] {
            ["sudo", ref rest @ ..] => rest,
            _ => &words[..],
        };
        match words {
            [] => {}
            ["COMMIT"] => found.is_certain = true,
            ["Chain", _, what, ..] if what.starts_with('(') => found.is_certain = true,
            ["target" | "pkts" | "num", ..] if words.contains(&"source") => shown = verdict_at(words),
            _ if shown.is_some() && !words[0].starts_with('-') => {
                row(line, words, shown.unwrap_or_default(), source.purpose, found)
            }
            [word, ..] if word.starts_with(['*', ':', '#']) => found.is_certain |= word.starts_with('*'),
            [command, ..] if command.starts_with('-') || command.ends_with("tables") => {
                rule(line, words, source.purpose, found)
            }
            _ => found.bad(line, "no rule such as `-A INPUT -s 198.51.100.7 -j DROP`"),
        }
    }
}

/// A rule without the `[12:720]` before it, which `iptables-save -c` writes.
fn without_counters(text: &str) -> &str {
    let rule = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(counters, _)| counters.bytes().all(|byte| byte.is_ascii_digit() || byte == b':'));
    rule.map_or(text, |(_, rule)| rule)
}

/// The column of the verdict.
fn verdict_at(header: &[&str]) -> Option<usize> {
    header.iter().position(|name| *name == "target")
}

/// A rule as `iptables -L -n` shows it: the verdict, and the source as the first network behind it.
fn row(line: u64, words: &[&str], verdict: usize, purpose: Purpose, found: &mut Found) {
    let Some((verdict, rest)) = words.get(verdict..).and_then(<[_]>::split_first) else {
        return found.bad(line, "no rule such as `DROP all -- 198.51.100.7 0.0.0.0/0`");
    };
    let is_source = |word: &&&str| target::is_network(word.trim_start_matches('!'));
    let Some(source) = rest.iter().find(is_source) else {
        return found.pass_over("rules without a source or a verdict");
    };
    if matches!(*source, "0.0.0.0/0" | "::/0") {
        return found.pass_over("rules without a source or a verdict");
    }
    if !is_meant(verdict, purpose) {
        return found.pass_over(format!("rules with `-j {verdict}`"));
    }
    if let Some(source) = source.strip_prefix('!') {
        return found.bad(line, format!("the rule is for all but {source}"));
    }
    let comment = rest.iter().position(|word| *word == "/*");
    let note = comment.map(|at| {
        rest[at + 1..]
            .split(|word| *word == "*/")
            .next()
            .unwrap_or_default()
    });
    found.take(line, source, About::noting(note.unwrap_or_default().join(" ")));
}

fn is_meant(verdict: &str, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Bans => matches!(verdict, "DROP" | "REJECT"),
        Purpose::Allowlist => verdict == "ACCEPT",
    }
}

fn rule(line: u64, words: &[&str], purpose: Purpose, found: &mut Found) {
    let verdict = after(words, "-j").or_else(|| after(words, "--jump"));
    let sources = after(words, "-s").or_else(|| after(words, "--source"));
    let range = after(words, "--src-range");
    let (Some(verdict), Some(sources)) = (verdict, sources.or(range)) else {
        return found.pass_over("rules without a source or a verdict");
    };
    found.is_certain = true;
    if !is_meant(verdict, purpose) {
        return found.pass_over(format!("rules with `-j {verdict}`"));
    }
    let chain = ["-A", "--append", "-I", "--insert"]
        .iter()
        .find_map(|name| after(words, name));
    if let Some(chain @ ("OUTPUT" | "POSTROUTING")) = chain {
        return found.pass_over(format!(
            "rules of the chain {chain}, whose sources are this host's addresses"
        ));
    }
    let is_inverse = words
        .windows(2)
        .any(|pair| pair[0] == "!" && matches!(pair[1], "-s" | "--source" | "--src-range"));
    if is_inverse {
        return found.bad(line, format!("the rule is for all but {sources}"));
    }
    let note = after(words, "--comment").unwrap_or_default();
    for source in sources.split(',') {
        found.take(line, source, About::noting(note));
    }
}

/// hosts.deny and hosts.allow: `ALL: 198.51.100.7, 192.0.2.`.
pub(super) fn read_hosts(source: &Source<'_>, found: &mut Found) {
    for (line, text) in source.lines().filter(|(_, text)| !text.starts_with('#')) {
        let Some((daemons, clients)) = text.split_once(':').filter(|(daemons, _)| is_daemons(daemons)) else {
            found.bad(line, "no line such as `ALL: 198.51.100.7`");
            continue;
        };
        let (clients, options) = clients_of(clients);
        let other = match source.purpose {
            Purpose::Bans => "allow",
            Purpose::Allowlist => "deny",
        };
        let mut verdicts = options.split(':').map(str::trim);
        if verdicts.any(|option| option.eq_ignore_ascii_case(other)) {
            found.pass_over(format!("rules with the option `{other}`"));
            continue;
        }
        let clients = clients
            .split([',', ' ', '\t'])
            .filter(|client| !client.is_empty());
        let note = match daemons.trim() {
            "ALL" => String::new(),
            daemons => format!("from {daemons}"),
        };
        for client in clients {
            match client {
                "ALL" => found.bad(line, "`ALL` is everybody"),
                "EXCEPT" => {
                    found.bad(line, "what follows EXCEPT is meant by no entry");
                    break;
                }
                _ => match target::partial(client).filter(|_| client.ends_with('.')) {
                    Some(network) => found.take(line, &network.to_string(), About::noting(note.as_str())),
                    None => found.take(line, client, About::noting(note.as_str())),
                },
            }
        }
    }
}

/// Names of daemons, of which none is an address.
fn is_daemons(daemons: &str) -> bool {
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    !daemons.trim().is_empty()
        && daemons
            .split([',', ' '])
            .filter(|name| !name.is_empty())
            .all(is_name)
}

/// The clients, and the options behind them; IPv6 addresses have their colons between brackets.
fn clients_of(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ':' if depth == 0 => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}
