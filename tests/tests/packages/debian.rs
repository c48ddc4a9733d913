//! The Debian packages, in a Debian with nothing but its base system, which systemd boots.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use secbeat_tests::lab::{
    booted::{Booted, Surroundings},
    executable::TestProgram,
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);
const UNITS: [&str; 3] = ["secbeat-nats", "secbeat-orchestrator", "secbeat-edge"];

/// The package of one host, which conflicts with those of a fleet.
pub(super) fn one_host(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".deb") && name.starts_with("secbeat_")
    };
    let mut packages = files.filter(is_it);
    packages
        .next()
        .unwrap_or_else(|| panic!("no package of one host in {}", folder.display()))
}

/// A folder that `cargo xtask dist --verify` names.
pub(super) fn folder(variable: &str) -> PathBuf {
    PathBuf::from(
        env::var_os(variable)
            .unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask dist --verify`")),
    )
}

fn packages_in(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    // Those of a fleet; the package for one host conflicts with them.
    let is_of_fleet = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".deb") && !name.starts_with("secbeat_")
    };
    let packages: Vec<PathBuf> = files.filter(is_of_fleet).collect();
    assert_eq!(packages.len(), UNITS.len(), "in {}", folder.display());
    packages
}

fn names(packages: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| format!("/packages/{}", path.file_name().unwrap().to_string_lossy());
    packages.iter().map(name).collect()
}

/// All files, but those that the system keeps of its own accord: what dpkg and systemd write down, and accounts' backups.
pub(super) fn files(booted: &Booted) -> BTreeSet<String> {
    let arguments = [
        "/",
        "-xdev",
        "(",
        "-path",
        "/var/lib/dpkg",
        "-o",
        "-path",
        "/var/lib/systemd",
        "-o",
        "-path",
        "/var/log/journal",
        "-o",
        "-path",
        "/etc/systemd/system/secbeat-test.target",
        ")",
        "-prune",
        "-o",
        "-print",
    ];
    let all = booted.ask(TestProgram::Find, &arguments);
    let accounts = [
        "/etc/.pwd.lock",
        "/etc/passwd-",
        "/etc/group-",
        "/etc/shadow-",
        "/etc/gshadow-",
    ];
    all.lines()
        .filter(|path| !accounts.contains(path))
        .map(str::to_owned)
        .collect()
}

/// The file in `/packages` of the package whose name begins so.
fn name_of(packages: &[PathBuf], start: &str) -> String {
    let names = names(packages).into_iter();
    let mut named = names.filter(|name| name.starts_with(&format!("/packages/{start}")));
    named.next().expect("a package")
}

/// The edge's package was removed, and is there again, which `said` what to do: nothing tells of a kill switch that nobody has thrown.
fn install_again(around: &Surroundings, booted: &Booted, said: &str) {
    assert!(said.contains("systemctl enable --now secbeat-edge"), "{said}");
    assert!(!booted.is_active("secbeat-edge"));
    booted.ask(TestProgram::Systemctl, &["enable", "--now", "secbeat-edge"]);
    wait_until("it protects again", PATIENCE, || {
        around.host.xdp_on("to-attacker").is_some()
    });
}

#[test]
#[ignore = "`cargo xtask dist --verify` makes what it needs"]
fn packages_install_upgrade_and_purge_without_a_trace_and_an_upgrade_keeps_every_ban() {
    let around = Surroundings::new();
    let dist = folder("SECBEAT_DIST");
    let (now, later) = (packages_in(&dist), packages_in(&dist.join("later")));
    let booted = Booted::boot_other(
        &around.host,
        &folder("SECBEAT_DEBIAN"),
        &[now.clone(), later.clone()].concat(),
    );
    let dpkg = |action: &str, names: &[String]| {
        let names = names.iter().map(String::as_str);
        let arguments: Vec<&str> = [action].into_iter().chain(names).collect();
        booted.ask(TestProgram::Dpkg, &arguments)
    };
    let before = files(&booted);

    let said = dpkg("--install", &names(&now));
    assert!(said.contains("systemctl enable --now secbeat-edge"), "{said}");
    for unit in UNITS {
        assert_eq!(booted.property(unit, "LoadState"), "loaded");
        assert!(
            !booted.is_active(unit),
            "{unit} runs, though nobody has configured it"
        );
    }
    for installed in [
        "/usr/share/man/man1/secbeat-edge-ban.1.gz",
        "/usr/share/bash-completion/completions/secbeat-orchestrator",
        "/usr/share/secbeat/secbeat-edge.schema.json",
        "/usr/share/doc/secbeat-edge/copyright",
        "/usr/share/doc/secbeat-edge/secbeat-edge.cdx.json",
    ] {
        booted.ask(TestProgram::Test, &["-s", installed]);
    }
    let write = format!(
        "cat > /etc/secbeat/edge.toml <<'END'\n{}END",
        around.edge_config()
    );
    booted.ask(TestProgram::Bash, &["-ec", &write]);
    booted.orchestrator(&["init", "--host", "127.0.0.1"]);
    let credentials = "/etc/secbeat/fleet/credentials";
    let own = format!("{credentials}/orchestrator-1.toml");
    booted.ask(
        TestProgram::Copy,
        &[&own, "/etc/secbeat/orchestrator.credentials"],
    );
    booted.orchestrator(&["enroll", "edge-1"]);
    booted.edge(&["enroll", &format!("{credentials}/edge-1.toml")]);
    for unit in UNITS {
        booted.ask(TestProgram::Systemctl, &["enable", "--now", unit]);
    }
    wait_until("the edge is known", PATIENCE, || {
        booted.orchestrator(&["edges", "-o", "json"]).contains("\"up\"")
    });
    for n in 0..50 {
        assert_eq!(around.answer().unwrap(), 404, "request {n}");
    }
    let is_banned = || {
        booted
            .edge(&["bans", "-o", "json"])
            .contains(Surroundings::ATTACKER)
    };
    wait_until("the attacker is banned", PATIENCE, is_banned);
    assert!(around.get().is_err());

    let before_upgrade = UNITS.map(|unit| booted.property(unit, "InvocationID"));
    dpkg("--install", &names(&later));
    for (unit, before) in UNITS.iter().zip(before_upgrade) {
        wait_until(&format!("{unit} was restarted"), PATIENCE, || {
            assert!(around.get().is_err(), "a banned client was answered");
            booted.is_active(unit) && booted.property(unit, "InvocationID") != before
        });
    }
    wait_until("the ban is listed again", PATIENCE, is_banned);
    let kept = booted.ask(TestProgram::Cat, &["/etc/secbeat/edge.toml"]);
    assert_eq!(kept, around.edge_config().trim());
    let versions = booted.ask(
        TestProgram::DpkgQuery,
        &["--show", "--showformat=${Package} ${Version}\n", "secbeat-*"],
    );
    assert_eq!(versions.matches("+later").count(), UNITS.len(), "{versions}");

    let all: Vec<String> = UNITS.map(str::to_owned).into();
    dpkg("--remove", &["secbeat-edge".to_owned()]);
    assert_eq!(
        around.host.xdp_on("to-attacker"),
        None,
        "a program without its daemon"
    );
    booted.ask(TestProgram::Test, &["-s", "/etc/secbeat/edge.toml"]);
    let said = dpkg("--install", &[name_of(&later, "secbeat-edge_")]);
    install_again(&around, &booted, &said);
    dpkg("--purge", &all);
    let after = files(&booted);
    let left: Vec<&String> = after.difference(&before).collect();
    assert!(left.is_empty(), "purged packages have left {left:?}");
    let lost: Vec<&String> = before.difference(&after).collect();
    assert!(lost.is_empty(), "purged packages have taken {lost:?} with them");
}
