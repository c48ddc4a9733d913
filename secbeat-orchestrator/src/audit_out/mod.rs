//! Copies of the audit outside NATS: a file of JSON lines, and a syslog server.
//!
//! Each is read from NATS behind a position that is kept: nothing is left out over a restart or while nobody takes it, as long as
//! NATS keeps it, and what may not have arrived is sent again. A copy says of each record where it stands (`part` and
//! `sequence`).

mod file;
mod position;
mod record;
mod settings;
mod sink;
mod stats;
mod syslog;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use secbeat_bus::{AuditLog, AuditRead, Bus, broker::broker};
use secbeat_common::subjects::AuditPart;
use tokio::{sync::watch, time::timeout};
use tracing::{info, warn};

pub(crate) use self::settings::AuditOut;
pub(crate) use self::stats::OutStats;
use self::{
    file::LineFile,
    position::{Place, Positions},
    record::OutRecord,
    sink::Sink,
    stats::Tally,
};
use crate::leases::Shares;

/// Most records that are written together.
const TOGETHER: usize = 256;
/// Interval at which it is looked whether what was sent has arrived, and whose copy it is.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a failure; each further one is twice as long, up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// All copies.
pub(crate) struct AuditCopies {
    copies: Vec<Outlet>,
}

/// How far they have come; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopyStats(Vec<Tally>);

impl CopyStats {
    pub(crate) fn read(&self) -> Vec<OutStats> {
        self.0.iter().map(Tally::read).collect()
    }
}

/// One copy.
struct Outlet {
    audit: AuditLog,
    place: Place,
    sink: Sink,
    tally: Tally,
    /// Who writes it, if not every orchestrator does.
    shares: Option<watch::Receiver<Shares>>,
}

impl AuditCopies {
    /// The copies that `settings` want, by the orchestrator that `shares` is of.
    pub(crate) fn new(settings: &AuditOut, bus: &Bus, shares: &watch::Receiver<Shares>) -> (Self, CopyStats) {
        let mut copies = Vec::new();
        if let Some(file) = &settings.file {
            copies.push(Outlet {
                audit: AuditLog::new(bus),
                place: Place::beside(&file.path),
                sink: Sink::File {
                    file: LineFile::new(file.path.clone()),
                    format: file.format,
                },
                tally: Tally::new("file", file.path.display().to_string()),
                shares: None,
            });
        }
        if let Some(syslog) = &settings.syslog {
            let host = nix::unistd::gethostname().unwrap_or_default();
            copies.push(Outlet {
                audit: AuditLog::new(bus),
                place: Place::shared(bus),
                sink: Sink::Syslog {
                    settings: syslog.clone(),
                    host: host.to_string_lossy().into_owned(),
                    connection: None,
                    unconfirmed: std::collections::VecDeque::new(),
                },
                tally: Tally::new("syslog", syslog.server.to_string()),
                shares: Some(shares.clone()),
            });
        }
        // Until an orchestrator is known to write to syslog, none here does.
        for copy in &copies {
            copy.tally.count(|stats| stats.is_ours = copy.shares.is_none());
        }
        let stats = CopyStats(copies.iter().map(|copy| copy.tally.clone()).collect());
        (Self { copies }, stats)
    }

    /// Writes them for ever, once the audit is `made`.
    pub(crate) async fn run_once(self, mut made: watch::Receiver<bool>) {
        if made.wait_for(|made| *made).await.is_ok() {
            self.run().await;
        }
    }

    /// Writes them for ever.
    async fn run(self) {
        futures::future::join_all(self.copies.into_iter().map(Outlet::run)).await;
    }
}

impl Outlet {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.wait_for_turn().await;
            let written = self.tally.read().written;
            let failed = self.write().await;
            self.sink.reset();
            let Err(error) = failed else { continue };
            if self.tally.read().written > written {
                pause = FIRST_PAUSE;
            }
            let why = format!("{error:#}");
            let mut is_new = false;
            self.tally.count(|stats| {
                stats.failed += 1;
                is_new = stats.failing.replace(why.clone()).is_none();
            });
            if is_new {
                let OutStats { name, place, .. } = self.tally.read();
                warn!(
                    copy = name,
                    place,
                    why,
                    "the audit is not written; it waits in {} and is tried again",
                    broker()
                );
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn is_ours(&self) -> bool {
        self.shares
            .as_ref()
            .is_none_or(|shares| shares.borrow().owns_the_first())
    }

    async fn wait_for_turn(&mut self) {
        if let Some(shares) = &mut self.shares
            && shares.wait_for(Shares::owns_the_first).await.is_err()
        {
            std::future::pending::<()>().await;
        }
        self.tally.count(|stats| stats.is_ours = true);
    }

    /// Writes what there is and what comes, until another orchestrator does.
    async fn write(&mut self) -> anyhow::Result<()> {
        let known = self.place.read().await?;
        let mut reading = self
            .audit
            .read_behind(|part, created| known.within(part, created))
            .await?;
        let mut reached = Positions::of(&reading.parts);
        let mut confirmed = reached.clone();
        let mut behind = BTreeMap::new();
        let lost = reading.removed;
        if lost > 0 {
            self.tally.count(|stats| stats.lost += lost);
            warn!(
                lost,
                "audit records were removed from {} before they were copied",
                broker()
            );
        }
        loop {
            let records = next(&self.tally, &mut reading, &mut reached, &mut behind).await?;
            if !self.is_ours() {
                self.tally.count(|stats| stats.is_ours = false);
                return Ok(());
            }
            if !records.is_empty() {
                self.sink.write(&records, &reached).await?;
                self.tally.count(|stats| stats.written += records.len() as u64);
            }
            let written = self.sink.confirmed(&reached)?;
            if let Some(positions) = written.filter(|positions| *positions != confirmed) {
                self.place.write(&positions).await?;
                confirmed = positions;
                self.recovered();
            }
        }
    }

    fn recovered(&self) {
        let mut was_failing = false;
        self.tally
            .count(|stats| was_failing = stats.failing.take().is_some());
        if was_failing {
            info!(copy = self.tally.read().name, "the audit is written again");
        }
    }
}

/// Returns what comes within a second, up to [`TOGETHER`]: at least everything that is there. The parts have `reached` the last
/// that was read then, and so many records of each are `behind`.
async fn next(
    tally: &Tally,
    reading: &mut AuditRead,
    reached: &mut Positions,
    behind: &mut BTreeMap<AuditPart, u64>,
) -> anyhow::Result<Vec<OutRecord>> {
    let mut records = Vec::new();
    let Ok(first) = timeout(LOOK, reading.records.next()).await else {
        return Ok(records);
    };
    let mut next = Some(first);
    while let Some(stored) = next.take() {
        let (part, stored) = stored.ok_or_else(|| anyhow::anyhow!("reading the audit ended"))??;
        reached.reach(part, stored.sequence);
        behind.insert(part, stored.behind);
        let record = OutRecord::parse(part, stored.sequence, &stored.payload);
        tally.count(|stats| {
            stats.behind = behind.values().sum();
            stats.lost += u64::from(record.is_none());
        });
        records.extend(record);
        if records.len() < TOGETHER {
            next = reading.records.next().now_or_never();
        }
    }
    Ok(records)
}
