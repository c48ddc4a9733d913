//! Tells the fleet every few seconds that this edge is there, and what it holds.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{self, kv};
use secbeat_common::{
    subjects,
    verdict::Verdict,
    wire::{Drops, EnforcedAt, EnforcedBans, Presence, Speaks, Spooled, XdpInterface},
};
use secbeat_daemon::{bus::Bus, time::now_ms};
use secbeat_edge_core::FilterMode;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    config::Enforcement,
    enforcer::{EnforcerHandle, EnforcerReport},
    kernel::{Pins, XdpReport},
    telemetry::TelemetryStats,
};

/// How long one write may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Writes this edge's record.
pub(crate) struct Announcer {
    pub edge_id: String,
    pub bus: Bus,
    pub enforcer: EnforcerHandle,
    pub telemetry: Arc<TelemetryStats>,
    /// `None` where the HTTP layer alone enforces.
    pub pins: Option<Pins>,
    pub enforcement: Enforcement,
    /// This process.
    pub boot_id: Uuid,
    pub started_at_ms: i64,
}

impl Announcer {
    /// Renews the record until `stop`, then takes it away: an edge that ends in order is not one that was lost.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut renew = tokio::time::interval(subjects::PRESENCE_INTERVAL);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut bus = self.bus.clone();
        let (mut bucket, mut connection, mut complained) = (None, 0, false);
        loop {
            tokio::select! {
                _ = renew.tick() => {}
                // After a reconnect the record is renewed at once.
                latest = bus.connection_after(connection) => connection = latest,
                () = &mut stop => break,
            }
            if !bus.is_connected() {
                continue;
            }
            if let Err(error) = self.announce(&mut bucket).await {
                bucket = None;
                if !std::mem::replace(&mut complained, true) {
                    warn!(
                        "cannot tell the fleet of this edge yet (is an orchestrator running?), retrying: {error:#}"
                    );
                }
            }
        }
        let taken_away = async { bucket?.delete(&self.edge_id).await.err() };
        if let Ok(Some(error)) = tokio::time::timeout(TIMEOUT, taken_away).await {
            debug!(%error, "taking this edge's record away");
        }
    }

    async fn announce(&self, opened: &mut Option<kv::Store>) -> anyhow::Result<()> {
        let record = serde_json::to_vec(&self.presence().await?).context("encoding this edge's record")?;
        let write = async {
            let bucket = match opened {
                Some(bucket) => bucket,
                None => opened.insert(
                    jetstream::new(self.bus.client.clone())
                        .get_key_value(subjects::EDGES_BUCKET)
                        .await
                        .context("opening the edges bucket")?,
                ),
            };
            let put = bucket.put(&self.edge_id, record.into()).await;
            put.context("writing this edge's record")
        };
        tokio::time::timeout(TIMEOUT, write)
            .await
            .context("NATS took too long")??;
        Ok(())
    }

    async fn presence(&self) -> anyhow::Result<Presence> {
        let EnforcerReport { status, fleet, .. } = self.enforcer.report().await?;
        let xdp = XdpReport::read(self.pins.as_ref())?;
        let dropped = xdp.packets.verdicts[Verdict::Banned as usize];
        let spool = self.telemetry.spool();
        Ok(Presence {
            edge_id: self.edge_id.clone(),
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
            interfaces: xdp
                .attachments
                .into_iter()
                .map(|attachment| XdpInterface {
                    name: attachment.interface,
                    mode: attachment.mode,
                })
                .collect(),
            bans: EnforcedBans {
                active: status.active as u64,
                fleet,
                set_aside: status.set_aside as u64,
                unwritten: status.unwritten as u64,
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
        })
    }
}
