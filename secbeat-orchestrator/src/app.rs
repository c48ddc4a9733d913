//! Puts the daemon together, runs it, and takes it down in order.

mod listening;
mod looking;
mod reported;
mod telling;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context;
use secbeat_bus::{
    AllowBucket, AllowFollower, Allowlist, AuditLog, BanBucket, Bus, BusClock, CommandReader, FeedBucket,
    Garbage, NetworkCommand, RefusedCommands, SignatureBucket,
    broker::broker,
    nats::{Login, Nats, Server},
};
use secbeat_common::sign::Signer;
use secbeat_daemon::{
    api::{Listener, LocalSocket, serve},
    config::NatsServers,
    credentials::Membership,
    geo::Geo,
    supervisor::{self, Supervised},
    time::now_ms,
    tls::ServerTls,
    traces::Traces,
};
use secbeat_orchestrator_core::leases::{LeaseTable, Ownership};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    allowlist::Keeper,
    api::{self, Api, Site, WrongTokens},
    audit_out::AuditCopies,
    auditor::Auditor,
    clock,
    config::{Config, Replicas},
    crawlers::Verifier,
    engine::{self, Engine, EngineHandle, Input},
    feeds::{self, Entries, Feeds},
    fleet_watch::FleetWatch,
    intake::{Intake, Troubles},
    leases::{self, shell::Leases},
    notify::Notifier,
    overview::Hub,
    protection::Protection,
    reload::Reloader,
    replica::Replica,
    reports::{Reports, tally::Tally},
    rules::{self, InForce},
    signatures::{self, Counts, Known},
    watches::Watches,
    writer::{self, SharedRevisions},
};

/// Inputs that may wait for the engine; past it reading the bus waits, and the bus keeps what is not read.
const INPUTS: usize = 512;
/// Time that a graceful end may take.
const DRAIN: Duration = Duration::from_secs(2);

/// A daemon that is ready to run.
pub struct App {
    config: Config,
    engine: Engine,
    writers: Pin<Box<dyn Future<Output = ()> + Send>>,
    inputs: mpsc::Receiver<Input>,
    replica: Replica,
    restored: watch::Receiver<bool>,
    leases: Leases,
    changes: mpsc::UnboundedReceiver<Ownership>,
    intake: Intake,
    fleet_watch: FleetWatch,
    protection: Protection,
    verifier: Option<Verifier>,
    allowlist: AllowFollower,
    signatures: Pin<Box<dyn Future<Output = ()> + Send>>,
    feeds: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Signs what edges are told of the rules.
    signer: Signer,
    servers: NatsServers,
    notifier: Notifier,
    copies: AuditCopies,
    listener: TcpListener,
    socket: Option<LocalSocket>,
    tls: Option<ServerTls>,
    api: Api,
    reloader: Reloader,
    traces: Traces,
}

