//! `doctor`: every check there is, each with what to do.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    path::Path,
};

use nix::sys::statvfs::statvfs;
use secbeat_bus::local::look_at_store;
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    api::Remote,
    cli::{Output, counted, print_json},
    exit::Coded,
    protect::{sessions, shown_reason},
    say,
};
use secbeat_edge::cli::{self as edge, Finding, Installed, State, look_at_host};
use secbeat_orchestrator::{cli as orchestrator, view::ApiStats};
use serde::Serialize;

use crate::{
    config::{self, Config},
    daemon,
    setup::{self, UNIT, UnitUser},
};

const PROGRAM: &str = "secbeat";
/// The finding that says whether you can be locked out.
const ACCESS: &str = "your access";
/// So many bytes on the store's disk are little.
const LITTLE_ROOM: u64 = 256 * 1024 * 1024;
/// Programs that ban too, with what they go by.
const OTHERS: [(&str, &str); 2] = [("fail2ban-server", "fail2ban"), ("crowdsec", "crowdsec")];

/// Run every check there is, and say what to do. Exit codes: 0 all is well, 1 there are notes, 2 a check failed.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

/// What `-o json` has.
#[derive(Serialize)]
struct Report<'a> {
    /// Of the worst finding.
    state: State,
    findings: &'a [Finding],
}

impl Doctor {
    /// # Errors
    ///
    /// With exit code 1 or 2, when not all is well.
    pub(crate) fn execute(&self, named: Option<&Path>, remote: &Remote) -> anyhow::Result<()> {
        let findings = look(named, remote);
        let of = |state| findings.iter().filter(|finding| finding.state == state).count();
        let (problems, notes) = (of(State::Problem), of(State::Note));
        let state = match (problems, notes) {
            (0, 0) => State::Ok,
            (0, _) => State::Note,
            _ => State::Problem,
        };
        match self.output {
            Output::Json => print_json(&Report {
                state,
                findings: &findings,
            })?,
            Output::Table => {
                for Finding { what, state, detail } in &findings {
                    say!("{:<8} {what}: {detail}", state.word());
                }
            }
        }
        match state {
            State::Ok => Ok(()),
            State::Note => Err(Coded::new(1, counted(notes, "note", "notes")).into()),
            State::Problem => Err(Coded::new(2, counted(problems, "check failed", "checks failed")).into()),
        }
    }
}

fn look(named: Option<&Path>, remote: &Remote) -> Vec<Finding> {
    let path = named.unwrap_or(Path::new(config::DEFAULT_PATH));
    let mut findings = Vec::new();
    let config = match (named.is_some() || path.exists()).then(|| Config::load(path)) {
        None => {
            let detail = format!(
                "there is no {}: the daemon goes by what it finds; `secbeat setup` writes it down",
                path.display()
            );
            findings.push(Finding::new("config", State::Note, detail));
            None
        }
        Some(Err(error)) => {
            findings.push(Finding::new("config", State::Problem, error.to_string()));
            None
        }
        Some(Ok(config)) => {
            findings.push(Finding::new("config", State::Ok, path.display().to_string()));
            Some(config)
        }
    };
    let file = config::edge_file(named);
    let status = edge::status(&file);
    // One that hangs is waited for once.
    let hangs = status.as_ref().is_ok_and(edge::Status::hangs);
    if let Some(config) = &config {
        findings.extend(host(config, path, status.as_ref().ok()));
        let is_there = hangs || status.as_ref().is_ok_and(edge::Status::is_running);
        let user = UnitUser::find(UNIT);
        let is_in_use = is_there && config.fleet.is_none();
        findings.push(store(&config.store(), is_in_use, user.as_ref()));
    }
    match status {
        Ok(status) => findings.extend(status.findings(PROGRAM)),
        Err(error) => findings.push(Finding::new("daemon", State::Problem, format!("{error:#}"))),
    }
    // In a fleet it is the orchestrators'.
    let is_asked = !hangs || remote.is_named();
    if is_asked && config.as_ref().is_none_or(|config| config.fleet.is_none()) {
        let detector = config
            .as_ref()
            .map(|config| orchestrator::status(remote, &config.orchestrator));
        let detector = detector.unwrap_or_else(|| orchestrator::status(remote, &Default::default()));
        if let Ok(stats) = &detector {
            findings.extend(deciding(stats));
        }
    }
    findings.push(match hangs {
        true => Finding::new(ACCESS, State::Note, "not checked: the daemon does not answer"),
        false => admins(&file),
    });
    findings.extend(unwatched(path, config.as_ref()));
    findings.extend(others(Path::new("/proc")));
    findings
}

