//! Rules of the TCP wrappers: hosts.deny and hosts.allow.

use super::{
    keys::Sense,
    list::{About, Found, Purpose, Source},
    target,
};

/// hosts.deny and hosts.allow: `ALL: 198.51.100.7, 192.0.2.`.
pub(super) fn read(source: &Source<'_>, found: &mut Found) {
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
            // The first rule counts.
            for client in split(clients) {
                found.except_from_now_on(line, &network(client));
            }
            found.pass_over(format!("rules with the option `{other}`"));
            continue;
        }
        clients_in(line, daemons.trim(), clients, source.purpose, found);
    }
}

/// Takes the clients of a line. If one of them is not understood, none is taken: the line may mean something else.
fn clients_in(line: u64, daemons: &str, clients: &str, purpose: Purpose, found: &mut Found) {
    let note = match daemons {
        "ALL" => String::new(),
        daemons => format!("from {daemons}"),
    };
    // `whitelist: 192.0.2.1`, which names a list in place of a daemon.
    let is_misfit = found.is_misfit(&format!("`{daemons}`"), Sense::of_list(daemons), purpose);
    let (mut is_excepted, mut taken, mut wrong) = (false, Vec::new(), None);
    for client in split(clients) {
        match client {
            "EXCEPT" => is_excepted = true,
            _ if is_excepted || is_misfit => {
                found.except(line, &network(client));
                if is_excepted {
                    found.pass_over("clients behind EXCEPT");
                }
            }
            "ALL" => wrong = wrong.or_else(|| Some("`ALL` covers all clients".to_owned())),
            _ => match target::networks(&network(client)) {
                Ok(_) => taken.push(network(client)),
                Err(why) => wrong = wrong.or(Some(why)),
            },
        }
    }
    match wrong {
        Some(why) => found.bad(line, why),
        None => {
            for client in taken {
                found.take(line, &client, About::noting(note.as_str()));
            }
        }
    }
}

fn split(clients: &str) -> impl Iterator<Item = &str> {
    let clients = clients.split([',', ' ', '\t']);
    clients.filter(|client| !client.is_empty())
}

/// The network of a client: `192.0.2.` stands for all that begin so.
fn network(client: &str) -> String {
    match target::partial(client).filter(|_| client.ends_with('.')) {
        Some(network) => network.to_string(),
        None => client.to_owned(),
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
