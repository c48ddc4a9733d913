//! What the proposed config would have done lately.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use glob::glob;
use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::wire::{LearnedFrom, ServiceClass, ServiceEvent};
use secbeat_daemon::time::{now_ms, rfc3339};
use secbeat_logs::services::{Attempts, Class, Clock, Filter, Input, Verdict, shipped};
use secbeat_orchestrator::replay::rehearsal::{Past, Rehearsed, WouldBan, rehearse};

use super::{
    Found,
    logs::{FoundLog, State},
};
use crate::config::Config;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// As much of the end of each log is read.
const MOST: u64 = 64 * 1024 * 1024;
/// All logs together may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients that are named.
const NAMED: usize = 8;
/// Fields of an entry of the journal that filters go by.
const FIELDS: &str = "MESSAGE,SYSLOG_IDENTIFIER,_PID,__REALTIME_TIMESTAMP";

/// Time and bytes that reading may take.
#[derive(Clone, Debug)]
struct Limits {
    until: Instant,
    /// Whether anything was left out.
    exceeded: Arc<AtomicBool>,
}

impl Limits {
    fn are_over(&self) -> bool {
        let is_over = Instant::now() >= self.until;
        self.exceeded.fetch_or(is_over, Relaxed);
        is_over
    }

    /// The last whole lines of a log.
    fn end_of(&self, path: &Path) -> io::Result<Limited> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(MOST);
        file.seek(SeekFrom::Start(start))?;
        let mut log = BufReader::new(file.take(MOST));
        if start > 0 {
            self.exceeded.store(true, Relaxed);
            log.skip_until(b'\n')?;
        }
        Ok(Limited {
            log,
            limits: self.clone(),
        })
    }
}

/// A log that ends when the time is over.
struct Limited {
    log: BufReader<io::Take<File>>,
    limits: Limits,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.limits.are_over() {
            true => Ok(0),
            false => self.log.read(buffer),
        }
    }
}

/// Lines for people on whom `config` would have banned within the last 24 hours, by the logs that were found.
pub(super) fn account(found: &Found, config: &Config) -> Vec<String> {
    let limits = Limits {
        until: Instant::now() + PATIENCE,
        exceeded: Arc::default(),
    };
    let since_ms = now_ms() - DAY_MS;
    let events = match found.has_sshd {
        true => ssh_events(&limits, since_ms),
        false => Vec::new(),
    };
    let attempts = events.len();
    let past = Past {
        logs: found.logs.iter().flat_map(|log| parts(log, &limits)).collect(),
        events,
        since_ms,
        protected: found
            .protected
            .iter()
            .filter_map(|(network, _)| network.parse().ok())
            .collect(),
    };
    match rehearse(&config.orchestrator, past) {
        Ok(rehearsed) => told(&rehearsed, attempts, limits.exceeded.load(Relaxed)),
        Err(error) => vec![format!("cannot evaluate the logs: {error:#}")],
    }
}

/// A log and the one that it was yesterday.
fn parts(log: &FoundLog, limits: &Limits) -> Vec<(String, Box<dyn Read + Send>)> {
    if !matches!(log.state, State::Understood { .. }) {
        return Vec::new();
    }
    let mut rotated = log.path.clone().into_os_string();
    rotated.push(".1");
    let paths = [PathBuf::from(rotated), log.path.clone()];
    let is_recent = |path: &PathBuf| {
        let written = path.metadata().and_then(|file| file.modified());
        written.is_ok_and(|at| {
            at.elapsed()
                .is_ok_and(|age| age < Duration::from_millis(DAY_MS.unsigned_abs()))
        })
    };
    let open = |path: PathBuf| {
        let end = limits.end_of(&path).ok()?;
        Some((path.display().to_string(), Box::new(end) as Box<dyn Read + Send>))
    };
    paths.into_iter().filter(is_recent).filter_map(open).collect()
}

