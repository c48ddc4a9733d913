//! Both daemons in one process.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use secbeat_bus::local::LocalServer;
use secbeat_daemon::{config::NatsServers, credentials::Membership, supervisor::Supervised};
use secbeat_edge::{Brought, InForce, Unwatched, app as edge, cli::object_source, memory, open_files};
use secbeat_orchestrator::app as orchestrator;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{JoinHandle, LocalSet, spawn_local},
};
use tracing::{error, info, warn};

use crate::{
    config::{self, Config},
    fleet::{self, Marker},
    setup,
};

/// When services are looked for first: what a host starts together is there by then.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// Interval at which services are looked for.
const LOOK_AROUND: Duration = Duration::from_mins(5);

/// Runs until SIGTERM or SIGINT. Bans stay in the kernel and in the store. Without a config, it goes by what `setup` would choose.
///
/// # Errors
///
/// Returns an error if the config or the host does not allow it, or one of the daemons ended.
pub fn run(named: Option<&Path>, bpf_object: Option<&Path>) -> anyhow::Result<()> {
    let path = named.unwrap_or(Path::new(config::DEFAULT_PATH));
    if named.is_some() || path.exists() {
        return run_with(path, bpf_object);
    }
    info!(
        "there is no {}: this is what `secbeat setup` would choose",
        path.display()
    );
    let (chosen, account) = setup::choose()?;
    for line in account {
        info!("{line}");
    }
    run_with(&chosen.path(), bpf_object)
}

fn run_with(path: &Path, bpf_object: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    config.edge.check_sources(path)?;
    if let Err(error) = open_files::raise_limit(config.edge.open_files(), config.edge.proxy().is_some()) {
        warn!(%error, "the limit on open files stays as it is");
    }
    // What the kernel holds, while this process may still look at it.
    let left = Left::look(&config);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Reading logs, enforcing and the store have threads of their own. What is left is the work of one, unless requests are served.
    if config.edge.proxy().is_none() {
        runtime.worker_threads(1);
        memory::share_arena();
    }
    let host = edge::Opened::new(&config.edge, object_source(bpf_object))?;
    let runtime = runtime.enable_all().build().context("starting the runtime")?;
    let ended = runtime.block_on(LocalSet::new().run_until(async {
        match config.fleet.is_some() {
            true => serve_fleet(config, path, host).await,
            false => serve(config, path, host, left).await,
        }
    }));
    // A resolver that does not answer must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn serve(config: Config, path: &Path, host: edge::Opened, left: Option<Left>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    // A SIGHUP while the daemon still starts must not end it.
    let hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let folder = &config.edge.state_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("state_dir: making {}", folder.display()))?;
    let store = config.store();
    let mut server = LocalServer::open(&store)?;
    info!(store = %store.display(), "the store is open");
    let brought = match left {
        Some(left) => left.keep(&server, &config).await?,
        None => Brought::default(),
    };
    let [of_edge, of_orchestrator] = Supervised::together();
    let mut deciding = Orchestrator::start(config.orchestrator, path, &server, of_orchestrator).await?;
    let member = edge::Member {
        bus: server.join().bus(),
        membership: alone(),
        brought,
    };
    let outcome = match edge::App::build(config.edge, member, host).await {
        Ok(app) => {
            spawn_local(look_around(path.to_owned(), app.unwatched()));
            let shutdown = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                    () = deciding.ended() => {}
                }
            };
            app.run(shutdown, hangups, of_edge).await
        }
        Err(error) => Err(error),
    };
    // After the edge: what it reported last is still counted, and what it enforced acknowledged.
    let decided = deciding.stop().await;
    server.close();
    outcome.and(decided)
}

/// As [`serve`], where this host is an edge of a fleet: what it detected by itself until now goes along.
async fn serve_fleet(config: Config, path: &Path, host: edge::Opened) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let membership = config.edge.membership()?;
    let name = config.edge.edge_id(&membership)?;
    info!(edge = name, servers = %membership.servers, "this host is an edge of a fleet");
    let folder = &config.edge.state_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("state_dir: making {}", folder.display()))?;
    let marker = Marker::in_folder(folder);
    let mut brought = Brought {
        orders: Some(config.orchestrator.orders()),
        ..Brought::default()
    };
    let store = config.store();
    if store.exists() && !marker.is_of_this_boot(&name) {
        let mut server = LocalServer::open(&store)?;
        let bus = server.join().bus();
        secbeat_bus::make_all(&bus, config.orchestrator.longest_window()).await?;
        brought.bans = fleet::bans_in_force(&bus).await?;
        server.close();
    }
    let bus = edge::connect(&membership, &name).await?;
    brought.settled = Some(when_settled(move || marker.set(&name)));
    let member = edge::Member {
        bus,
        membership,
        brought,
    };
    let app = edge::App::build(config.edge, member, host).await?;
    spawn_local(look_around(path.to_owned(), app.unwatched()));
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    app.run(shutdown, hangups, Supervised::alone()).await
}

/// What has to be told once the kernel holds all that it should; `then` is done.
fn when_settled(then: impl FnOnce() -> anyhow::Result<()> + 'static) -> oneshot::Sender<()> {
    let (settled, told) = oneshot::channel();
    spawn_local(async move {
        if told.await.is_ok()
            && let Err(error) = then()
        {
            warn!("{error:#}");
        }
    });
    settled
}

/// What is in force on this host, of which its store does not know.
struct Left {
    in_force: InForce,
    why: Unknown,
}

