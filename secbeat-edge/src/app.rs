//! Puts the daemon together, runs it, and takes it down in order.

mod enforcement;
mod fleet;
mod inputs;
mod listeners;
mod reload;
mod reporting;
mod stand_in;
mod tasks;

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow};
use secbeat_bus::Bus;
use secbeat_daemon::{
    api::{Listener, serve},
    credentials::Membership,
    reload::Reloads,
    supervisor::{self, Supervised},
    time::now_ms,
    traces::Traces,
};
use tokio::{
    net::TcpListener,
    signal::unix::Signal,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tracing::{error, info};
use uuid::Uuid;

use self::{
    enforcement::{Enforcement, Loading},
    fleet::Fleet,
    inputs::Inputs,
    reload::Reloaded,
    reporting::Reporting,
    tasks::{Stop, Tasks},
};
pub use self::{
    fleet::{Answer, ask, connect},
    listeners::Listeners,
};
use crate::{
    api::{self, Api, Keeper},
    brought::Brought,
    bus::Directed,
    config::Config,
    enforcer::EnforcerHandle,
    kernel::{ObjectSource, Pins},
    lists::{Configured, Files, Owner},
    local_allowlist::LocalAllowlistFile,
    memory,
    notes::Notes,
    presence::Announcer,
    privileges::{self, Privileged, PrivilegedThread},
    signatures::FleetFile,
    stand_in::{DetectionRecord, Kept, Local, Tap},
    unwatched::Unwatched,
};

/// A daemon that is ready to run: everything that can fail on a wrong config or host has succeeded.
pub struct App {
    config: Config,
    fleet: Fleet,
    reporting: Reporting,
    inputs: Inputs,
    enforcement: Enforcement,
    api_listeners: Vec<Listener>,
    api: Api,
    announcer: Announcer,
    tasks: Tasks,
    traces: Traces,
    /// Sender of the fleet's detector settings.
    hear: watch::Sender<Option<DetectionRecord>>,
    /// Sender of reloaded `[[list]]` tables.
    lists: Option<Configured>,
    reloads: Reloads,
}

/// An edge's part in the fleet.
#[derive(Debug)]
pub struct Member {
    pub bus: Bus,
    pub membership: Membership,
    /// State carried over when joining a fleet.
    pub brought: Brought,
}

/// Sockets and files that were opened while the process still had root's rights.
#[derive(Debug)]
pub struct Opened {
    pub listeners: Listeners,
    pub privileged: Privileged,
    /// `None` if bans are not enforced in the kernel.
    loading: Option<Loading>,
}

impl Opened {
    /// Opens the listeners, begins to load the program, and gives up all rights but what the kernel and the logs take. No other thread may
    /// run yet.
    ///
    /// # Errors
    ///
    /// Returns an error if an address cannot be listened on, or the kernel refuses.
    pub fn new(config: &Config, object: ObjectSource) -> anyhow::Result<Self> {
        let listeners = Listeners::open(config)?;
        let privileged = Privileged {
            kernel: PrivilegedThread::start("kernel")?,
            logs: PrivilegedThread::start("logs")?,
            lists: PrivilegedThread::start("lists")?,
        };
        // The kernel takes longer to check the program than all else does together.
        let loading = Loading::begin(config, object, &privileged.kernel);
        privileges::drop_all()?;
        Ok(Self {
            listeners,
            privileged,
            loading,
        })
    }
}

impl App {
    /// Takes over the listeners and attaches the program with the allowlist already filled. From here on what is pinned is
    /// enforced, whether the bus answers or not.
    ///
    /// # Errors
    ///
    /// Whatever the config or the host does not allow.
    pub async fn build(config: Config, member: Member, host: Opened) -> anyhow::Result<Self> {
        let Opened {
            listeners,
            privileged,
            loading,
        } = host;
        let mut tasks = Tasks::default();
        let Member {
            bus,
            membership: member,
            mut brought,
        } = member;
        let edge_id = config.edge_id(&member)?;
        let host = enforcement::Host::watch(&config, &member, &mut tasks).await?;
        let traces = Traces::from_env("secbeat-edge", &edge_id);
        let (stand_in, wanted) = Tap::new(config.detect.local, &edge_id, &config.labels.0);
        let fleet = Fleet::new(bus, member, edge_id, stand_in.clone(), &mut tasks);
        let reporting = Reporting::start(&config, &fleet, &stand_in, &mut tasks)?;
        let (sockets, api) = listeners.split();
        let taking = "taking the API's sockets";
        let tcp = TcpListener::from_std(api.tcp).context(taking)?;
        let socket = api.local.as_ref().map(|socket| socket.path().to_owned());
        let local = api.local.map(Listener::try_from).transpose().context(taking)?;
        let api_listeners = [Listener::from(tcp)].into_iter().chain(local).collect();
        let inputs = Inputs::build(&config, sockets, &host.http, &reporting, privileged.logs).await?;

        // Last, so that whatever else is wrong leaves the host's interfaces as they were.
        let (configured, http, protected) = (
            host.protection.configured().into(),
            host.http.clone(),
            host.protected.clone(),
        );
        let orders = brought.orders.take();
        let surroundings = (&fleet, &traces, brought);
        let enforcement =
            Enforcement::attach(&config, loading, host, surroundings, privileged.kernel).await?;
        // The kernel's types take 18 MB while they are read.
        memory::give_back();
        let pins = enforcement.has_kernel.then(|| Pins::at(&config.kernel.pin_dir));
        let (lists, list_files) = match &pins {
            Some(pins) => {
                privileged.lists.call(privileges::drop_all_but_maps).await??;
                let most = usize::try_from(config.kernel.list_max_bytes).unwrap_or(usize::MAX);
                let handle = enforcement.handle.clone();
                let (owner, lists) = Owner::build(pins.clone(), privileged.lists, handle, most);
                let (files, changed) = Files::new(lists.clone(), config.list.clone(), config.geo.clone());
                tasks.forever(owner.run());
                tasks.forever(files.run());
                (Some(lists), Some(changed))
            }
            None => (None, None),
        };
        let feeds = lists
            .clone()
            .map(|lists| fleet.follow_feeds(lists, &config.state_dir, &mut tasks));
        let allowlist = fleet.follow_allowlist(&enforcement.handle, &mut tasks);
        let of_host = (enforcement.handle.clone(), protected.clone());
        let (hear, standing_in) = fleet.stand_in(
            wanted,
            of_host,
            allowlist.clone(),
            reporting.recorder.stats(),
            (orders, config.state_dir.as_path()),
        );
        if config.detect.local != Local::Off {
            tasks.forever(standing_in);
        }
        let reloads = Reloads::default();
        let api = Api {
            edge_id: fleet.edge_id.clone(),
            enforcer: enforcement.handle.clone(),
            bus: fleet.bus.clone(),
            clock: fleet.clock.clone(),
            certificates: fleet.certificates.clone(),
            publisher: fleet.publisher.clone(),
            garbage: fleet.garbage.clone(),
            telemetry: reporting.recorder.stats(),
            signatures: reporting.recorder.signatures().clone(),
            inputs: inputs.stats(),
            waf: reporting.waf.stats(),
            services: reporting.services.stats(),
            http,
            protected,
            configured,
            allowlist: Keeper::new(
                LocalAllowlistFile::in_folder(&config.state_dir),
                enforcement.handle.clone(),
            ),
            fleet: allowlist,
            pins: pins.clone(),
            lists,
            socket,
            notes: Notes::in_folder(&config.state_dir),
            unwatched: Unwatched::default(),
            refused_config: reloads.refused(),
            stand_in: (config.detect.local, stand_in),
        };
        let announcer = Announcer {
            edge_id: fleet.edge_id.clone(),
            labels: config.labels.clone(),
            bus: fleet.bus.clone(),
            clock: fleet.clock.clone(),
            enforcer: enforcement.handle.clone(),
            telemetry: reporting.recorder.stats(),
            signatures: config
                .telemetry
                .enabled
                .then(|| reporting.recorder.signatures().clone()),
            pins,
            feeds: feeds.unwrap_or_default(),
            logs: inputs.stats().access_logs,
            refused_config: reloads.refused(),
            enforcement: config.enforcement,
            boot_id: Uuid::new_v4(),
            started_at_ms: now_ms(),
        };
        Ok(Self {
            config,
            fleet,
            reporting,
            inputs,
            enforcement,
            api_listeners,
            api,
            announcer,
            tasks,
            traces,
            hear,
            lists: list_files,
            reloads,
        })
    }

    /// Returns where to tell of services that nobody watches.
    #[must_use]
    pub fn unwatched(&self) -> Unwatched {
        self.api.unwatched.clone()
    }

    /// Runs until `shutdown`, then drains the proxy. Bans stay in the kernel. Each of `hangups` reads the config again.
    ///
    /// # Errors
    ///
    /// When something that must run has ended: a NATS server too old, the enforcer, or the API's listener.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        hangups: Signal,
        supervised: Supervised,
    ) -> anyhow::Result<()> {
        let Self {
            config,
            fleet,
            reporting,
            inputs,
            enforcement,
            api_listeners,
            api,
            announcer,
            mut tasks,
            traces,
            hear,
            lists,
            reloads,
        } = self;
        info!(edge = fleet.edge_id, api = %config.api_listen, "running");
        let stop = Stop::default();
        let (kept, tap) = (Kept::in_folder(&config.state_dir), api.stand_in.1.clone());
        let handle = enforcement.handle.clone();
        let mut enforcer = enforcement.run(stop.signal());
        if config.telemetry.enabled || config.detect.local != Local::Off {
            tasks.forever(fleet.follow_directives(Directed {
                filter: reporting.recorder.filter(),
                signatures: reporting.recorder.signatures().clone(),
                file: FleetFile::in_folder(&config.state_dir),
                heard: hear,
            }));
        }
        tasks.spawn(fleet.follow_bans(handle.clone()));
        let announcing = tokio::spawn(announcer.run(stop.signal()));
        let router = api::router(api);
        let api = api_listeners
            .into_iter()
            .map(|listener| serve(listener, None, router.clone(), stop.signal()))
            .collect::<JoinSet<_>>();
        let drain = config.proxy().map_or(Duration::ZERO, |proxy| proxy.drain);
        let reloading = reload::on_hangup(
            hangups,
            config,
            Reloaded {
                proxy: inputs.reloader(),
                signatures: reporting.recorder.signatures().clone(),
                lists,
                enforcer: handle.clone(),
            },
            reloads,
        );
        let inputs = inputs.run(&stop);

        let (mut outcome, mut enforced) = (Ok(()), None);
        supervised.ready();
        tokio::spawn(memory::let_go_of_the_start());
        tokio::select! {
            () = shutdown => info!("stopping; bans stay in the kernel"),
            ended = tasks.next_end() => outcome = ended,
            ended = &mut enforcer => enforced = Some(ended),
            () = supervised.keep_alive(async || is_alive(&handle).await) => {}
        }
        supervisor::stopping(drain + AFTER_DRAIN);
        reloading.abort();
        // While bans still come, and telemetry goes.
        let inputs = inputs.drain().await;
        drop(handle);
        stop.stop();
        log_death(announcing, "telling the fleet of this edge").await;
        inputs
            .end(async { drop(tokio::time::timeout(api::DRAIN, api.join_all()).await) })
            .await;
        reporting.end().await;
        tasks.shutdown().await;
        if enforced.is_some() {
            outcome = Err(anyhow!("the enforcer has stopped"));
        }
        let enforced = match enforced {
            Some(ended) => ended,
            None => enforcer.await,
        };
        if let Err(error) = enforced.context("the enforcer died").flatten() {
            error!("{error:#}");
        }
        let _ = tokio::task::spawn_blocking(move || {
            stand_in::keep_all(&kept, &tap);
            traces.end();
        })
        .await;
        outcome
    }
}

/// How long everything but the proxy may take to end.
const AFTER_DRAIN: Duration = Duration::from_secs(20);

/// Whether bans are still being worked on.
async fn is_alive(enforcer: &EnforcerHandle) -> bool {
    enforcer.report().await.is_ok()
}

async fn log_death(task: JoinHandle<()>, what: &str) {
    if let Err(error) = task.await {
        error!(%error, "{what} died");
    }
}
