//! This edge as a member of the fleet: its connection, and what it follows by it.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use secbeat_bus::{
    AllowFollower, Allowlist, Bus, BusClock, CommandReader, DirectiveBucket, Garbage, NetworkCommand,
    RefusedCommands, Update,
    nats::{Login, Nats, Server},
};
use secbeat_common::{sign::Trust, subjects};
use secbeat_daemon::{
    credentials::Membership,
    expiry::{Expiry, watch_certificates},
    protect::Protected,
    time::now_ms,
};
use secbeat_orchestrator_core::stand_in::{Away, Effect, Orders};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::warn;

use super::{
    stand_in::{Leases, StandInTask},
    tasks::Tasks,
};
use crate::{
    bus::{self, BanWatch, Directed, Publisher},
    enforcer::EnforcerHandle,
    feeds::{FeedKeeper, Feeds},
    lists::Lists,
    signatures::{FleetFile, Signatures},
    stand_in::{DetectionRecord, Kept, Tap},
    telemetry::TelemetryStats,
};

/// The connection to the fleet.
pub(super) struct Fleet {
    pub(super) edge_id: String,
    pub(super) bus: Bus,
    pub(super) clock: BusClock,
    pub(super) publisher: Publisher,
    pub(super) garbage: Arc<Garbage>,
    /// Counts commands that are not accepted.
    pub(super) refused: RefusedCommands,
    /// Expiry of the certificates of NATS.
    pub(super) certificates: watch::Receiver<Vec<Expiry>>,
    /// This edge's own detector.
    pub(super) stand_in: Tap,
    member: Membership,
}

/// Starts to connect the edge of this name to NATS.
///
/// # Errors
///
/// Returns an error if the address, the key or the certificate of the connection cannot be used.
pub async fn connect(member: &Membership, edge_id: &str) -> anyhow::Result<Bus> {
    let login = member.login.clone().map(|login| Login {
        name: login.name,
        nkey: login.nkey.0,
        authority: login.authority,
    });
    let server = Server {
        urls: member.servers.addresses(),
        program: format!("secbeat-edge {edge_id}"),
        login,
        replicas: None,
    };
    Ok(Nats::connect(server).await?.bus())
}

/// What a fleet says to a host that is about to join it.
#[derive(Debug)]
pub struct Answer {
    /// What its detector goes by; `None` if no orchestrator has said so yet.
    pub orders: Option<Orders>,
    /// The reason why nobody decides; `None` if orchestrators do.
    pub away: Option<Away>,
}

/// Connects the edge of this name, and asks. Each answer may take as long as `patience`.
///
/// # Errors
///
/// Returns an error if the connection cannot be used, or nobody answers.
pub fn ask(member: &Membership, edge_id: &str, patience: Duration) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let asked = runtime.block_on(async {
        let bus = connect(member, edge_id).await?;
        let connected = timeout(patience, bus.connection_after(0)).await;
        connected.ok().with_context(|| {
            format!(
                "NATS at {} does not answer, or does not take these credentials",
                member.servers
            )
        })?;
        let mut leases = Leases::new(&bus);
        let decides = async {
            while leases.away().is_some() {
                leases.changed().await;
            }
        };
        let _ = timeout(patience, decides).await;
        let orders = timeout(patience, orders(&bus, &member.trust)).await;
        Ok(Answer {
            orders: orders.ok().flatten(),
            away: leases.away(),
        })
    });
    runtime.shutdown_background();
    asked
}

/// Returns what the fleet's detector goes by.
async fn orders(bus: &Bus, trust: &Trust) -> Option<Orders> {
    let mut follower = DirectiveBucket::follow(bus);
    let mut found = None;
    loop {
        match follower.next().await {
            Update::Held(entries) => {
                let said = entries.iter().find(|entry| entry.key == subjects::DETECTION_KEY);
                found = said
                    .and_then(|said| DetectionRecord::open(&said.value, trust).ok())
                    .or(found);
            }
            Update::Complete => return found.map(|heard| heard.orders),
            Update::Begin(_) | Update::Changed(_) => {}
        }
    }
}

