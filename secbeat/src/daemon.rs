//! Both daemons in one process.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use secbeat_bus::local::LocalServer;
use secbeat_daemon::{config::NatsServers, credentials::Membership, supervisor::Supervised};
use secbeat_edge::{Unwatched, app as edge, cli::object_source, open_files};
use secbeat_orchestrator::app as orchestrator;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{JoinHandle, LocalSet, spawn_local},
};
use tracing::{info, warn};

use crate::{
    config::{self, Config},
    setup,
};

/// When services are looked for first: what a host starts together is there by then.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// How often services are looked for.
const LOOK_AROUND: Duration = Duration::from_mins(5);

/// Runs until SIGTERM or SIGINT. Bans stay in the kernel and in the store. Without a config, it goes by what `setup` would choose.
///
/// # Errors
///
/// When the config or the host does not allow it, or one of the daemons ended.
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
    if let Err(error) = open_files::raise_limit(config.edge.open_files()) {
        warn!(%error, "the limit on open files stays as it is");
    }
    let host = edge::Opened::new(&config.edge)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(LocalSet::new().run_until(serve(config, path, bpf_object, host)));
    // A resolver that does not answer must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn serve(
    config: Config,
    path: &Path,
    bpf_object: Option<&Path>,
    host: edge::Opened,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    // A SIGHUP while the daemon still starts must not end it.
    let hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let folder = &config.edge.state_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("state_dir: making {}", folder.display()))?;
    let store = config.store();
    let mut server = LocalServer::open(&store)?;
    info!(store = %store.display(), "the store is open");
    let [of_edge, of_orchestrator] = Supervised::together();
    let mut deciding = Orchestrator::start(config.orchestrator, path, &server, of_orchestrator).await?;
    let member = edge::Member {
        bus: server.join().bus(),
        membership: alone(),
    };
    let outcome = match edge::App::build(config.edge, member, object_source(bpf_object), host).await {
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
            warn!("nobody watches {service}; `secbeat setup --add` has it watched");
        }
    }
}

/// Whoever shares this process is trusted, and nobody else reaches its bus.
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
                        let config = Config::load_orchestrator(&path).map_err(Into::into);
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
        let outcome = outcome.and_then(|()| Err(anyhow!("nobody decides any more")));
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