impl App {
    /// Binds the API.
    ///
    /// # Errors
    ///
    /// Returns an error if the API cannot be bound.
    pub async fn build(config: Config, member: Membership, bus: Bus) -> anyhow::Result<Self> {
        let (listener, socket, tls) = listening::listen(&config.api).await?;
        let protection = Protection::find(config.known(&member.servers)).await?;
        let protected = protection.networks();
        let clock = clock::of_bus(&bus);
        let (reloader, (tokens, rules)) = Reloader::new(&config, bus.clone());
        let (sender, inputs) = mpsc::channel(INPUTS);
        let (garbage, refused) = (Arc::new(Garbage::default()), RefusedCommands::default());
        let audit = AuditLog::new(&bus);
        let revisions = SharedRevisions::default();
        let (table, leases_table) = watch::channel(LeaseTable::default());
        let listen = listener.local_addr().context("asking for the API's port")?;
        let identity = leases::identity(listen.port());
        let geo = Geo::open(&config.geo);
        let (notifier, notified) = config.notifier(&identity.name, &geo)?;
        let traces = Traces::from_env("secbeat-orchestrator", &identity.name);
        let (leases, changes, shares) =
            Leases::new(bus.clone(), identity, clock::boot_ms, rules.clone(), table);
        let links = Links {
            config: &config,
            member: &member,
            bus: &bus,
            clock: &clock,
            inputs: &sender,
            garbage: &garbage,
            refused: &refused,
            rules: &rules,
            feeds: reloader.feeds(),
        };
        let (copies, copied) = AuditCopies::new(&config.audit, &bus, &shares);
        let (writer, writing) = links.writer(revisions.clone(), leases_table.clone()).build();
        let (auditor, auditing) = Auditor::new(audit.clone());
        let (watches, watching) = Watches::new(&bus, &audit, &member);
        let (allowed, known) = watch::channel(None);
        let tally = Tally::default();
        let (published, signatures) = watch::channel(Known::default());
        let (verifier, suspects) = Verifier::new(&config.crawlers, sender.downgrade());
        let looked_up = suspects.counts();
        let engine = engine::Config {
            decider: config.decider(protected, &geo),
            bus: bus.clone(),
            writer,
            auditor,
            leases: leases_table,
            allowlist: known.clone(),
            signatures,
            suspects,
            traces: traces.clone(),
            tally: tally.clone(),
        }
        .build();
        let reports = Reports::new(&bus, tally, sender.clone(), shares.clone());
        let (restoring, restored) = watch::channel(false);
        let fleet_watch = links.fleet_watch();
        let replica = links.replica(revisions, restoring);
        let intake = links.intake();
        let keeper = links.keeper(known);
        let signature_counts = Counts::new(&bus, audit.clone(), sender.clone());
        let signatures = links.signatures(audit.clone(), published.clone());
        let following = signatures::follow(bus.clone(), member.trust.clone(), garbage.clone(), published);
        let allowlist = AllowFollower::new(&bus, links.reader(), now_ms, allowed);
        let feeds = links.feeds();
        let feeding = feeds::keep(
            feeds.clone(),
            member.trust.clone(),
            garbage.clone(),
            shares.clone(),
        );
        let api = Api {
            engine: EngineHandle {
                inputs: sender,
                garbage,
            },
            bus,
            clock,
            events: engine.events(),
            allowlist: keeper,
            signatures,
            signature_counts,
            feeds,
            leases: shares,
            troubles: intake.troubles.clone(),
            watches,
            audit,
            rules,
            refused_config: reloader.refused(),
            refused,
            wrong_tokens: WrongTokens::default(),
            notified,
            copied,
            geo,
            looked_up,
            tokens,
            sessions: listening::sessions(socket.as_ref()),
            site: Site {
                listen,
                is_tls: tls.is_some(),
                public_host: config.api.public_host.clone(),
            },
            hub: Hub::default(),
            reports,
        };
        let writers = Box::pin(async move {
            tokio::select! {
                _ = async { tokio::join!(writing, auditing) } => {}
                () = watching => {}
            }
        });
        Ok(Self {
            config,
            engine,
            writers,
            inputs,
            replica,
            restored,
            leases,
            changes,
            intake,
            fleet_watch,
            protection,
            verifier,
            allowlist,
            signatures: Box::pin(following),
            feeds: Box::pin(feeding),
            signer: member.signer,
            servers: member.servers,
            notifier,
            copies,
            listener,
            socket,
            tls,
            api,
            reloader,
            traces,
        })
    }

