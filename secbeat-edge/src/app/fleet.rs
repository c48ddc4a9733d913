//! This edge as a member of the fleet: its connection, and what it follows by it.

use std::{future::Future, sync::Arc};

use secbeat_daemon::{
    allowlist::{self, Allowlist},
    bus::Bus,
    commands::{About, Reader, Refused},
    credentials::Membership,
    garbage::Garbage,
};
use tokio::sync::watch;

use super::tasks::Tasks;
use crate::{
    bus::{self, BanWatch, Publisher},
    enforcer::EnforcerHandle,
    telemetry::TelemetryFilter,
};

/// The connection to the fleet.
pub(super) struct Fleet {
    pub(super) edge_id: String,
    pub(super) bus: Bus,
    pub(super) publisher: Publisher,
    pub(super) garbage: Arc<Garbage>,
    /// Counts commands that are not obeyed.
    pub(super) refused: Refused,
    member: Membership,
}

impl Fleet {
    pub(super) async fn connect(
        member: Membership,
        edge_id: String,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Self> {
        let bus = Bus::connect(&member, &format!("secbeat-edge {edge_id}")).await?;
        let (publisher, publishing) = Publisher::new(bus.clone());
        tasks.forever(publishing);
        Ok(Self {
            edge_id,
            bus,
            publisher,
            garbage: Arc::default(),
            refused: Refused::default(),
            member,
        })
    }

    fn reader<C: About, G: About>(&self) -> Reader<C, G> {
        Reader::new(
            self.member.trust.clone(),
            self.refused.clone(),
            self.garbage.clone(),
        )
    }

    /// Follows the fleet's allowlist, and hands it to the enforcer whenever it changes.
    pub(super) fn follow_allowlist(
        &self,
        enforcer: &EnforcerHandle,
        tasks: &mut Tasks,
    ) -> watch::Receiver<Option<Allowlist>> {
        let (allowlist, known) = watch::channel(None);
        tasks.forever(allowlist::follow(self.bus.clone(), allowlist, self.reader()));
        tasks.forever(pass_on(known.clone(), enforcer.clone()));
        known
    }

    /// Follows the fleet's directives for telemetry.
    pub(super) fn follow_directives(
        &self,
        filter: TelemetryFilter,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (bus, trust, garbage) = (self.bus.clone(), self.member.trust.clone(), self.garbage.clone());
        async move { bus::follow_directives(bus, filter, trust, &garbage).await }
    }

    /// Follows the fleet's bans.
    pub(super) fn follow_bans(
        self,
        enforcer: EnforcerHandle,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let reader = self.reader();
        let watch = BanWatch {
            bus: self.bus,
            url: self.member.url,
            enforcer,
            reader,
        };
        watch.run()
    }
}

async fn pass_on(mut known: watch::Receiver<Option<Allowlist>>, enforcer: EnforcerHandle) {
    while known.changed().await.is_ok() {
        let allowlist = known.borrow_and_update().clone();
        let Some(Allowlist { entries, .. }) = allowlist else {
            continue;
        };
        if enforcer.allow(entries.into_values().collect()).await.is_err() {
            break;
        }
    }
}
