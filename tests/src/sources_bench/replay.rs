//! Log lines to verdicts: `secbeat-orchestrator replay` beside fail2ban's and fail2ban-rs's dry runs, on the same log with
//! the same rule (50 errors in 60 s).

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use secbeat_programs::TestProgram;
use serde_json::Value;

use super::{
    Options,
    generate::{self, Server, Visits},
    outcome::{Outcome, Row},
};
use crate::{
    bench::{
        cpus,
        demand::{Demand, Limit},
        report::Missing,
    },
    lab::{executable::Executable as _, paths},
};

const LINES: u32 = 1_500_000;
/// Lines that fail2ban-regex gets: it takes a hundred times longer than the others for each.
const FEW_LINES: u32 = 20_000;
const UNIT: &str = "lines/s of CPU time";
/// The rule in the syntax of both peers; fail2ban cuts the time out before it matches.
const FAIL2BAN_RS_FILTER: &str = r#"^<HOST> \S+ \S+ \[[^\]]*\] "[^"]*" [45]\d\d "#;
const FAIL2BAN_FILTER: &str = r#"^<HOST> \S+ \S+ \[\] "[^"]*" [45]\d\d "#;

/// The rule in our syntax, without the other rules that we have by default: the peers have no others either.
const CONFIG: &str = r#"[[rule]]
name = "error-flood"
exclude = []

[[rule]]
name = "request-flood"
enabled = false

[[rule]]
name = "probe"
enabled = false

[[rule]]
name = "attack"
enabled = false
"#;

/// Measures processes by the CPU time that they take, start and all, so that what else runs on the machine changes little.
/// What a second core brings is measured by the clock.
///
/// # Panics
///
/// When no temporary folder can be written.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let log = folder.join("access.log");

    let text = generate::log(Server::Combined, LINES, Visits::Bursts);
    fs::write(&log, &text).expect("the log is written");
    let few = folder.join("few.log");
    fs::write(&few, &text[..FEW_LINES as usize * generate::LINE_LEN]).expect("its beginning is written");
    let mut fail2ban = Row::new("fail2ban-regex", UNIT);
    match fail2ban_regex(&few) {
        Some(mut command) => run(&mut fail2ban, FEW_LINES, &mut command, |_| Ok(())),
        None => fail2ban.missing = Some(Missing::NotRun("it is not installed".to_owned())),
    }
    let (ours, fail2ban_rs) = side_by_side("", folder, &log, options);
    let (one, two) = one_and_two_cores(folder, &log, options);

    let text = generate::log(Server::Combined, LINES, Visits::Scattered);
    fs::write(&log, &text).expect("the log is written");
    let (scattered, fail2ban_rs_scattered) = side_by_side(", scattered visits", folder, &log, options);

    // One round of fail2ban's takes seconds, and they differ by little.
    fail2ban.rounds = fail2ban.rounds.repeat(options.rounds);
    Outcome {
        demands: vec![
            Demand::ratio(&ours, &fail2ban_rs, Limit::AtLeast(2.5), Some(3.0)),
            Demand::ratio(&scattered, &fail2ban_rs_scattered, Limit::AtLeast(1.5), None),
            Demand::ratio(&ours, &fail2ban, Limit::AtLeast(150.0), None),
            Demand::ratio(&two, &one, Limit::AtLeast(1.7), None),
        ],
        rows: vec![
            ours,
            fail2ban_rs,
            scattered,
            fail2ban_rs_scattered,
            fail2ban,
            one,
            two,
        ],
    }
}

/// Ours on one core and on two, one after the other in each round. What is found must be the same, byte for byte.
fn one_and_two_cores(folder: &Path, log: &Path, options: Options) -> (Row, Row) {
    let mut one = Row::new("replay on one core", "lines/s");
    let mut two = Row::new("replay on two cores", "lines/s");
    let &[first, second, ..] = cpus::allowed() else {
        two.missing = Some(Missing::NotRun("it needs two cores".to_owned()));
        return (one, two);
    };
    let mut found = BTreeSet::new();
    for _ in 0..options.rounds {
        for (row, cores) in [(&mut one, &[first][..]), (&mut two, &[first, second])] {
            cpus::stay_on(cores);
            let begun = Instant::now();
            let mut output = String::new();
            run(row, LINES, &mut replay(folder, log), |stdout| {
                stdout.clone_into(&mut output);
                verdicts_of_replay(stdout)
            });
            if let Some(last) = row.rounds.last_mut() {
                *last = f64::from(LINES) / begun.elapsed().as_secs_f64();
                found.insert(output);
            }
        }
    }
    cpus::stay_on(&[first]);
    if found.len() > 1 {
        two.missing = Some(Missing::Failed(
            "it found something else than one core".to_owned(),
        ));
    }
    (one, two)
}

