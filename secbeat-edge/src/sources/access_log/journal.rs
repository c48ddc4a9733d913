//! The messages of a systemd unit, as `journalctl` follows them.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use secbeat_daemon::time::wall_ms;
use secbeat_logs::{MAX_LINE, OpenLines, Piece};
use serde::Deserialize;
use tracing::{debug, warn};

use super::{
    checkpoint::{Saved, SavedJournal, Store},
    config::{Start, Wanted},
    lines::{Place, split_to},
    report::{Arrival, EntryFields, Reporter},
    stop::{Stop, Woken},
};
use crate::telemetry::Closed;

/// Longest entry, in bytes: the longest line with every byte of it written as a number, and the other fields.
const MAX_ENTRY: usize = 5 * MAX_LINE;
/// Until `journalctl` is started again.
const RESTART: Duration = Duration::from_secs(1);
/// How often the checkpoint is looked after while nothing comes.
const IDLE: Duration = Duration::from_millis(200);

/// One entry of `journalctl --output=json`.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    realtime_us: String,
    #[serde(rename = "MESSAGE", default)]
    message: Option<Message>,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: serde_json::Value,
    #[serde(rename = "_PID", default)]
    pid: serde_json::Value,
}

/// A field of the journal's JSON: text, or bytes where it is not UTF-8.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

/// Follows units, or what goes by some names.
pub(super) struct Journal {
    wanted: Wanted,
    /// What people call it.
    name: String,
    reporter: Reporter,
    /// Where to go on.
    after: SavedJournal,
    /// What earlier lines say of how to read the next.
    open: OpenLines,
    /// Entries of before are old, microseconds since the Unix epoch.
    started_us: i64,
}

/// Why a `journalctl` is read no further.
enum Ended {
    Stopped,
    Closed,
    Died(String),
}

impl Journal {
    pub(super) fn new(wanted: Wanted, start: Start, reporter: Reporter, saved: Option<Saved>) -> Self {
        // As the journal does.
        let now_ms = wall_ms();
        let fresh = SavedJournal::Since(if start == Start::Beginning { 0 } else { now_ms });
        Self {
            name: wanted.to_string(),
            wanted,
            reporter,
            after: saved.and_then(|saved| saved.journal).unwrap_or(fresh),
            open: OpenLines::default(),
            started_us: now_ms.saturating_mul(1000),
        }
    }

    /// Reads until `stop`.
    pub(super) fn run(mut self, mut store: Store, stop: &Stop) {
        loop {
            let ended = match self.spawn() {
                Ok((mut child, stdout)) => {
                    let ended = self.follow(stdout, &mut store, stop);
                    let _ = child.kill();
                    match (ended, child.wait()) {
                        (Ended::Died(_), Ok(status)) => {
                            Ended::Died(format!("journalctl ended with {status}"))
                        }
                        (ended, _) => ended,
                    }
                }
                Err(error) => Ended::Died(format!("cannot start journalctl: {error}")),
            };
            match ended {
                Ended::Closed => return,
                Ended::Stopped => break,
                Ended::Died(why) => {
                    self.reporter.health().restarts.fetch_add(1, Relaxed);
                    if self.reporter.health().set_error(Some(why.clone())) {
                        warn!(log = self.name, "{why}; starting it again");
                    }
                }
            }
            if matches!(stop.wait(None, RESTART), Ok(Woken::Stopped)) {
                break;
            }
        }
        store.finish(self.saved());
    }

    fn spawn(&self) -> io::Result<(Child, ChildStdout)> {
        let mut command = Command::new("journalctl");
        command.args([
            "--quiet",
            "--follow",
            "--no-tail",
            "--all",
            "--output=json",
            "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID",
        ]);
        command.args(self.wanted.arguments());
        command.arg(match &self.after {
            SavedJournal::Cursor(cursor) => format!("--after-cursor={cursor}"),
            SavedJournal::Since(at_ms) => format!("--since=@{}.{:03}", at_ms / 1000, at_ms % 1000),
        });
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        debug!(log = self.name, "following the journal");
        Ok((child, stdout))
    }

    fn follow(&mut self, mut stdout: ChildStdout, store: &mut Store, stop: &Stop) -> Ended {
        let mut buffer = vec![0; 2 * MAX_ENTRY];
        let (mut filled, mut place) = (0, Place::default());
        loop {
            match stop.wait(Some(stdout.as_fd()), IDLE) {
                Ok(Woken::Stopped) => return Ended::Stopped,
                Ok(Woken::Timeout) => {
                    store.keep(|| self.saved());
                    continue;
                }
                Ok(Woken::Readable) => {}
                Err(error) => return Ended::Died(format!("cannot wait for journalctl: {error}")),
            }
            match stdout.read(&mut buffer[filled..]) {
                Ok(0) => return Ended::Died("journalctl has ended".to_owned()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ended::Died(format!("cannot read from journalctl: {error}")),
            }
            let taken = split_to(MAX_ENTRY, &buffer[..filled], &mut place, |piece| self.take(piece));
            let Ok(done) = taken else {
                return Ended::Closed;
            };
            buffer.copy_within(done..filled, 0);
            filled -= done;
            store.keep(|| self.saved());
        }
    }

    fn take(&mut self, piece: Piece<'_>) -> Result<(), Closed> {
        let Piece::Line(json) = piece else {
            if let Piece::Begin(_) = piece {
                self.reporter.health().too_long.fetch_add(1, Relaxed);
                self.reporter
                    .health()
                    .add_reason(format!("an entry of journalctl is longer than {MAX_ENTRY} bytes"));
            }
            return Ok(());
        };
        let entry: Entry = match serde_json::from_slice(json) {
            Ok(entry) => entry,
            Err(error) => {
                // Its text would quote the entry.
                let reason = format!(
                    "an entry of journalctl is no JSON as expected at byte {}",
                    error.column()
                );
                self.reporter.health().add_reason(reason);
                return Ok(());
            }
        };
        self.reporter.health().set_error(None);
        let arrival = match entry.realtime_us.parse::<i64>() {
            Ok(at_us) if at_us < self.started_us => Arrival::Old,
            Ok(at_us) => Arrival::At(at_us / 1000),
            Err(_) => Arrival::Late,
        };
        let text = match &entry.message {
            Some(Message::Text(text)) => text.as_bytes(),
            Some(Message::Bytes(bytes)) => bytes,
            None => b"",
        };
        self.reporter.begin_entry(EntryFields {
            identifier: entry.identifier.as_str().unwrap_or_default(),
            pid: entry.pid.as_str().unwrap_or_default(),
            at_ms: entry.realtime_us.parse::<i64>().unwrap_or_default() / 1000,
        });
        let is_whole = self.reporter.takes_whole_entries();
        for line in text.split(|byte| *byte == b'\n' && !is_whole) {
            let pieces = match line.len() > MAX_LINE {
                true => &[Piece::Begin(line), Piece::End(b"")][..],
                false => &[Piece::Line(line)],
            };
            for piece in pieces {
                self.reporter.take(&self.name, *piece, arrival, &mut self.open)?;
            }
        }
        self.after = SavedJournal::Cursor(entry.cursor);
        Ok(())
    }

    fn saved(&self) -> Saved {
        Saved {
            journal: Some(self.after.clone()),
            in_doubt: self.reporter.in_doubt(),
            ..Saved::default()
        }
    }
}
