//! Running other programs: errors that name the command, root where it is needed, clean environments.

use crate::workspace;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) use secbeat_programs::find;

/// Set by cargo and rustup for what they start (xtask); another toolchain's cargo must not inherit them.
const TOOLCHAIN_VARIABLES: [&str; 11] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// Runs a command to its end; an error says which command failed and how.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    ensure!(status.success(), "`{}` failed ({status})", shown(command));
    Ok(())
}

/// What a command prints on standard output, without the white space around it.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed ({})",
        shown(command),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// All that a command prints on standard output; what it says on standard error goes through.
pub(crate) fn output_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed ({})",
        shown(command),
        output.status
    );
    Ok(output.stdout)
}

/// Becomes the command. It then gets Ctrl-C and the terminal itself, cleans up in its own time, and its exit code is ours.
pub(crate) fn become_command(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", shown(command)))
}

/// The command as someone would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The cargo that runs xtask, working on this repository and its `target`.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    remove_what_describes_xtask(&mut command);
    command
        .arg(subcommand)
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target());
    command
}

/// Removes what cargo says of xtask's own package. Build scripts depend on such variables: with them, what was built here would be
/// built again after a command that was typed in a shell.
fn remove_what_describes_xtask(command: &mut Command) {
    command
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") {
            command.env_remove(name);
        }
    }
}

/// A program of another toolchain: as if typed in a shell, without what cargo and rustup set for xtask.
pub(crate) fn untouched(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for variable in TOOLCHAIN_VARIABLES {
        command.env_remove(variable);
    }
    remove_what_describes_xtask(&mut command);
    // A question about a toolchain must never download one.
    command
        .env("RUSTUP_AUTO_INSTALL", "0")
        .current_dir(workspace::root());
    command
}

/// Whether xtask runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command that runs as root: through sudo where xtask is not root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    ensure_sudo()?;
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// Fails where root is needed and there is no way to it.
pub(crate) fn ensure_sudo() -> Result<()> {
    if !is_root() && find("sudo").is_none() {
        bail!("this needs root, and sudo is not installed: run it as root, or install sudo");
    }
    Ok(())
}

/// PATH with some directories put first.
pub(crate) fn path_with(first: &[&Path]) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = first
        .iter()
        .map(|dir| dir.to_path_buf())
        .chain(std::env::split_paths(&path));
    std::env::join_paths(dirs).map_err(|error| anyhow!("cannot extend PATH: {error}"))
}