    /// Runs until `shutdown`, and takes over configs that are read again meanwhile. Bans stay on the bus and in the kernels.
    ///
    /// # Errors
    ///
    /// When something that must run has ended: a NATS server too old, or the API's listener.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        mut configs: mpsc::Receiver<anyhow::Result<Config>>,
        supervised: Supervised,
    ) -> anyhow::Result<()> {
        let mut reloader = self.reloader;
        tokio::spawn(async move {
            while let Some(changed) = configs.recv().await {
                reloader.reload(changed).await;
            }
        });
        info!(api = %self.config.api.listen, nats = %self.servers, "running");
        let (stop, stopped) = watch::channel(false);
        let engine = tokio::spawn(self.engine.run(self.inputs));
        let protecting = tokio::spawn(self.protection.run(self.intake.inputs.clone()));
        let writers = tokio::spawn(self.writers);
        let watching = tokio::spawn(self.fleet_watch.run());
        let measuring = tokio::spawn(self.api.clock.clone().run());
        let verifying = tokio::spawn(async move {
            if let Some(verifier) = self.verifier {
                verifier.run().await;
            }
        });
        let locating = tokio::spawn(self.api.geo.clone().follow());
        let telling = tokio::spawn(rules::tell_edges(
            self.api.rules.clone(),
            self.intake.bus.clone(),
            self.signer,
        ));
        let events = self.api.events.clone();
        let replica = tokio::spawn(self.replica.run());
        let inputs = self.intake.inputs.clone();
        let mut intake = tokio::spawn(self.intake.run(self.changes));
        let (resign, resigning) = oneshot::channel::<()>();
        let restored = self.restored;
        let keeper = self.api.allowlist.clone();
        let allowed = keeper.known.clone();
        let mut made = restored.clone();
        // So is that of reports.
        let mut reported = restored.clone();
        let allowlist = tokio::spawn(async move {
            // The bucket is made by then.
            if made.wait_for(|made| *made).await.is_ok() {
                tokio::join!(self.allowlist.run(), keeper.restore_lost());
            }
        });
        let signatures = tokio::spawn(signatures::keep(
            self.signatures,
            self.api.signatures.clone(),
            self.api.signature_counts.clone(),
            restored.clone(),
        ));
        let feeding = tokio::spawn(self.feeds);
        let counts = self.api.signature_counts.clone();
        let copying = tokio::spawn(self.copies.run_once(restored.clone()));
        let mut leases = tokio::spawn(share(self.leases, restored, allowed, resigning));
        let alive = self.api.clone();
        let looking = tokio::spawn(looking::run(self.api.clone()));
        let reporting = tokio::spawn({
            let reports = self.api.reports.clone();
            async move {
                if reported.wait_for(|made| *made).await.is_ok() {
                    reports.run().await;
                }
            }
        });
        let reports = self.api.reports.clone();
        let notifying = tokio::spawn(telling::run(self.notifier, self.api.clone()));
        let ways = self.socket.as_ref().map(|socket| socket.path().to_owned());
        let router = api::router(self.api, ways);
        let local = self.socket.map(Listener::try_from).transpose();
        let local = local.context("taking the API's socket")?;
        let listeners = local.into_iter().map(|local| (local, None));
        let serving = [(Listener::from(self.listener), self.tls)]
            .into_iter()
            .chain(listeners)
            .map(|(listener, tls)| {
                let mut stopped = stopped.clone();
                serve(listener, tls, router.clone(), async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                })
            })
            .collect::<JoinSet<_>>();
        supervised.ready();
        let outcome = tokio::select! {
            () = supervised.keep_alive(async || alive.stats().await.is_ok()) => Ok(()),
            () = shutdown => {
                info!("stopping; bans stay in force");
                Ok(())
            }
            ended = &mut intake => ended.context("reading telemetry stopped unexpectedly"),
            ended = &mut leases => ended.context("sharing the partitions stopped unexpectedly"),
            ended = replica => ended.context("reading the bus stopped unexpectedly").and_then(|ended| ended),
        };
        supervisor::stopping(5 * DRAIN);
        let _ = tokio::time::timeout(DRAIN, reports.keep()).await;
        drop(alive);
        let _ = stop.send(true);
        events.end();
        let _ = tokio::time::timeout(DRAIN, serving.join_all()).await;
        // What has happened is told, if those to tell answer soon.
        let _ = tokio::time::timeout(DRAIN, notifying).await;
        looking.abort();
        reporting.abort();
        protecting.abort();
        watching.abort();
        copying.abort();
        measuring.abort();
        locating.abort();
        verifying.abort();
        telling.abort();
        allowlist.abort();
        signatures.abort();
        feeding.abort();
        let _ = tokio::time::timeout(DRAIN, counts.keep()).await;
        intake.abort();
        // What was decided is still written, and audited once it is, if NATS takes it soon.
        let (reply, drained) = oneshot::channel();
        let _ = inputs.send(Input::Drain { reply }).await;
        drop(inputs);
        let drained = tokio::time::timeout(DRAIN, drained).await;
        engine.abort();
        // The engine has dropped its ends.
        if tokio::time::timeout(DRAIN, writers).await.is_err() || drained.is_err() {
            warn!("shutdown: {} did not acknowledge some bans", broker());
        }
        // Last of all: until then this orchestrator owns what it wrote about.
        drop(resign);
        if !leases.is_finished() {
            let _ = tokio::time::timeout(DRAIN, leases).await;
        }
        let _ = tokio::task::spawn_blocking(move || self.traces.end()).await;
        outcome
    }
}

