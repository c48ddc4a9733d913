//! Requirements of the config, checked on this host without changing anything.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, eaccess},
};
use secbeat_daemon::{api::Occupant, config::NatsUrl, credentials::Membership};

use super::{
    finding::{Finding, State},
    proxy,
};
use crate::{
    config::{Config, PROGRAM},
    kernel::{self, Pins, Place, Surveyed, XdpSetup},
    sources::proxy::{Challenge, ListenerConfig, listen},
    unit_user::UnitUser,
};

/// Time that a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the daemon is installed.
#[derive(Clone, Copy, Debug)]
pub struct Installed {
    pub program: &'static str,
    /// Of systemd.
    pub unit: &'static str,
}

/// Looks at all of it, and changes nothing. `daemon` is which edge the daemon is, if it answers.
#[must_use]
pub fn look_at_host(
    config: &Config,
    path: &Path,
    member: &Membership,
    installed: Installed,
    daemon: Option<&str>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.enforcement.in_kernel() {
        findings.extend(kernel_side(config, installed.program));
    }
    findings.extend(ports(config, daemon.is_some()));
    let own = config.edge_id(member).ok();
    findings.extend(socket(config, daemon, own.as_deref()));
    findings.extend(files(config, path, installed.unit));
    findings.extend(challenges(config));
    findings.extend(proxy::loops(config));
    findings.extend(proxy::redirects(config));
    findings.extend(proxy::routes(config));
    findings.extend(member.servers.urls().iter().map(nats));
    findings
}

fn kernel_side(config: &Config, program: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(match kernel::require_host() {
        Ok(()) => Finding::new("kernel", State::Ok, kernel::release()),
        Err(error) => Finding::new("kernel", State::Problem, format!("{error:#}")),
    });
    let setup = config.xdp();
    let pins = Pins::at(&setup.pin_dir);
    findings.push(match pins.check_place() {
        Ok(()) => Finding::new("BPF file system", State::Ok, pins.dir().display().to_string()),
        Err(error) => Finding::new("BPF file system", State::Problem, format!("{error:#}")),
    });
    if config.detached_marker().exists() {
        let detail = format!("thrown: nothing is attached until `{program} attach`");
        findings.push(Finding::new("kill switch", State::Problem, detail));
    }
    let names = match config.interfaces().now() {
        Ok(names) if names.is_empty() => {
            let why = config.interfaces().emptiness();
            findings.push(Finding::new("interfaces", State::Problem, why));
            return findings;
        }
        Ok(names) => names,
        Err(error) => {
            findings.push(Finding::new("interfaces", State::Problem, error.to_string()));
            return findings;
        }
    };
    findings.extend(names.iter().map(|name| interface(name, &setup)));
    findings
}

fn interface(name: &str, setup: &XdpSetup) -> Finding {
    let what = format!("interface {name}");
    let found = match kernel::survey(name, setup) {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Finding::new(
                what,
                State::Problem,
                "there is no such interface; it is waited for",
            );
        }
        Err(error) => return Finding::new(what, State::Problem, format!("{error:#}")),
    };
    let (state, place) = place(&found);
    match found.detour {
        // Where it runs, most packets come another way, and the note would stay for ever.
        Some(detour) => {
            let state = if found.ours.is_some() { state } else { State::Note };
            Finding::new(what, state, format!("{place}; {found}; {detour}"))
        }
        None => Finding::new(what, state, format!("{place}; {found}")),
    }
}

/// Returns where the program runs, or would; or why it can run nowhere.
fn place(found: &Surveyed) -> (State, String) {
    if let Some(mode) = found.ours {
        return (State::Ok, format!("protected ({mode})"));
    }
    let places = match &found.places {
        Ok(places) => places.tried.as_slice(),
        Err(why) => return (State::Problem, why.clone()),
    };
    match (&found.beside, places) {
        (Some(other), _) => (
            State::Note,
            format!("the stack's ingress hook, beside the XDP program {other}"),
        ),
        (None, [Place::Stack, ..]) => (State::Ok, "the stack's ingress hook".to_owned()),
        (None, [_, Place::Stack, ..]) => (
            State::Ok,
            "XDP if its driver can, else the stack's ingress hook".to_owned(),
        ),
        (None, [_, Place::Generic, ..]) => (
            State::Ok,
            "XDP in its driver if that can, else in the stack (generic mode)".to_owned(),
        ),
        (None, _) => (
            State::Note,
            "XDP if its driver can, which only the start shows".to_owned(),
        ),
    }
}

/// Whether the daemon, if it does not run, could listen.
fn ports(config: &Config, is_running: bool) -> Vec<Finding> {
    let addresses = proxy::listens(config);
    let look = |(index, (key, address)): (usize, &(&str, SocketAddr))| {
        let what = format!("{key} {address}");
        let before = addresses[..index].iter();
        if let Some((key, taken)) = before.rev().find(|(_, other)| proxy::overlap(*other, *address)) {
            return Finding::new(what, State::Problem, format!("{key} {taken} uses it already"));
        }
        match listen(*address) {
            Ok(_) => Finding::new(what, State::Ok, "free"),
            Err(_) if is_running => Finding::new(what, State::Ok, "the daemon runs"),
            Err(error) => Finding::new(what, State::Problem, format!("{error:#}")),
        }
    };
    addresses.iter().enumerate().map(look).collect()
}

