//! Programs of this host.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

fn command(arguments: &[&str], more: &str) -> Receiver {
    receiver(&format!(
        "name = \"a\"\nkind = \"command\"\ncommand = {arguments:?}\n{more}"
    ))
}

#[test]
fn a_program_gets_its_arguments_as_they_are_the_message_and_nothing_of_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let script = "printf '%s\\n' \"$@\" > \"$0/arguments\"; env > \"$0/environment\"; cat > \"$0/stdin\"";
    let told = command(&["/bin/sh", "-c", script, &out, "$(id)", "; rm -rf /"], "").tell(&hostile());
    assert_eq!(told, Ok("exit status: 0".to_owned()));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("arguments"), "$(id)\n; rm -rf /\n");
    let stdin: Value = serde_json::from_str(&read("stdin")).unwrap();
    assert_eq!(stdin, serde_json::to_value(hostile()).unwrap());
    let environment = read("environment");
    let mut names: Vec<_> = environment
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    names.sort_unstable();
    let expected = [
        "PATH",
        "SECBEAT_AT",
        "SECBEAT_BANS",
        "SECBEAT_EVENTS",
        "SECBEAT_ORCHESTRATOR",
        "SECBEAT_SEVERITY",
        "SECBEAT_TEST",
        "SECBEAT_TEXT",
        "SECBEAT_TITLE",
        "SECBEAT_UNBANS",
    ];
    assert_eq!(names, expected);
    assert!(
        environment.contains("SECBEAT_EVENTS=edge-unprotected\n"),
        "{environment}"
    );
}

#[test]
fn a_program_that_fails_says_why_and_one_that_hangs_is_killed_with_its_children() {
    let why = command(&["/bin/sh", "-c", "printf 'no\\033[2J route' >&2; exit 3"], "").tell(&hostile());
    let why = why.unwrap_err().why;
    assert!(
        why.starts_with("exit status: 3: no") && !why.contains('\u{1b}'),
        "{why}"
    );
    let why = command(&["/nonexistent"], "").tell(&hostile()).unwrap_err().why;
    assert!(why.contains("/nonexistent"), "{why}");
    let begun = Instant::now();
    let why = command(&["/bin/sh", "-c", "sleep 60 & sleep 60"], "timeout = \"200ms\"").tell(&hostile());
    assert!(why.unwrap_err().why.starts_with("killed"));
    assert!(begun.elapsed() < Duration::from_secs(10));
    // One that never reads its input ends all the same.
    assert!(command(&["/bin/true"], "").tell(&hostile()).is_ok());
}
