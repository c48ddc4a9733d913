//! Starting the fleet's daemons.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::lab::{clock, files::HostFiles, netns::Namespace, paths, process::Daemon};

pub(super) fn spawn_orchestrator(host: &Namespace, folder: &TempDir) -> Daemon {
    let mut command = host.command(paths::daemon("secbeat-orchestrator"));
    command.arg("run");
    spawn(command, folder, "orchestrator")
}

pub(super) fn spawn_edge(host: &Namespace, files: &HostFiles, folder: &TempDir) -> Daemon {
    let mut command = files.command(host, &paths::daemon("secbeat-edge"));
    command.arg("run").arg("--bpf-object").arg(paths::bpf_object());
    spawn(command, folder, "edge")
}

pub(super) fn spawn(mut command: Command, folder: &TempDir, daemon: &str) -> Daemon {
    command
        .arg("--config")
        .arg(folder.path().join(format!("{daemon}.toml")))
        .env("SECBEAT_LOG", "info,async_nats=warn,drops=trace")
        .env("NO_COLOR", "1");
    let environment = fs::read_to_string(environment_in(folder.path())).expect("reading an environment");
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    let clock = clock_of(folder.path(), daemon);
    if clock.exists() {
        clock::wear(&mut command, &clock);
    }
    Daemon::spawn(&format!("secbeat-{daemon}"), &mut command)
}

pub(super) fn clock_of(folder: &Path, daemon: &str) -> PathBuf {
    folder.join(format!("{daemon}.clock"))
}

/// Where it is kept for daemons that start anew.
pub(super) fn environment_in(folder: &Path) -> PathBuf {
    folder.join("environment")
}
