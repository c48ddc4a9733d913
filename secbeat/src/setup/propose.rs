//! The config for what was found, and the account of it.

use std::fmt::Write as _;

use super::{
    Found,
    admins::Admins,
    logs::{Alike, FoundLog, State},
};

/// A config, and what is said about it.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// Lines for people.
    pub account: Vec<String>,
    /// The file's text.
    pub config: String,
}

impl Proposal {
    /// Returns what fits to what was found. It enforces only if the operator who runs this is protected, and nothing speaks for a proxy in
    /// front.
    #[must_use]
    pub(crate) fn of(found: &Found, observe: bool) -> Self {
        let mut account = vec![interfaces(&found.interfaces)];
        account.extend(found.logs.iter().map(log));
        if found.logs.is_empty() {
            account.push(entry(
                "web servers",
                "none found: name their logs in [[access_log]], or put [proxy] in front",
            ));
        }
        if found.has_sshd {
            account.push(entry("sshd", &sshd(found.ssh_log.as_deref())));
        }
        account.push(entry("never banned", &never_banned(found)));
        let why_observe = why_observe(found, observe);
        account.push(match &why_observe {
            None => entry("mode", &format!("enforce: {}", admin(found.admins))),
            Some(why) => entry("mode", &format!("observe: {why}")),
        });
        Self {
            account,
            config: config(found, why_observe.as_deref()),
        }
    }
}

fn sshd(log: Option<&str>) -> String {
    match log {
        Some(place) => format!("{place}: 5 failed logins in 10 min"),
        None => "its log is not found, neither in its usual places nor in a journal: name it with `path` in the entry of sshd".to_owned(),
    }
}

pub(crate) fn entry(what: &str, text: &str) -> String {
    format!("{what:<13} {text}")
}

fn interfaces(names: &[String]) -> String {
    match names {
        [] => entry(
            "interfaces",
            "none: there is no default route yet; the first interface that has one is protected",
        ),
        names => entry("interfaces", &format!("{} (default route)", names.join(", "))),
    }
}

fn log(log: &FoundLog) -> String {
    let path = log.path.display();
    let state = match &log.state {
        State::Empty { alike } => no_line(log, alike.as_ref()),
        State::Understood {
            format,
            understood,
            lines,
            caution,
            ..
        } => {
            let caution = caution.map_or_else(String::new, |caution| format!("; note: {}", caution.text()));
            format!("{format}, {understood} of the last {lines} lines understood{caution}")
        }
        State::NotUnderstood(why) => {
            format!("LEFT OUT, its lines are not understood: {why} (see `secbeat explain {path}`)")
        }
        State::Unreadable(why) => format!("LEFT OUT, it cannot be read: {why}"),
    };
    entry(log.server, &format!("{path}: {state} ({})", log.why))
}

/// Returns what is assumed of a log without lines.
fn no_line(log: &FoundLog, alike: Option<&Alike>) -> String {
    let format = log.format().unwrap_or_default();
    match alike {
        Some(Alike { path, .. }) => {
            let path = path.to_string_lossy();
            format!("no line yet; {format} is assumed, as in {}", path.escape_debug())
        }
        None => format!(
            "no line yet; {format} is assumed, which {} writes by default",
            log.server
        ),
    }
}

fn never_banned(found: &Found) -> String {
    if found.protected.is_empty() {
        return "this host itself".to_owned();
    }
    let named = found
        .protected
        .iter()
        .map(|(network, reason)| format!("{network} ({reason})"));
    named.collect::<Vec<_>>().join(", ")
}

fn admin(admins: Admins) -> String {
    match admins {
        Admins::Ssh(peer) => format!("your SSH session from {peer} is protected"),
        Admins::Console => "you are at this host's console".to_owned(),
        Admins::Unknown => "as you asked".to_owned(),
    }
}

/// Returns why no packet is to be dropped yet, if so.
fn why_observe(found: &Found, observe: bool) -> Option<String> {
    if observe {
        return Some("dry run, as requested; set mode = \"enforce\" to drop packets".to_owned());
    }
    let crowds = found.logs.iter().filter_map(|log| match &log.state {
        State::Understood { crowd, .. } => crowd.as_ref().map(|crowd| (log, crowd)),
        _ => None,
    });
    if let Some((log, crowd)) = crowds.max_by_key(|(_, crowd)| crowd.percent) {
        return Some(format!(
            "{}% of {} requests in {} come from {}, which looks like a proxy or CDN in front; if it is one, put its networks \
             into trusted_proxies, else set mode = \"enforce\"",
            crowd.percent,
            crowd.requests,
            log.path.display(),
            crowd.client
        ));
    }
    if found.admins == Admins::Unknown {
        return Some(
            "your address is unknown, so you might be locked out; list your networks in [protect], and set \
             mode = \"enforce\""
                .to_owned(),
        );
    }
    None
}