/// Failed logins, from files if there are any, else from the journal.
fn ssh_events(limits: &Limits, since_ms: i64) -> Vec<ServiceEvent> {
    let Some(Ok(filter)) = shipped("sshd") else {
        return Vec::new();
    };
    let mut reader = Attempted::new(&filter, since_ms);
    let files = filter.paths.iter().filter_map(|pattern| glob(pattern).ok());
    let files: Vec<_> = files.flatten().flatten().filter(|path| path.is_file()).collect();
    for path in &files {
        if let Ok(log) = limits.end_of(path) {
            for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
                reader.take(&Input::Line(&line));
            }
        }
    }
    if files.is_empty() {
        reader.take_journal(limits);
    }
    reader.events.sort_by_key(|event| event.at_ms);
    reader.events
}

/// Reads lines of a service.
struct Attempted<'a> {
    filter: &'a Filter,
    since_ms: i64,
    clock: Clock,
    attempts: Attempts,
    events: Vec<ServiceEvent>,
}

impl<'a> Attempted<'a> {
    fn new(filter: &'a Filter, since_ms: i64) -> Self {
        Self {
            filter,
            since_ms,
            clock: Clock {
                zone: TimeZone::system(),
                now_ms: now_ms(),
            },
            attempts: Attempts::default(),
            events: Vec::new(),
        }
    }

    fn take(&mut self, input: &Input<'_>) {
        let judged = self.filter.judge(input, &self.clock);
        let (Some(at_ms), Verdict::Blames(blame)) = (judged.at_ms, judged.verdict) else {
            return;
        };
        if at_ms < self.since_ms || blame.is_echo {
            return;
        }
        let attempts = self.attempts.count(&blame, at_ms) as usize;
        let event = ServiceEvent {
            client: blame.client,
            at_ms,
            learned_from: LearnedFrom::Peer,
            class: match blame.class {
                Class::AuthFailure => ServiceClass::AuthFailure,
                Class::Abuse => ServiceClass::Abuse,
                Class::Scan => ServiceClass::Scan,
            },
            service: self.filter.name.clone(),
            kind: blame.kind.to_owned(),
            user: String::new(),
        };
        self.events.extend(std::iter::repeat_n(event, attempts));
    }

