//! Debian's Chromium on a host, driven by the scripts beside the web page.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::lab::{
    executable::{Executable as _, TestProgram},
    interrupt::heed,
    netns::Namespace,
    paths,
};

/// What a script says when it wants something done that only the host can do.
const REQUEST: &str = "do: ";

/// Runs `dashboard/e2e/SCRIPT` on `host` to its end; returns what it said. `act` does what the script asks for.
///
/// # Panics
///
/// When the script fails, with all that it said, or the page's tools are not installed.
pub fn drive(host: &Namespace, script: &str, arguments: &[&str], mut act: impl FnMut(&str)) -> String {
    let dashboard = paths::workspace().join("secbeat-orchestrator/dashboard");
    assert!(
        dashboard.join("node_modules/playwright-core").is_dir(),
        "{} has no node_modules: run `cargo xtask dashboard`",
        dashboard.display()
    );
    let complaints = tempfile::NamedTempFile::new().expect("making a file for complaints");
    let mut command: Command = host.command(paths::node());
    let mut child = command
        .arg(dashboard.join("e2e").join(script))
        .args(arguments)
        .env("CHROMIUM", chromium())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(complaints.reopen().expect("opening a file for complaints"))
        .spawn()
        .expect("starting Node");
    let mut answers = child.stdin.take().expect("a pipe");
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        heed();
        let line = line.expect("what a script says");
        if let Some(what) = line.strip_prefix(REQUEST) {
            act(what);
            // One that has failed reads no answer.
            let _ = answers.write_all(b"done\n");
        }
        said += &line;
        said.push('\n');
    }
    let status = child.wait().expect("waiting for a script");
    let complained = fs::read_to_string(complaints.path()).unwrap_or_default();
    assert!(status.success(), "{script}: {status}\n{said}{complained}");
    said
}

fn chromium() -> PathBuf {
    TestProgram::Chromium.file()
}