fn config(found: &Found, why_observe: Option<&str>) -> String {
    let mut text =
        "# SecBeat on this host, as `secbeat setup` found it. All keys: secbeat(1), /usr/share/doc/secbeat/docs/config-edge.md and\n# config-orchestrator.md there.\n"
            .to_owned();
    text.push_str("\n# Proxies, load balancers and CDNs in front of this host. Without them here, they would be banned for their clients.\n");
    text.push_str("trusted_proxies = []\n\n[kernel]\n");
    text.push_str("# The interfaces of the default routes.\ninterfaces = \"auto\"\n");
    if let Some(why) = why_observe {
        let _ = writeln!(text, "# {why}.");
    }
    let mode = match why_observe {
        Some(_) => "observe",
        None => "enforce",
    };
    let _ = writeln!(text, "mode = \"{mode}\"\n\n[protect]");
    match found.admins {
        Admins::Ssh(peer) => {
            let _ = writeln!(text, "# From where this was set up.\nnetworks = [\"{peer}\"]");
        }
        Admins::Console | Admins::Unknown => text.push_str("# Your own networks.\nnetworks = []\n"),
    }
    text.extend(found.logs.iter().map(access_log));
    if found.has_sshd {
        text.push_str(&ssh(false));
    }
    text
}

/// The entry of a log; as a comment if it cannot be read or is not understood.
pub(super) fn access_log(log: &FoundLog) -> String {
    let comment = match log.state {
        State::Empty { .. } | State::Understood { .. } => "",
        State::NotUnderstood(_) | State::Unreadable(_) => "# ",
    };
    let mut text = format!("\n# {}: {}.\n", log.server, log.why);
    let mut format = log.format();
    if let State::Empty { alike } = &log.state {
        let _ = writeln!(
            text,
            "# There is {}. Once there is one, `secbeat explain FILE` shows whether that is so.",
            no_line(log, alike.as_ref())
        );
        // The default of the daemon need not be stated where nothing else speaks for it.
        format = format.filter(|format| alike.is_some() || *format != "combined");
    }
    let path = toml::Value::from(log.path.to_string_lossy().into_owned());
    let _ = writeln!(text, "{comment}[[access_log]]\n{comment}path = {path}");
    if let Some(format) = format {
        let _ = writeln!(text, "format = {}", toml::Value::from(format));
    }
    text
}

/// The rule for failed logins over SSH.
pub(super) const SSH_RULE: &str = "ssh-bruteforce";