/// The reason why a store does not know what is in force.
enum Unknown {
    /// This host was an edge of a fleet, and is none any more.
    LeftFleet(Marker),
    /// The store was removed or emptied. Without what the kernel holds, every ban would be lifted.
    Lost(&'static str),
}

impl Left {
    /// `None` where the store knows, or this host is an edge of a fleet.
    fn look(config: &Config) -> Option<Self> {
        if config.fleet.is_some() {
            return None;
        }
        let marker = Marker::in_folder(&config.edge.state_dir);
        if marker.is_there() {
            let in_force = InForce::look(&config.edge, "secbeat leave").unwrap_or_else(|error| {
                warn!("only bans from before this host joined the fleet are kept: {error:#}");
                InForce::default()
            });
            let why = Unknown::LeftFleet(marker);
            return Some(Self { in_force, why });
        }
        let why = lost(&config.store())?;
        let in_force = InForce::look(&config.edge, "secbeat, from the kernel");
        let in_force = in_force.and_then(|found| found.with_the_kernels_allowlist(&config.edge));
        match in_force {
            Ok(in_force) if in_force.is_nothing() => None,
            Ok(in_force) => Some(Self {
                in_force,
                why: Unknown::Lost(why),
            }),
            Err(error) => {
                error!(store = %config.store().display(), "THE STORE {why}, and the bans that the kernel holds are lifted: {error:#}");
                None
            }
        }
    }

    /// Hands it to the store, before anybody else reads that.
    async fn keep(self, server: &LocalServer, config: &Config) -> anyhow::Result<Brought> {
        let Self { in_force, why } = self;
        let bus = server.join().bus();
        secbeat_bus::make_all(&bus, config.orchestrator.longest_window()).await?;
        let kept = fleet::keep(&bus, in_force.bans, &in_force.allowed).await?;
        let settled = match why {
            Unknown::LeftFleet(marker) => {
                info!(
                    bans = kept.bans,
                    lifted = kept.lifted,
                    allowed = kept.allowed,
                    "this host was an edge of a fleet: the store has what was in force here"
                );
                Some(when_settled(move || marker.clear()))
            }
            Unknown::Lost(why) => {
                error!(
                    store = %config.store().display(),
                    bans = kept.bans,
                    allowed = kept.allowed,
                    "THE STORE {why}: what the kernel holds was taken over; repeat offences, findings, what was counted and the audit are lost"
                );
                None
            }
        };
        Ok(Brought {
            is_back: true,
            settled,
            ..Brought::default()
        })
    }
}

/// Returns what has become of the store at `path`, if it holds nothing.
fn lost(path: &Path) -> Option<&'static str> {
    match std::fs::metadata(path) {
        Ok(found) => (found.len() == 0).then_some("WAS EMPTIED"),
        Err(error) => (error.kind() == std::io::ErrorKind::NotFound).then_some("IS GONE"),
    }
}

/// Looks now and then for services that the config says nothing of, and tells of them.
async fn look_around(path: PathBuf, told: Unwatched) {
    let mut wait = FIRST_LOOK;
    loop {
        tokio::time::sleep(std::mem::replace(&mut wait, LOOK_AROUND)).await;
        let config = path.clone();
        let found = tokio::task::spawn_blocking(move || {
            let text = std::fs::read_to_string(&config).ok()?;
            let services = setup::unwatched(Path::new("/"), &text, &Config::load(&config).ok()?);
            Some(services.iter().map(ToString::to_string).collect())
        });
        // A config that cannot be read is the reload's to tell.
        let Ok(Some(services)) = found.await else { continue };
        for service in told.set(services) {
            warn!("not watched: {service}; `secbeat setup --add` adds it");
        }
    }
}

/// Everything in this process is trusted, and nothing else reaches its bus.
pub(crate) fn alone() -> Membership {
    Membership::anonymous(NatsServers::none())
}

/// The orchestrator, while it runs.
struct Orchestrator {
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<anyhow::Result<()>>,
    outcome: Option<anyhow::Result<()>>,
}

impl Orchestrator {
    async fn start(
        config: secbeat_orchestrator::config::Config,
        path: &Path,
        server: &LocalServer,
        supervised: Supervised,
    ) -> anyhow::Result<Self> {
        let app = orchestrator::App::build(config, alone(), server.join().bus()).await?;
        let (stop, stopped) = oneshot::channel();
        let (changed, configs) = mpsc::channel(1);
        let mut hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let path = path.to_owned();
        let shutdown = async move {
            let mut stopped = stopped;
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    Some(()) = hangups.recv() => {
                        // All of the file, as the edge's part does: both take it, or neither.
                        let config = Config::load(&path).map(|config| config.orchestrator);
                        let config = config.map_err(Into::into);
                        drop(changed.send(config).await);
                    }
                }
            }
        };
        Ok(Self {
            stop: Some(stop),
            running: spawn_local(app.run(shutdown, configs, supervised)),
            outcome: None,
        })
    }

    /// Waits until it has ended by itself.
    async fn ended(&mut self) {
        let outcome = (&mut self.running)
            .await
            .context("the orchestrator died")
            .flatten();
        let outcome = outcome.and_then(|()| Err(anyhow!("the orchestrator has stopped")));
        self.outcome = Some(outcome);
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        match self.outcome {
            Some(outcome) => outcome,
            None => self.running.await.context("the orchestrator died").flatten(),
        }
    }
}