/// What the tasks between the bus and the engine have in common.
struct Links<'a> {
    config: &'a Config,
    member: &'a Membership,
    bus: &'a Bus,
    clock: &'a BusClock,
    inputs: &'a mpsc::Sender<Input>,
    garbage: &'a Arc<Garbage>,
    refused: &'a RefusedCommands,
    rules: &'a watch::Receiver<InForce>,
    feeds: Entries,
}

impl Links<'_> {
    fn reader<C: NetworkCommand, L: NetworkCommand>(&self) -> CommandReader<C, L> {
        CommandReader::new(
            self.member.trust.clone(),
            self.refused.clone(),
            self.garbage.clone(),
        )
    }

    fn writer(&self, revisions: SharedRevisions, leases: watch::Receiver<LeaseTable>) -> writer::Config {
        let Membership { trust, signer, .. } = self.member;
        writer::Config {
            bans: BanBucket::new(self.bus, trust.clone(), signer.clone()),
            revisions,
            leases,
            inputs: self.inputs.downgrade(),
        }
    }

    fn fleet_watch(&self) -> FleetWatch {
        FleetWatch {
            bus: self.bus.clone(),
            inputs: self.inputs.clone(),
            garbage: self.garbage.clone(),
        }
    }

    fn replica(&self, revisions: SharedRevisions, restored: watch::Sender<bool>) -> Replica {
        let ban = &self.config.ban;
        Replica {
            bus: self.bus.clone(),
            clock: self.clock.clone(),
            inputs: self.inputs.clone(),
            reader: self.reader(),
            revisions,
            rules: self.rules.clone(),
            // A ban is recorded when it starts, and is remembered for strike_memory after its end, or longer by a strike.
            memory: ban.max_duration.0 + ban.strike_memory.0 * 2,
            restored,
        }
    }

    fn intake(&self) -> Intake {
        Intake {
            bus: self.bus.clone(),
            inputs: self.inputs.clone(),
            garbage: self.garbage.clone(),
            sources: self.config.detect.sources,
            troubles: Troubles::default(),
            rules: self.rules.clone(),
        }
    }

    fn signatures(&self, audit: AuditLog, known: watch::Sender<Known>) -> signatures::Keeper {
        let Membership { trust, signer, .. } = self.member;
        signatures::Keeper {
            bus: self.bus.clone(),
            bucket: SignatureBucket::new(self.bus, trust.clone(), signer.clone()),
            audit,
            known,
        }
    }

    fn feeds(&self) -> Feeds {
        let Membership { trust, signer, .. } = self.member;
        let bucket = FeedBucket::new(self.bus, trust.clone(), signer.clone());
        Feeds::new(self.bus, bucket, self.feeds.clone())
    }

    fn keeper(&self, known: watch::Receiver<Option<Allowlist>>) -> Keeper {
        let Membership { trust, signer, .. } = self.member;
        Keeper {
            bus: self.bus.clone(),
            bucket: AllowBucket::new(self.bus, trust.clone(), signer.clone()),
            known,
            inputs: self.inputs.clone(),
        }
    }
}

/// Keeps a share of the partitions until `resign`. Nobody is judged before it is known who is banned, and who never is. If the
/// replica ends before that, it says why.
async fn share(
    leases: Leases,
    mut restored: watch::Receiver<bool>,
    mut allowed: watch::Receiver<Option<Allowlist>>,
    resign: oneshot::Receiver<()>,
) {
    let resign = async { drop(resign.await) };
    let mut resign = std::pin::pin!(resign);
    let known = async {
        restored.wait_for(|restored| *restored).await?;
        allowed.wait_for(Option::is_some).await.map(drop)
    };
    tokio::select! {
        Ok(()) = known => {}
        () = &mut resign => return,
    }
    leases.run(resign).await;
}

/// Starts to connect to NATS.
///
/// # Errors
///
/// Returns an error if the address, the key or the certificate of the connection cannot be used.
pub async fn connect(member: &Membership, replicas: Option<Replicas>) -> anyhow::Result<Bus> {
    let login = member.login.clone().map(|login| Login {
        name: login.name,
        nkey: login.nkey.0,
        authority: login.authority,
    });
    let server = Server {
        urls: member.servers.addresses(),
        program: "secbeat-orchestrator".to_owned(),
        login,
        replicas: replicas.map(Replicas::get),
    };
    Ok(Nats::connect(server).await?.bus())
}