fn host(config: &Config, path: &Path, status: Option<&edge::Status>) -> Vec<Finding> {
    let installed = Installed {
        program: PROGRAM,
        unit: UNIT,
    };
    let membership = match config.fleet {
        None => Ok(daemon::alone()),
        Some(_) => config.edge.membership(),
    };
    match membership {
        Ok(membership) => {
            let daemon = status.and_then(edge::Status::edge_id);
            look_at_host(&config.edge, path, &membership, installed, daemon)
        }
        Err(error) => vec![Finding::new("fleet", State::Problem, format!("{error:#}"))],
    }
}

/// Whether the daemon, which runs as `user`, can open its store; one that `is_in_use` is that of a daemon that runs.
fn store(store: &Path, is_in_use: bool, user: Option<&UnitUser>) -> Finding {
    let shown = store.display();
    let folder = store.parent().unwrap_or(Path::new("/"));
    let problem = |why: String| Finding::new("store", State::Problem, format!("{shown}: {why}"));
    let size = match store.metadata() {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_in_use => {
            return problem(
                "it was removed, and what the daemon writes into it is lost when that ends; a restart takes over what the kernel holds"
                    .to_owned(),
            );
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let detail = format!("there is no {shown} yet: the daemon makes it");
            return Finding::new("store", State::Note, detail);
        }
        Err(error) => return problem(error.to_string()),
    };
    if let Err(why) = look_at_store(store, is_in_use) {
        return problem(why);
    }
    // Root may read everything, and the daemon is not root.
    let open = || OpenOptions::new().read(true).write(true).open(store);
    let opened = match user {
        Some(user) => user
            .act(open)
            .unwrap_or_else(|error| Err(std::io::Error::other(error))),
        None => open(),
    };
    if let Err(error) = opened {
        return problem(format!("the daemon may not write it: {error}"));
    }
    match statvfs(folder) {
        Ok(disk) => {
            let free = disk.blocks_available() * disk.fragment_size();
            let detail = format!(
                "{shown} has {} KiB, its disk {} MiB of room",
                size / 1024,
                free >> 20
            );
            match free < LITTLE_ROOM {
                true => Finding::new(
                    "store",
                    State::Problem,
                    format!(
                        "{detail}: records are lost; bans are kept as long as the room that the daemon has set aside lasts"
                    ),
                ),
                false => Finding::new("store", State::Ok, detail),
            }
        }
        Err(error) => Finding::new("store", State::Problem, format!("{}: {error}", folder.display())),
    }
}

/// Returns what the detector says of itself.
fn deciding(stats: &ApiStats) -> Vec<Finding> {
    let engine = &stats.engine;
    let mut findings = Vec::new();
    findings.push(match &stats.not_ready {
        Some(why) => Finding::new(
            "detector",
            State::Problem,
            format!("no new client can be banned: {why}"),
        ),
        None => Finding::new(
            "detector",
            State::Ok,
            format!(
                "{} in force, {} in memory",
                counted(engine.active_bans, "ban", "bans"),
                counted(engine.tracked_sources, "client", "clients")
            ),
        ),
    });
    for trouble in &stats.bus_troubles {
        findings.push(Finding::new("store", State::Problem, trouble.text.clone()));
    }
    if let Some(brake) = &engine.brake {
        let detail = format!(
            "a safety limit holds ({brake}), and {} clients wait: `secbeat findings` shows whom; [ban] sets the limits",
            engine.held_back
        );
        findings.push(Finding::new("safety limit", State::Problem, detail));
    }
    if engine.service_uncounted > 0 {
        let detail = format!(
            "no rule counts the {} failed logins and the like: enable one, such as [[rule]] name = \"ssh-bruteforce\"",
            engine.service_uncounted
        );
        findings.push(Finding::new("rules", State::Problem, detail));
    }
    if engine.evicted_sources > 0 {
        let detail = format!(
            "{} clients were forgotten for want of memory: raise `max_sources` under [detect]",
            engine.evicted_sources
        );
        findings.push(Finding::new("memory", State::Note, detail));
    }
    if engine.audit_lost > 0 {
        let detail = format!("{} records were lost", engine.audit_lost);
        findings.push(Finding::new("audit", State::Note, detail));
    }
    for receiver in &stats.notify {
        if let Some(why) = &receiver.failing {
            let what = format!("notifications to {}", receiver.name);
            findings.push(Finding::new(what, State::Problem, why.clone()));
        }
    }
    findings
}