/// The entry of sshd, with its rule unless there is one.
pub(super) fn ssh(has_rule: bool) -> String {
    let mut text = "\n# sshd is installed.\n[[service_log]]\nfilter = \"sshd\"\n".to_owned();
    if !has_rule {
        let _ = writeln!(text, "\n[[rule]]\nname = \"{SSH_RULE}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        memory::InMemory,
        setup::{logs::Crowd, servers},
    };

    fn found(admins: Admins, state: State) -> Found {
        Found {
            interfaces: vec!["eth0".to_owned()],
            logs: vec![FoundLog {
                server: "nginx",
                path: "/var/log/nginx/access.log".into(),
                why: "its usual place".to_owned(),
                state,
            }],
            has_sshd: false,
            ssh_log: Some("/var/log/auth.log".to_owned()),
            admins,
            protected: vec![("198.51.100.20/32".to_owned(), "ssh-peer")],
        }
    }

    fn understood(crowd: Option<Crowd>) -> State {
        State::Understood {
            format: "combined".to_owned(),
            understood: 10,
            lines: 10,
            crowd,
            caution: None,
        }
    }

    const SSH: Admins = Admins::Ssh(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 20)));

    #[test]
    fn it_enforces_for_whoever_is_protected() {
        for admins in [SSH, Admins::Console] {
            let proposal = Proposal::of(&found(admins, understood(None)), false);
            assert!(
                proposal.config.contains("mode = \"enforce\""),
                "{}",
                proposal.config
            );
        }
        let proposal = Proposal::of(&found(SSH, understood(None)), false);
        assert!(proposal.config.contains("networks = [\"198.51.100.20\"]"));
        assert!(
            proposal
                .account
                .iter()
                .any(|line| line.contains("10 of the last 10 lines understood"))
        );
    }

    #[test]
    fn it_observes_where_somebody_might_be_locked_out() {
        let crowd = Crowd {
            client: "172.18.0.1".parse().unwrap(),
            percent: 99,
            requests: 1000,
        };
        for (found, observe, word) in [
            (found(Admins::Unknown, understood(None)), false, "locked out"),
            (found(SSH, understood(Some(crowd))), false, "trusted_proxies"),
            (found(SSH, understood(None)), true, "as requested"),
        ] {
            let proposal = Proposal::of(&found, observe);
            assert!(
                proposal.config.contains("mode = \"observe\""),
                "{}",
                proposal.config
            );
            let mode = proposal.account.last().unwrap();
            assert!(mode.contains("observe") && mode.contains(word), "{mode}");
        }
    }

    #[test]
    fn a_log_that_is_not_understood_is_left_out_and_said() {
        let state = State::NotUnderstood("no time".to_owned());
        let proposal = Proposal::of(&found(SSH, state), false);
        assert!(
            proposal.config.contains("# [[access_log]]"),
            "{}",
            proposal.config
        );
        assert!(
            proposal
                .account
                .iter()
                .any(|line| line.contains("LEFT OUT") && line.contains("no time"))
        );
    }

    /// The entry of a log of these lines, as the daemon takes it.
    fn entry_of(server: &'static str, path: std::path::PathBuf) -> (FoundLog, Config) {
        let why = "its usual place".to_owned();
        let log = crate::setup::logs::found(servers::Place { server, path, why });
        let config = Config::load(&InMemory::new(&access_log(&log)).unwrap().path()).unwrap();
        (log, config)
    }

    #[test]
    fn the_daemon_reads_each_log_as_setup_did() {
        const TIME: &str = "[21/Nov/2026:11:06:56 +0100]";
        let request = format!(r#"{TIME} "GET /x HTTP/1.1" 404 12 "-" "curl""#);
        let caddy = r#"{"level":"info","ts":1795255616.5,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"203.0.113.7","method":"GET","host":"a","uri":"/x"},"status":404}"#;
        let haproxy = r#"203.0.113.7:4711 [21/Nov/2026:10:06:56.000] www app/web1 0/0/1/2/3 404 12 - - ---- 1/1/0/0/0 0/0 "GET /x HTTP/1.1""#;
        let folder = tempfile::tempdir().unwrap();
        for (server, line, format) in [
            ("nginx", format!("203.0.113.7 - - {request}"), "combined"),
            (
                "Apache",
                format!("a.org:80 203.0.113.7 - - {request}"),
                "vhost-combined",
            ),
            ("Caddy", caddy.to_owned(), "caddy-json"),
            ("HAProxy", haproxy.to_owned(), "haproxy"),
            ("nginx", caddy.to_owned(), "caddy-json"),
        ] {
            let path = folder.path().join("access.log");
            std::fs::write(&path, format!("{line}\n").repeat(20)).unwrap();
            let (log, config) = entry_of(server, path);
            assert!(
                matches!(&log.state, State::Understood { format: read, .. } if read == format),
                "{log:?}"
            );
            let formats = &config.edge.access_log[0].format;
            assert_eq!(formats.to_string(), format);
            let read = formats.parse(line.as_bytes()).unwrap();
            assert_eq!(
                (read.client.to_string().as_str(), read.status),
                ("203.0.113.7", 404)
            );
        }
    }

    #[test]
    fn a_log_without_lines_is_read_as_its_server_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        for (server, name, format) in [
            ("nginx", "access.log", "combined"),
            ("Apache", "access.log", "combined"),
            ("Apache", "other_vhosts_access.log", "vhost-combined"),
            ("Caddy", "access.log", "caddy-json"),
            ("HAProxy", "haproxy.log", "haproxy"),
            ("Traefik", "access.log", "combined"),
            ("lighttpd", "access.log", "lighttpd"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            let (entry, config) = entry_of(server, path);
            assert_eq!(config.edge.access_log[0].format.to_string(), format, "{server}");
            let assumed = format!("no line yet; {format} is assumed, which {server} writes");
            assert!(log(&entry).contains(&assumed));
            let text = access_log(&entry);
            assert!(
                text.contains(&assumed) && text.contains("secbeat explain"),
                "{text}"
            );
            assert_eq!(text.contains("\nformat = "), format != "combined", "{text}");
        }
    }

    #[test]
    fn sshd_is_followed_and_its_rule_enabled() {
        let mut with_sshd = found(SSH, understood(None));
        with_sshd.has_sshd = true;
        let proposal = Proposal::of(&with_sshd, false);
        let said = |proposal: &Proposal| {
            proposal
                .account
                .iter()
                .find(|line| line.starts_with("sshd "))
                .cloned()
        };
        assert!(said(&proposal).is_some_and(|line| line.contains("/var/log/auth.log: 5 failed")));
        with_sshd.ssh_log = None;
        let without = said(&Proposal::of(&with_sshd, false));
        assert!(
            without.is_some_and(|line| line.contains("is not found")),
            "it is told"
        );
        let config: toml::Table = proposal.config.parse().unwrap();
        assert_eq!(config["service_log"][0]["filter"].as_str(), Some("sshd"));
        assert_eq!(config["rule"][0]["name"].as_str(), Some("ssh-bruteforce"));
    }

    #[test]
    fn a_path_is_written_as_toml_has_it() {
        let mut odd = found(SSH, State::Empty { alike: None });
        odd.logs[0].path = "/var/log/nginx/a\"b access.log".into();
        let config: toml::Table = Proposal::of(&odd, false).config.parse().unwrap();
        let path = config["access_log"][0]["path"].as_str().unwrap();
        assert_eq!(path, "/var/log/nginx/a\"b access.log");
    }
}
