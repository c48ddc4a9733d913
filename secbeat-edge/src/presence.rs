//! Tells the fleet every few seconds that this edge is there, and what it holds.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context as _;
use secbeat_bus::{Bus, BusClock, EdgeBucket, broker::broker};
use secbeat_common::{
    subjects,
    verdict::Verdict,
    wire::{
        Drops, EnforcedAt, EnforcedBans, FollowedLog, MAX_LOGS, Presence, Speaks, Spooled, XdpInterface, cut,
    },
};
use secbeat_daemon::{
    reload::RefusedConfig,
    time::{now_ms, wall_ms},
};
use secbeat_edge_core::FilterMode;
use tokio::{sync::watch, time::MissedTickBehavior};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    config::{Enforcement, Labels},
    enforcer::{EnforcerHandle, EnforcerReport},
    feeds::Feeds,
    kernel::{Pins, packets},
    signatures::Signatures,
    sources::access_log::Health,
    telemetry::TelemetryStats,
};

/// Time that one write may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Writes this edge's record.
pub(crate) struct Announcer {
    pub edge_id: String,
    pub labels: Labels,
    pub bus: Bus,
    pub clock: BusClock,
    pub enforcer: EnforcerHandle,
    pub telemetry: Arc<TelemetryStats>,
    /// `None` where no request is reported.
    pub signatures: Option<Signatures>,
    /// `None` where the HTTP layer alone enforces.
    pub pins: Option<Pins>,
    pub feeds: Feeds,
    pub logs: Arc<[Arc<Health>]>,
    pub refused_config: watch::Receiver<Option<RefusedConfig>>,
    pub enforcement: Enforcement,
    /// This process.
    pub boot_id: Uuid,
    pub started_at_ms: i64,
}

impl Announcer {
    /// Renews the record until `stop`, then takes it away: an edge that ends in order is not one that was lost.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        let this = &self;
        announce(&self.bus, &self.edge_id, || this.presence(), stop).await;
    }

    async fn presence(&self) -> anyhow::Result<Presence> {
        let EnforcerReport {
            status,
            fleet,
            attachments,
            ..
        } = self.enforcer.report().await?;
        let dropped = packets(self.pins.as_ref()).verdicts[Verdict::Banned as usize];
        let spool = self.telemetry.spool();
        Ok(Presence {
            edge_id: self.edge_id.clone(),
            labels: self.labels.0.clone(),
            boot_id: self.boot_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            speaks: Speaks::edge(),
            started_at_ms: self.started_at_ms,
            at_ms: now_ms(),
            enforcement: match self.enforcement {
                Enforcement::Kernel => EnforcedAt::Kernel,
                Enforcement::L7 => EnforcedAt::L7,
                Enforcement::Both => EnforcedAt::Both,
            },
            observe_only: status.mode == FilterMode::Observe,
            interfaces: attachments
                .into_iter()
                .map(|attachment| XdpInterface {
                    mode: attachment.mode_name().to_owned(),
                    name: attachment.interface,
                    observes: attachment.observes,
                    unprotected: attachment.mode.err(),
                })
                .collect(),
            bans: EnforcedBans {
                active: status.active as u64,
                fleet,
                set_aside: status.set_aside as u64,
                unwritten: status.not_in_kernel() as u64,
                synced: status.synced,
            },
            allowlist: status.allowed as u64,
            drops: Drops {
                packets: dropped.packets,
                bytes: dropped.bytes,
            },
            telemetry_lost: self.telemetry.dropped(),
            spool: Spooled {
                batches: spool.batches(),
                bytes: spool.bytes(),
            },
            bus_revision: status.revision,
            clock: self.clock.offset(),
            signatures: self.signatures.as_ref().map(Signatures::in_force),
            feeds: self.feeds.in_force(self.pins.as_ref()),
            logs: followed(&self.logs, wall_ms()),
            refused_config: self.refused_config.borrow().as_ref().map(refused),
        })
    }
}

/// Returns why the config is refused, as far as a record has room for it: the reason may quote a line of any length.
fn refused(config: &RefusedConfig) -> String {
    cut(&config.why).to_owned()
}

/// Returns the state of `logs` at `now_ms` of the host's wall clock, those in trouble first: all of them, or as many as a record has
/// room for.
fn followed(logs: &[Arc<Health>], now_ms: i64) -> Vec<FollowedLog> {
    let logs = logs.iter().map(|log| {
        let not_understood =
            [&log.unparsed, &log.unreadable, &log.too_long].map(|counter| counter.load(Relaxed));
        let not_understood = not_understood.into_iter().sum();
        let read_at_ms = Some(log.read_at_ms.load(Relaxed)).filter(|at_ms| *at_ms > 0);
        FollowedLog {
            name: log.name().to_owned(),
            lines: log.parsed() + not_understood,
            not_understood,
            recent: log.recent.load(Relaxed),
            recent_not_understood: log.recent_unparsed.load(Relaxed),
            delay_ms: log.median_delay_ms(),
            bytes_behind: log.bytes_behind.load(Relaxed),
            silent_ms: read_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms).max(0)),
            // Not `reasons`, which quote lines.
            trouble: log.error().or_else(|| log.doubts().into_iter().next()),
        }
    });
    let mut logs: Vec<_> = logs.collect();
    logs.sort_by_key(|log| log.trouble.is_none());
    logs.truncate(MAX_LOGS);
    logs
}

