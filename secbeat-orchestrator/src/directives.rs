//! Tells the edges what the detector wants of their telemetry.

use std::time::Duration;

use secbeat_bus::{Bus, ChangedDirectives, DirectiveBucket};
use secbeat_common::{
    sign::Signer,
    sources::SourceLengths,
    wire::{Detection, Interest},
};
use tracing::{debug, info};

/// Pause before writing is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Interval at which it is seen to.
const RECHECK: Duration = Duration::from_secs(60);

/// What edges are told.
#[derive(Clone, Debug)]
pub struct Directives {
    /// The requests that the rules go by one by one.
    pub interest: Interest,
    /// Prefix lengths that count as one source.
    pub sources: SourceLengths,
    /// What the detector goes by, for edges whose own stands in.
    pub detection: Detection,
}

impl Directives {
    /// Sees to it, after each connection, that the bucket holds it, for ever. Orchestrators of one config write the same
    /// bytes, of which the bucket takes only the first; of different ones, what was written last holds.
    pub async fn keep(self, bus: Bus, signer: Signer) {
        let bucket = DirectiveBucket::new(&bus, signer);
        let mut connection = 0;
        loop {
            // From time to time also while the connection holds: somebody may have put something else there.
            if let Ok(latest) = tokio::time::timeout(RECHECK, bus.connection_after(connection)).await {
                connection = latest;
            }
            let changed = loop {
                match bucket.keep(&self.interest, &self.sources, &self.detection).await {
                    Ok(changed) => break changed,
                    Err(error) => debug!("cannot tell edges what rules ask for yet, retrying: {error}"),
                }
                tokio::time::sleep(RETRY).await;
            };
            self.report(changed);
        }
    }

    fn report(&self, changed: ChangedDirectives) {
        if changed.sources {
            info!(sources = %self.sources, "published source prefixes");
        }
        if changed.interest {
            let filters = self.interest.len();
            info!(filters, "published telemetry filters");
        }
        if changed.detection {
            info!("published rules");
        }
    }
}

#[cfg(test)]
mod tests {
    use secbeat_bus::{EntryKind, Write, memory::MemoryServer};
    use secbeat_common::subjects;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_edges_are_told_is_seen_to_every_minute_and_after_each_connection() {
        let server = MemoryServer::new(0);
        let member = server.join();
        let directives = Directives {
            interest: Interest::default(),
            sources: SourceLengths::default(),
            detection: Detection::default(),
        };
        tokio::spawn(directives.keep(member.bus(), Signer::default()));
        let bucket = server.join().bus().bucket(subjects::RULES_BUCKET);
        let revision = async || {
            let entry = bucket.get(subjects::INTEREST_KEY).await.ok()??;
            (entry.kind == EntryKind::Put).then_some(entry.revision)
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(revision().await, Some(2));
        bucket.write(Write::delete(subjects::INTEREST_KEY)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(revision().await, None);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(revision().await, Some(4));
        bucket.write(Write::delete(subjects::INTEREST_KEY)).await.unwrap();
        member.disconnect();
        member.reconnect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(revision().await, Some(6));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(revision().await, Some(6));
    }
}