/// Ours and fail2ban-rs on the same log, one after the other in each round.
fn side_by_side(what: &str, folder: &Path, log: &Path, options: Options) -> (Row, Row) {
    let mut ours = Row::new(format!("replay{what}"), UNIT);
    let mut fail2ban_rs = Row::new(format!("fail2ban-rs dry-run{what}"), UNIT);
    for _ in 0..options.rounds {
        run(&mut ours, LINES, &mut replay(folder, log), verdicts_of_replay);
        run(
            &mut fail2ban_rs,
            LINES,
            &mut dry_run(folder, log),
            verdicts_of_dry_run,
        );
    }
    (ours, fail2ban_rs)
}

/// Runs a program and notes how many lines it took in a second of CPU time, or why it did not do what it should.
fn run(row: &mut Row, lines: u32, command: &mut Command, check: impl FnOnce(&str) -> Result<(), String>) {
    if row.missing.is_some() {
        return;
    }
    let before = children_seconds();
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let program = command.get_program().to_string_lossy().into_owned();
            row.missing = Some(Missing::NotRun(format!("{program} is not installed")));
            return;
        }
        Err(error) => {
            row.missing = Some(Missing::Failed(error.to_string()));
            return;
        }
    };
    let seconds = children_seconds() - before;
    let checked = if output.status.success() {
        check(&String::from_utf8_lossy(&output.stdout))
    } else {
        Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    };
    match checked {
        Ok(()) => row.rounds.push(f64::from(lines) / seconds),
        Err(why) => {
            row.rounds.clear();
            row.missing = Some(Missing::Failed(why));
        }
    }
}

/// CPU seconds of all children that have ended, in user space and in the kernel.
fn children_seconds() -> f64 {
    // SAFETY: a zeroed `rusage` is one, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn replay(folder: &Path, log: &Path) -> Command {
    let config = folder.join("orchestrator.toml");
    fs::write(&config, CONFIG).expect("a config is written");
    let mut command = paths::daemon("secbeat-orchestrator").command();
    command.arg("--config").arg(config);
    command.args(["replay", "-o", "json"]).arg(log);
    command
}

/// Every scanner is found, and nobody else.
fn verdicts_of_replay(stdout: &str) -> Result<(), String> {
    let targets: Option<BTreeSet<String>> = stdout
        .lines()
        .map(|line| {
            let finding: Value = serde_json::from_str(line).ok()?;
            Some(finding["target"].as_str()?.to_owned())
        })
        .collect();
    let expected = (1..=generate::SCANNERS)
        .map(|n| format!("203.0.113.{n}/32"))
        .collect();
    match targets {
        Some(targets) if targets == expected => Ok(()),
        other => Err(format!("it found {other:?}")),
    }
}

fn dry_run(folder: &Path, log: &Path) -> Command {
    let config = folder.join("fail2ban-rs.toml");
    let text = format!(
        r#"[global]
state_file = "{folder}/state.bin"
socket_path = "{folder}/socket"

[jail.errors]
enabled = true
log_path = "{log}"
date_format = "common"
filter = ['{FAIL2BAN_RS_FILTER}']
port = ["80"]
protocol = "tcp"
max_retry = 50
find_time = "60s"
ban_time = "5m"
backend = "nftables"
ignoreself = false
"#,
        folder = folder.display(),
        log = log.display(),
    );
    fs::write(&config, text).expect("a config is written");
    let mut command = paths::tool("fail2ban-rs").command();
    command.arg("dry-run").arg("-c").arg(config).arg(log);
    command
}

fn verdicts_of_dry_run(stdout: &str) -> Result<(), String> {
    let banned = stdout.lines().filter(|line| line.contains("WOULD BAN")).count();
    if banned == generate::SCANNERS as usize {
        Ok(())
    } else {
        Err(format!("it would ban {banned}"))
    }
}

fn fail2ban_regex(log: &Path) -> Option<Command> {
    let mut command = TestProgram::Fail2banRegex.row().find()?.command();
    command.arg("--no-check-all").arg(log).arg(FAIL2BAN_FILTER);
    Some(command)
}