/// Renews the record of `edge_id` until `stop`, then takes it away.
async fn announce<F: Future<Output = anyhow::Result<Presence>>>(
    bus: &Bus,
    edge_id: &str,
    record: impl Fn() -> F,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let mut renew = tokio::time::interval(subjects::PRESENCE_INTERVAL);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let bucket = EdgeBucket::new(bus);
    let (mut connection, mut complained) = (0, false);
    loop {
        tokio::select! {
            _ = renew.tick() => {}
            // An edge that was away comes back at once, not at its next turn.
            latest = bus.connection_after(connection) => connection = latest,
            () = &mut stop => break,
        }
        if !bus.is_connected() {
            continue;
        }
        let renewed = async {
            let record = record().await?;
            let written = tokio::time::timeout(TIMEOUT, bucket.put(&record)).await;
            written
                .with_context(|| format!("{} took too long", broker()))?
                .context("writing this edge's record")
        };
        if let Err(error) = renewed.await
            && !std::mem::replace(&mut complained, true)
        {
            warn!("cannot publish heartbeat (is an orchestrator running?), retrying: {error:#}");
        }
    }
    if bus.is_connected() {
        let taken_away = tokio::time::timeout(TIMEOUT, bucket.remove(edge_id)).await;
        if let Ok(Err(error)) = taken_away {
            debug!(%error, "taking this edge's record away");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use secbeat_bus::{Follower, Update, memory::MemoryServer, samples};
    use secbeat_common::wire::MAX_TEXT;

    use tokio::sync::oneshot;

    use super::*;

    fn record(at_ms: i64) -> Presence {
        samples::presence("web-1", at_ms)
    }

    #[test]
    fn a_config_is_refused_with_no_more_than_a_record_has_room_for() {
        let why = |why: &str| {
            let why = why.to_owned();
            refused(&RefusedConfig { since_ms: 1, why })
        };
        let short = "edge.toml:3: unknown key `x`";
        assert_eq!(why(short), short);
        let long = format!("edge.toml:3: {}", "\u{e9}".repeat(1_000_000));
        let told = why(&long);
        assert!(long.starts_with(&told), "{told}");
        assert!((MAX_TEXT - 2..=MAX_TEXT).contains(&told.len()), "{told}");
    }

    #[test]
    fn logs_are_told_with_what_is_wrong_and_those_in_trouble_first() {
        let well = Health::new("nginx", "combined");
        well.parsed.store(7, Relaxed);
        well.recent.store(7, Relaxed);
        let wrong = Health::new("caddy", "caddy");
        wrong.parsed.store(1, Relaxed);
        wrong.unparsed.store(2, Relaxed);
        wrong.recent.store(3, Relaxed);
        wrong.recent_unparsed.store(2, Relaxed);
        wrong.read_at_ms.store(900, Relaxed);
        wrong.set_error(Some("permission denied".to_owned()));
        let told = followed(&[Arc::new(well), Arc::new(wrong)], 1000);
        assert_eq!(
            told.iter().map(|log| log.name.as_str()).collect::<Vec<_>>(),
            ["caddy", "nginx"]
        );
        assert_eq!(
            told[0],
            FollowedLog {
                name: "caddy".to_owned(),
                lines: 3,
                not_understood: 2,
                recent: 3,
                recent_not_understood: 2,
                delay_ms: None,
                bytes_behind: 0,
                silent_ms: Some(100),
                trouble: Some("permission denied".to_owned()),
            }
        );
        assert_eq!(
            (told[1].lines, told[1].not_understood, &told[1].trouble),
            (7, 0, &None)
        );
        let many: Vec<_> = (0..100).map(|_| Arc::new(Health::new("x", "auto"))).collect();
        assert_eq!(followed(&many, 0).len(), MAX_LOGS);
    }

    /// Returns when the next record is heard, in seconds since the start, and its number; no number of one that was taken away.
    async fn heard(edges: &mut Follower, start: tokio::time::Instant) -> (u64, Option<i64>) {
        loop {
            if let Update::Changed(entry) = edges.next().await {
                let record = serde_json::from_slice::<Presence>(&entry.value).ok();
                return (start.elapsed().as_secs(), record.map(|record| record.at_ms));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_is_announced_every_five_seconds_and_at_once_after_a_reconnect() {
        let server = MemoryServer::new(0);
        let member = server.join();
        let mut edges = EdgeBucket::follow(&server.join().bus());
        while edges.next().await != Update::Complete {}
        let start = tokio::time::Instant::now();
        let (stop, stopped) = oneshot::channel::<()>();
        let bus = member.bus();
        let announcing = tokio::spawn(async move {
            let number = AtomicI64::new(1);
            let record = || std::future::ready(Ok(record(number.fetch_add(1, Relaxed))));
            announce(&bus, "web-1", record, async { drop(stopped.await) }).await;
        });
        // One for the first turn, one for the first connection.
        assert_eq!(heard(&mut edges, start).await, (0, Some(1)));
        assert_eq!(heard(&mut edges, start).await, (0, Some(2)));
        assert_eq!(heard(&mut edges, start).await, (5, Some(3)));
        member.disconnect();
        tokio::time::sleep(Duration::from_secs(7)).await;
        member.reconnect();
        assert_eq!(heard(&mut edges, start).await, (12, Some(4)));
        drop(stop);
        assert_eq!(heard(&mut edges, start).await, (12, None));
        announcing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_that_cannot_be_announced_is_tried_again() {
        let server = MemoryServer::new(0);
        let bus = server.join().bus();
        let (_stop, stopped) = oneshot::channel::<()>();
        // There is no bucket before the first orchestrator.
        tokio::spawn(async move {
            announce(&bus, "web-1", || std::future::ready(Ok(record(1))), async {
                drop(stopped.await)
            })
            .await
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut edges = EdgeBucket::follow(&server.join().bus());
        while edges.next().await != Update::Complete {}
        let start = tokio::time::Instant::now();
        assert_eq!(heard(&mut edges, start).await, (4, Some(1)));
    }
}
