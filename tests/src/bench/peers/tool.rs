//! Running a peer's own commands on the receiving host.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use secbeat_programs::{FilterPeer, Row};

use crate::lab::netns::Namespace;

/// Where a program is, or that it is not installed.
pub(super) fn find(program: Row) -> Result<PathBuf, String> {
    program
        .find()
        .ok_or_else(|| format!("{} is not installed", program.name))
}

/// Runs `program` on `host` with `input` on its standard input; returns what it prints.
pub(super) fn run(
    host: &Namespace,
    program: FilterPeer,
    arguments: &[&str],
    input: &str,
) -> Result<String, String> {
    let mut command = host.command(find(program.row())?);
    finish(program.name(), command.args(arguments), input)
}

/// Runs a command to its end; returns what it prints, or names it with what it complains about.
pub(super) fn finish(name: &str, command: &mut Command, input: &str) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{name}: {why}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for us.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read to the end says why when it ends.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let complaint = text(&output.stderr);
    let first = complaint.lines().next().unwrap_or("it failed in silence");
    Err(failed(&first))
}
