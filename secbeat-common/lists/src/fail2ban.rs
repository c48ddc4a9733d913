//! Output of `fail2ban-client`.

use secbeat_daemon::term::Term;
use serde_json::Value;

use super::{
    list::{About, End, Found, Listed, Purpose, Source},
    target, when,
};

/// The note of those who are never banned.
const NOTED: &str = "ignored by fail2ban";
/// What stands before the list of those who are never banned.
const IGNORED: &str = "These IP addresses/networks are ignored:";

pub(super) fn read(source: &Source<'_>, found: &mut Found) {
    let banned = found.entries.len();
    read_all(source, found);
    // Those whom it ignores are the only ones for an allowlist.
    if source.purpose == Purpose::Allowlist {
        let is_banned = |entry: &Listed| entry.about.note != NOTED;
        if let Some(first) = found.entries.iter().skip(banned).find(|entry| is_banned(entry)) {
            let line = first.line;
            found.entries.retain(|entry| !is_banned(entry));
            found.is_certain = true;
            found.bad(line, "fail2ban has banned these; `import` takes them");
        }
    }
}

fn read_all(source: &Source<'_>, found: &mut Found) {
    if source.text.trim_start().starts_with(['[', '{']) {
        return read_python(source, found);
    }
    let mut jail = "";
    let mut are_ignored = false;
    for (line, text) in source.lines() {
        let branch = text.trim_start_matches(['|', '`', '-', ' ', '\t']);
        let is_branch = branch.len() < text.len();
        if let Some(name) = text.strip_prefix("Status for the jail:") {
            (jail, are_ignored, found.is_certain) = (name.trim(), false, true);
        } else if text == IGNORED {
            (are_ignored, found.is_certain) = (true, true);
            if source.purpose == Purpose::Bans {
                found.bad(line, "fail2ban never bans these; `allowlist import` takes them");
            }
        } else if text == "Status" || text == "No IP address/network is ignored" {
            found.is_certain = true;
        } else if is_branch && are_ignored {
            if source.purpose == Purpose::Allowlist {
                found.take(line, branch, About::noting(NOTED));
            }
        } else if let Some((name, values)) = branch.split_once(':').filter(|_| is_branch) {
            branch_of(line, jail, name, values, found);
        } else if is_branch && matches!(branch, "Filter" | "Actions") {
            found.is_certain = true;
        } else if let Some((address, about)) = timed(text, source) {
            match about {
                Ok(about) => found.take(line, address, about),
                Err(why) => found.bad(line, why),
            }
        } else {
            found.bad(line, "nothing that fail2ban-client prints");
        }
    }
}

/// A branch of the tree that `status` prints.
fn branch_of(line: u64, jail: &str, name: &str, values: &str, found: &mut Found) {
    match name {
        "Banned IP list" | "IP list" => {
            for address in values.split_whitespace() {
                found.take(line, address, jailed(jail));
            }
        }
        "Jail list" => found.bad(
            line,
            "jails, and no addresses: `fail2ban-client status JAIL` and `fail2ban-client banned` print those",
        ),
        _ => {}
    }
}

fn jailed(jail: &str) -> About {
    match jail {
        "" => About::default(),
        jail => About::noting(format!("fail2ban {jail}")),
    }
}

/// `198.51.100.7 \t2026-11-28 07:59:02 + 600 = 2026-11-28 08:09:02`, as `banip --with-time` prints it.
fn timed<'a>(text: &'a str, source: &Source<'_>) -> Option<(&'a str, Result<About, String>)> {
    let (address, times) = text.split_once(char::is_whitespace)?;
    let (began, rest) = times.trim().split_once(" + ")?;
    let (length, end) = rest.split_once(" = ")?;
    let seconds: i64 = length.trim().parse().ok()?;
    when::at(began.trim(), source.zone)?;
    let end = match when::at(end.trim(), source.zone) {
        _ if seconds < 0 => Ok(End::For(Term::Permanent)),
        Some(end) => Ok(End::At(end)),
        None => Err(format!("invalid time `{}`", end.trim())),
    };
    let about = end.map(|end| About {
        end: Some(end),
        ..About::noting("fail2ban")
    });
    Some((address, about))
}

/// Python's lists, as `banned` and `get JAIL banned` print them: of addresses, or of jails with their addresses.
fn read_python(source: &Source<'_>, found: &mut Found) {
    if !source.text.contains('\'') {
        found.bad(1, "no list with quotes such as fail2ban-client prints");
        return;
    }
    for (line, text) in source.lines() {
        match serde_json::from_str(&text.replace('\'', "\"")) {
            Ok(value) => banned(line, "", &value, found),
            Err(_) => found.bad(line, "no list such as fail2ban-client prints"),
        }
    }
}

fn banned(line: u64, jail: &str, value: &Value, found: &mut Found) {
    match value {
        Value::String(name) if !target::is_network(name) => found.bad(
            line,
            format!(
                "`{name}` is neither an IP address nor a CIDR prefix: with an address, `fail2ban-client banned` prints \
                 jails; without one, whom they ban"
            ),
        ),
        Value::String(address) => found.take(line, address, jailed(jail)),
        Value::Array(values) => {
            found.is_certain = true;
            values.iter().for_each(|value| banned(line, jail, value, found));
        }
        Value::Object(jails) => {
            for (jail, value) in jails {
                banned(line, jail, value, found);
            }
        }
        other => found.bad(line, format!("invalid address `{other}`")),
    }
}