impl Fleet {
    pub(super) fn new(
        bus: Bus,
        member: Membership,
        edge_id: String,
        stand_in: Tap,
        tasks: &mut Tasks,
    ) -> Self {
        let (publisher, publishing) = Publisher::new(bus.clone());
        tasks.forever(publishing);
        let (certificates, watching) = watch_certificates(&member);
        tasks.forever(watching);
        let clock = bus::bus_clock(&bus);
        tasks.forever(clock.clone().run());
        Self {
            edge_id,
            bus,
            clock,
            publisher,
            garbage: Arc::default(),
            refused: RefusedCommands::default(),
            certificates,
            stand_in,
            member,
        }
    }

    fn reader<C: NetworkCommand, G: NetworkCommand>(&self) -> CommandReader<C, G> {
        CommandReader::new(
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
        let following = AllowFollower::new(&self.bus, self.reader(), now_ms, allowlist);
        tasks.forever(following.run());
        tasks.forever(pass_on(known.clone(), enforcer.clone()));
        known
    }

    /// Follows the fleet's feeds, and puts them in force as lists.
    pub(super) fn follow_feeds(&self, lists: Lists, state_dir: &Path, tasks: &mut Tasks) -> Feeds {
        let keeper = FeedKeeper::new(&self.bus, &self.member.trust, &self.garbage, lists, state_dir);
        let feeds = keeper.feeds();
        tasks.forever(keeper.run());
        feeds
    }

    /// Looks for what the fleet published when this edge last heard of it.
    pub(super) fn restore_signatures(&self, state_dir: &Path, signatures: &Signatures) {
        let published = match FleetFile::in_folder(state_dir).read(&self.member.trust) {
            Ok(Some(set)) => signatures
                .publish(set)
                .map(drop)
                .map_err(|error| error.to_string()),
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = published {
            warn!("the fleet's signatures wait for NATS: {error}");
        }
    }

    /// Follows the fleet's directives.
    pub(super) fn follow_directives(&self, directed: Directed) -> impl Future<Output = ()> + Send + 'static {
        let (bus, trust, garbage) = (self.bus.clone(), self.member.trust.clone(), self.garbage.clone());
        async move { bus::follow_directives(bus, directed, trust, &garbage).await }
    }

    /// Runs this edge's own detector, which goes by what was kept of an earlier process, or by `orders`, until the fleet says something
    /// else.
    pub(super) fn stand_in(
        &self,
        effects: mpsc::UnboundedReceiver<Effect>,
        host: (EnforcerHandle, Arc<Protected>),
        allowlist: watch::Receiver<Option<Allowlist>>,
        telemetry: Arc<TelemetryStats>,
        (orders, state_dir): (Option<Orders>, &Path),
    ) -> (
        watch::Sender<Option<DetectionRecord>>,
        impl Future<Output = ()> + Send + 'static,
    ) {
        let kept = Kept::in_folder(state_dir);
        let of_before = kept.detection(&self.member.trust);
        let (hear, heard) = watch::channel(of_before.or_else(|| orders.map(DetectionRecord::own)));
        if let Some(recalled) = kept.recall() {
            self.stand_in.handle(recalled);
        }
        let (enforcer, protected) = host;
        let task = StandInTask {
            tap: self.stand_in.clone(),
            effects,
            edge_id: self.edge_id.clone(),
            bus: self.bus.clone(),
            enforcer: enforcer.clone(),
            publisher: self.publisher.clone(),
            telemetry,
            heard,
            allowlist,
            protected,
            kept: kept.clone(),
        };
        let run = async move {
            if let Some(entries) = kept.allowlist() {
                let _ = enforcer.allow(entries).await;
            }
            task.run().await;
        };
        (hear, run)
    }

    /// Follows the fleet's bans.
    pub(super) fn follow_bans(
        self,
        enforcer: EnforcerHandle,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let reader = self.reader();
        let watch = BanWatch {
            bus: self.bus,
            clock: self.clock,
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