/// Whether the daemon, if it does not run, could have its API's socket. `own` is the id of the config's edge, if it has one.
fn socket(config: &Config, daemon: Option<&str>, own: Option<&str>) -> Option<Finding> {
    let (place, occupant) = match config.api_socket.look(PROGRAM) {
        Ok(found) => found?,
        Err(error) => return Some(Finding::new("api_socket", State::Problem, error.to_string())),
    };
    let what = format!("api_socket {}", place.display());
    let (state, detail) = match (occupant, daemon) {
        (Occupant::Nothing, _) => (State::Ok, "free".to_owned()),
        (Occupant::Leftover, _) => (
            State::Ok,
            "left behind by a daemon that was killed; the next start replaces it".to_owned(),
        ),
        (Occupant::Other, _) => (State::Problem, "it exists, and is not a socket".to_owned()),
        (Occupant::Listener, None) => (
            State::Problem,
            "another program listens there, which does not answer as the daemon does".to_owned(),
        ),
        (Occupant::Listener, Some(daemon)) if own.is_none_or(|own| own == daemon) => {
            (State::Ok, "the daemon runs".to_owned())
        }
        (Occupant::Listener, Some(daemon)) => (
            State::Note,
            format!(
                "the edge `{}` runs there, and this config has another name: restart that edge, or set another api_socket",
                daemon
            ),
        ),
    };
    Some(Finding::new(what, state, detail))
}

/// Files that the proxy reads when it starts.
fn proxy_files(config: &Config) -> impl Iterator<Item = &PathBuf> {
    config.proxy().into_iter().flat_map(|proxy| {
        let listeners = proxy.listeners.iter();
        let certificates = listeners.flat_map(|listener| &listener.certificates);
        let external = proxy
            .acme
            .iter()
            .filter_map(|acme| acme.external_account.as_ref());
        certificates
            .flat_map(|files| [&files.certificate, &files.key])
            .chain(proxy.acme.iter().filter_map(|acme| acme.ca.as_ref()))
            .chain(external.map(|account| &account.hmac_key_file))
            .chain(proxy.upstreams.iter().filter_map(|upstream| upstream.ca.as_ref()))
            .chain(proxy.error_pages.values())
    })
}

/// Returns what keeps a file from being written, which may have to be made first.
fn unwritable(file: &Path) -> Option<Errno> {
    if file.is_dir() {
        return Some(Errno::EISDIR);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match eaccess(file, AccessFlags::W_OK) {
        Err(Errno::ENOENT) => eaccess(
            folder.unwrap_or(Path::new(".")),
            AccessFlags::W_OK | AccessFlags::X_OK,
        )
        .err(),
        other => other.err(),
    }
}

/// Whether a certificate authority finds the proxy where it looks for it.
fn challenges(config: &Config) -> Option<Finding> {
    let proxy = config.proxy()?;
    let acme = proxy.acme.as_ref()?;
    let (challenge, port) = (acme.challenge, acme.challenge.port());
    let asked = |listener: &&ListenerConfig| match challenge {
        Challenge::Http01 => !listener.has_tls(),
        Challenge::TlsAlpn01 => listener.acme,
    };
    let what = format!("ACME, {}", challenge.name());
    let has_port = |listener: &ListenerConfig| listener.address.port() == port;
    let finding = match proxy.listeners.iter().filter(asked).any(has_port) {
        true => {
            let detail = format!(
                "the certificate authority asks at port {port} of {}",
                acme.domains.join(", ")
            );
            Finding::new(what, State::Ok, detail)
        }
        false => {
            let detail = format!(
                "the certificate authority asks at port {port}, and no listener is there: forward that port to one"
            );
            Finding::new(what, State::Note, detail)
        }
    };
    Some(finding)
}

/// Whether the daemon may read what it has to, with the rights of its unit where there is one.
fn files(config: &Config, path: &Path, unit: &str) -> Vec<Finding> {
    let unit = UnitUser::find(unit);
    let by = unit.as_ref().map_or_else(String::new, |unit| {
        format!(", read by the user `{}`", unit.name())
    });
    let look = || {
        let mut findings = Vec::new();
        findings.extend(
            config
                .check_sources(path)
                .err()
                .map(|error| Finding::new(format!("logs{by}"), State::Problem, error.to_string())),
        );
        let log = config.proxy().and_then(|proxy| proxy.access_log.as_ref());
        findings.extend(log.and_then(|log| {
            let what = format!("proxy.access_log {}{by}", log.display());
            let error = unwritable(log)?;
            Some(Finding::new(what, State::Problem, error.desc()))
        }));
        for file in proxy_files(config) {
            if let Some(error) = proxy::unreadable(file) {
                let right = match error.kind() {
                    ErrorKind::PermissionDenied => {
                        "; `setfacl -m u:secbeat:r` lets the user of the unit read it (its folders need rx)"
                    }
                    _ => "",
                };
                let what = format!("{}{by}", file.display());
                findings.push(Finding::new(what, State::Problem, format!("{error}{right}")));
            }
        }
        findings.extend(proxy::unusable(config));
        findings
    };
    let findings = match &unit {
        Some(unit) => unit.act(look),
        None => Ok(look()),
    };
    match findings {
        Ok(findings) if findings.is_empty() => {
            vec![Finding::new(
                format!("files{by}"),
                State::Ok,
                "logs, certificates and keys",
            )]
        }
        Ok(findings) => findings,
        Err(error) => vec![Finding::new(
            "files",
            State::Note,
            format!("not checked: {error:#}"),
        )],
    }
}

fn nats(server: &NatsUrl) -> Finding {
    let what = format!("NATS {server}");
    let place = (server.host(), server.port());
    let connected = place.to_socket_addrs().and_then(|mut addresses| {
        let address = addresses.next().ok_or(ErrorKind::NotFound)?;
        TcpStream::connect_timeout(&address, PATIENCE)
    });
    match connected {
        Ok(_) => Finding::new(what, State::Ok, "it accepts connections"),
        Err(error) => {
            let detail =
                format!("{error}; until it answers, this edge keeps its bans and receives no new ones");
            Finding::new(what, State::Note, detail)
        }
    }
}