    /// Takes the entries of its units from the journal, if there is one.
    fn take_journal(&mut self, limits: &Limits) {
        let units = self.filter.journald.units.iter();
        let since = Timestamp::from_millisecond(self.since_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let journal = Command::new("journalctl")
            .args(["--quiet", "--no-pager", "--output=json"])
            .arg(format!("--output-fields={FIELDS}"))
            .arg(format!("--since=@{}", since.as_second()))
            .args(units.map(|unit| format!("--unit={unit}")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut journal) = journal else { return };
        self.take_entries(&mut journal, limits);
        // It may still write.
        let _ = journal.kill();
        let _ = journal.wait();
    }

    fn take_entries(&mut self, journal: &mut Child, limits: &Limits) {
        let Some(entries) = journal.stdout.take() else {
            return;
        };
        for line in BufReader::new(entries).split(b'\n').map_while(Result::ok) {
            if limits.are_over() {
                return;
            }
            let Ok(entry) = serde_json::from_slice::<serde_json::Value>(&line) else {
                continue;
            };
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            self.take(&Input::Entry {
                identifier: text("SYSLOG_IDENTIFIER"),
                pid: text("_PID"),
                at_ms: text("__REALTIME_TIMESTAMP").parse::<i64>().unwrap_or_default() / 1000,
                message: text("MESSAGE").as_bytes(),
            });
        }
    }
}

fn told(rehearsed: &Rehearsed, attempts: usize, is_short: bool) -> Vec<String> {
    let Rehearsed {
        requests,
        sources,
        bans,
    } = rehearsed;
    let mut first = match bans.len() {
        0 => "no client would have been banned".to_owned(),
        1 => "1 client would have been banned".to_owned(),
        count => format!("{count} clients would have been banned"),
    };
    let _ = write!(
        first,
        ": {requests} {} of {sources} {}, {attempts} failed {}",
        if *requests == 1 { "request" } else { "requests" },
        if *sources == 1 { "client" } else { "clients" },
        if attempts == 1 { "login" } else { "logins" }
    );
    if is_short {
        let _ = write!(
            first,
            " (not all of them: {} MiB of each log are read, for at most {} s)",
            MOST / 1024 / 1024,
            PATIENCE.as_secs()
        );
    }
    let mut lines = vec![first];
    lines.extend(bans.iter().take(NAMED).map(|ban| {
        let WouldBan {
            target,
            rule,
            at_ms,
            times,
        } = ban;
        let again = match times {
            1 => String::new(),
            times => format!(", {times} times"),
        };
        format!("  {target} by {rule}, {}{again}", rfc3339(*at_ms))
    }));
    let more = bans.len().saturating_sub(NAMED);
    lines.extend((more > 0).then(|| format!("  and {more} more")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::admins::Admins;

    fn found(path: PathBuf) -> Found {
        Found {
            logs: vec![FoundLog {
                server: "nginx",
                why: String::new(),
                state: State::Understood {
                    format: "combined".to_owned(),
                    understood: 1,
                    lines: 1,
                    crowd: None,
                    caution: None,
                },
                path,
            }],
            admins: Admins::Console,
            ..Found::default()
        }
    }

    fn errors(client: &str, at: Timestamp) -> String {
        let at = at.strftime("%d/%b/%Y:%H:%M:%S %z");
        (0..60)
            .map(|n| format!("{client} - - [{at}] \"GET /{n} HTTP/1.1\" 404 5 \"-\" \"x\"\n"))
            .collect()
    }

    #[test]
    fn a_log_and_the_one_of_yesterday_tell_who_would_have_been_banned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let hours_ago = |hours: u64| Timestamp::now() - Duration::from_secs(hours * 3600);
        std::fs::write(&path, errors("192.0.2.1", hours_ago(1))).unwrap();
        let yesterday = errors("192.0.2.2", hours_ago(30)) + &errors("192.0.2.3", hours_ago(20));
        std::fs::write(folder.path().join("access.log.1"), yesterday).unwrap();
        let file = crate::memory::InMemory::new("").unwrap();
        let lines = account(&found(path), &Config::load(&file.path()).unwrap());
        assert_eq!(
            lines[0],
            "2 clients would have been banned: 120 requests of 2 clients, 0 failed logins"
        );
        assert!(
            lines[1].starts_with("  192.0.2.3/32 by error-flood, 20"),
            "{lines:?}"
        );
        assert!(
            lines[2].starts_with("  192.0.2.1/32 by error-flood, 20"),
            "{lines:?}"
        );
    }

    #[test]
    fn lines_of_sshd_are_attempts_and_one_process_makes_one() {
        let filter = shipped("sshd").unwrap().unwrap();
        let mut reader = Attempted::new(&filter, 0);
        for (pid, message) in [
            ("7", "Invalid user a from 192.0.2.9 port 40000"),
            (
                "7",
                "Failed password for invalid user a from 192.0.2.9 port 40000 ssh2",
            ),
            ("8", "Failed password for root from 192.0.2.9 port 40001 ssh2"),
            ("9", "Accepted password for root from 192.0.2.8 port 40001 ssh2"),
        ] {
            reader.take(&Input::Entry {
                identifier: "sshd",
                pid,
                at_ms: 1_000,
                message: message.as_bytes(),
            });
        }
        assert_eq!(reader.events.len(), 2, "{:?}", reader.events);
    }

    #[test]
    fn the_time_ends_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "x\n").unwrap();
        let limits = Limits {
            until: Instant::now(),
            exceeded: Arc::default(),
        };
        let mut log = limits.end_of(&path).unwrap();
        let mut read = Vec::new();
        log.read_to_end(&mut read).unwrap();
        assert!(read.is_empty() && limits.exceeded.load(Relaxed));
    }
}
