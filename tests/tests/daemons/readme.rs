//! The terminal that the README shows.

use std::{fs, time::Duration};

use secbeat_tests::lab::{one_host::OneHost, paths, wait::wait_until};

const SOON: Duration = Duration::from_secs(10);
/// Errors that lead to a ban.
const ERRORS: u32 = 50;
const PROMPT: &str = "    $ sudo secbeat ";
/// What pages leave out.
pub(super) const LEFT_OUT: &str = "…";

/// A command of the README, and the lines that it prints.
struct Shown<'page> {
    command: &'page str,
    lines: Vec<&'page str>,
}

fn shown(readme: &str) -> Vec<Shown<'_>> {
    let commands = readme.split(PROMPT).skip(1);
    let shown = commands.map(|text| {
        let (command, rest) = text.split_once('\n').unwrap();
        let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
        Shown {
            command,
            lines: lines.collect(),
        }
    });
    shown.collect()
}

/// A line without what differs from run to run: digits, and the spaces that make room for them.
pub(super) fn shape(line: &str) -> String {
    let mut shape = String::new();
    for letter in line.chars() {
        let letter = if letter.is_ascii_digit() { '0' } else { letter };
        if !(matches!(letter, '0' | ' ') && shape.ends_with(letter)) {
            shape.push(letter);
        }
    }
    shape.trim_end().to_owned()
}

#[test]
fn the_commands_of_the_readme_print_what_it_shows() {
    let host = OneHost::start("");
    host.fail(OneHost::ATTACKER, ERRORS);
    wait_until("the kernel has the ban", SOON, || host.ban_of(OneHost::ATTACKER));
    let answer = host
        .client(OneHost::ATTACKER)
        .get(&host.url(OneHost::ATTACKER, "/"));
    assert!(answer.is_err(), "a banned client was answered {answer:?}");
    let readme = fs::read_to_string(paths::workspace().join("README.md")).unwrap();
    let shown = shown(&readme);
    assert!(shown.len() > 1, "{}", shown.len());
    for Shown { command, lines } in shown {
        let arguments: Vec<_> = command.split(' ').collect();
        // The kernels' acknowledgements come a moment later.
        wait_until(command, SOON, || {
            let output = host.secbeat(&arguments);
            let printed = String::from_utf8(output.stdout).unwrap();
            let mut printed_lines = printed.lines().map(shape);
            let mut expected = lines.iter().filter(|line| **line != LEFT_OUT);
            let missing = expected.find(|line| !printed_lines.any(|printed| printed == shape(line)));
            if let Some(line) = missing {
                eprintln!("`{line}` is not what `{command}` prints:\n{printed}");
            }
            missing.is_none()
        });
    }
}