/// Whether the operator who runs this cannot be locked out.
fn admins(file: &edge::ConfigFile<'_>) -> Finding {
    let allowed = match edge::allowed(file) {
        Ok(allowed) => allowed,
        Err(error) => return Finding::new(ACCESS, State::Note, format!("not checked: {error:#}")),
    };
    let covers = |network: &str, address| {
        network
            .parse::<Prefix>()
            .is_ok_and(|network| network.contains(address))
    };
    if let Some(peer) = sessions::operator() {
        return match allowed.iter().find(|entry| covers(&entry.network, peer)) {
            Some(edge::Allowed { network, reason, .. }) => Finding::new(
                ACCESS,
                State::Ok,
                format!(
                    "your address {peer} is allowlisted ({network}, {})",
                    shown_reason(reason)
                ),
            ),
            None => Finding::new(
                ACCESS,
                State::Problem,
                format!(
                    "your address {peer} can be banned: add it to `networks` under [protect], or `secbeat allowlist add {peer}`"
                ),
            ),
        };
    }
    let admins = of_admins(&allowed);
    match admins.is_empty() {
        true => Finding::new(
            ACCESS,
            State::Note,
            "no network of an administrator is protected: list yours in `networks` under [protect]",
        ),
        false => Finding::new(ACCESS, State::Ok, format!("allowlisted: {}", admins.join(", "))),
    }
}

/// Networks from where somebody may administer this host. What expires, as an exemption from a ban, may be anybody's.
fn of_admins(allowed: &[edge::Allowed]) -> Vec<&str> {
    let is_of_admin = |entry: &&edge::Allowed| {
        !entry.expires && ["configured", "fleet", "ssh-peer"].contains(&entry.reason.as_str())
    };
    let networks = allowed.iter().filter(is_of_admin);
    networks.map(|entry| entry.network.as_str()).collect()
}

fn unwatched(path: &Path, config: Option<&Config>) -> Vec<Finding> {
    let (Some(config), Ok(text)) = (config, fs::read_to_string(path)) else {
        return Vec::new();
    };
    // With the rights of the daemon, which is to read what is added.
    let services = || setup::unwatched(Path::new("/"), &text, config);
    let services = match UnitUser::find(UNIT) {
        Some(user) => user.act(services).unwrap_or_default(),
        None => services(),
    };
    let finding = |service: &setup::Service| {
        let detail = format!("not watched: {service}; `secbeat setup --add` adds it");
        Finding::new("services", State::Problem, detail)
    };
    services.iter().map(finding).collect()
}

/// Other programs that ban, by the names of the processes in `folder`.
fn others(folder: &Path) -> Vec<Finding> {
    let processes = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: BTreeSet<String> = processes
        .filter_map(|process| fs::read_to_string(process.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect();
    let running = OTHERS.iter().filter(|(process, _)| names.contains(*process));
    let finding = |(_, name): &(&str, &str)| {
        let detail = format!(
            "{name} runs, too: each lifts only its own bans; `secbeat migrate {name} --dry-run` shows what can be taken over"
        );
        Finding::new("other programs", State::Note, detail)
    };
    running.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use secbeat_bus::local::LocalServer;

    use super::*;

    #[test]
    fn a_store_that_is_missing_is_no_problem_yet_and_one_that_cannot_be_opened_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        assert_eq!(store(&path, false, None).state, State::Note);
        let found = store(&path, true, None);
        assert!(
            found.state == State::Problem && found.detail.contains("removed"),
            "{found:?}"
        );
        let mut server = LocalServer::open(&path).unwrap();
        let found = store(&path, true, None);
        assert!(found.detail.contains("MiB of room"), "{found:?}");
        server.close();
        let found = store(&path, false, None);
        assert!(found.detail.contains("MiB of room"), "{found:?}");
        fs::write(&path, "x".repeat(9000)).unwrap();
        for is_in_use in [false, true] {
            let found = store(&path, is_in_use, None);
            assert!(
                found.state == State::Problem && found.detail.contains("damaged"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn an_exempt_client_is_not_taken_for_an_administrator() {
        let entry = |network: &str, reason: &str, expires| edge::Allowed {
            network: network.to_owned(),
            reason: reason.to_owned(),
            expires,
        };
        let allowed = [
            entry("203.0.113.9/32", "fleet", true),
            entry("198.51.100.0/24", "fleet", false),
            entry("192.0.2.1/32", "gateway", false),
        ];
        assert_eq!(of_admins(&allowed), ["198.51.100.0/24"]);
    }

    #[test]
    fn other_programs_that_ban_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for (pid, name) in [("1", "systemd\n"), ("7", "fail2ban-server\n")] {
            fs::create_dir(folder.path().join(pid)).unwrap();
            fs::write(folder.path().join(pid).join("comm"), name).unwrap();
        }
        let found = others(folder.path());
        assert_eq!(found.len(), 1);
        assert!(found[0].detail.starts_with("fail2ban runs, too"), "{found:?}");
    }
}
