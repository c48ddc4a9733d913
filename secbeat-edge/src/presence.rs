//! Tells the fleet every few seconds that this edge is there, and what it holds.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, kv};
use secbeat_common::{
    subjects,
    wire::{Drops, EnforcedAt, EnforcedBans, Presence, Speaks, Spooled, XdpInterface},
};
use secbeat_daemon::time::now_ms;
use tokio::{sync::oneshot, time::MissedTickBehavior};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    admin::Admin,
    config::Enforcement,
    enforcer::{Holdings, Order},
};
use secbeat_edge_core::FilterMode;

/// How long one write may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Writes this edge's record.
pub struct Announcer {
    pub admin: Admin,
    pub enforcement: Enforcement,
    /// This process.
    pub boot_id: Uuid,
    pub started_at_ms: i64,
}

impl Announcer {
    /// Renews the record until `stop`, then takes it away: an edge that ends in order is not one that was lost.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut renew = tokio::time::interval(subjects::PRESENCE_INTERVAL);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut bus = self.admin.bus.clone();
        let (mut bucket, mut connection, mut complained) = (None, 0, false);
        loop {
            tokio::select! {
                _ = renew.tick() => {}
                // Whoever was away comes back at once, not in its own good time.
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
        let taken_away = async { bucket?.delete(&self.admin.edge_id).await.err() };
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
                    jetstream::new(self.admin.bus.client.clone())
                        .get_key_value(subjects::EDGES_BUCKET)
                        .await
                        .context("opening the edges bucket")?,
                ),
            };
            let put = bucket.put(&self.admin.edge_id, record.into()).await;
            put.context("writing this edge's record")
        };
        tokio::time::timeout(TIMEOUT, write)
            .await
            .context("NATS took too long")??;
        Ok(())
    }

    async fn presence(&self) -> anyhow::Result<Presence> {
        let (reply, holdings) = oneshot::channel();
        let ended = || anyhow::anyhow!("the enforcer has ended");
        self.admin
            .orders
            .send(Order::Holdings { reply })
            .await
            .map_err(|_| ended())?;
        let Holdings {
            fleet,
            set_aside,
            unwritten,
            revision,
        } = holdings.await.map_err(|_| ended())?;
        let stats = self
            .admin
            .stats()
            .await
            .map_err(|failure| anyhow::anyhow!("{}", failure.detail()))?;
        Ok(Presence {
            edge_id: stats.edge_id,
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
            observe_only: stats.enforcer.mode == FilterMode::Observe,
            interfaces: stats
                .xdp
                .into_iter()
                .map(|attachment| XdpInterface {
                    name: attachment.interface,
                    mode: attachment.mode,
                })
                .collect(),
            bans: EnforcedBans {
                active: stats.enforcer.blocked_ips as u64,
                fleet,
                set_aside: set_aside as u64,
                unwritten: unwritten as u64,
                synced: stats.enforcer.synced,
            },
            allowlist: stats.enforcer.protected_networks as u64,
            drops: Drops {
                packets: stats.packets.dropped,
                bytes: stats.packets.dropped_bytes,
            },
            telemetry_lost: stats.telemetry.dropped,
            spool: Spooled {
                batches: stats.telemetry.spool.batches,
                bytes: stats.telemetry.spool.bytes,
            },
            bus_revision: revision,
        })
    }
}
