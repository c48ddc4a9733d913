//! Puts the daemon together, runs it, and takes it down in order.

mod attach;
mod reload;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use secbeat_daemon::{
    allowlist::{self, Allowlist},
    api::serve,
    bus::Bus,
    commands::{Reader, Refused},
    credentials::Membership,
    garbage::Garbage,
    supervisor,
    time::now_ms,
    traces::Traces,
};
use secbeat_edge_core::{Limits, Reconciler};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::Signal,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tracing::{error, info};
use uuid::Uuid;

use crate::{
    admin::{self, Admin, view::EventsView},
    bus::{self, BanWatch, Publisher},
    config::Config,
    enforcer::{Acks, Enforcer, Order, ReconcileStats},
    host::{self, HostChange, HostWatcher},
    kernel::{ObjectSource, Pins},
    l7::L7Bans,
    presence::Announcer,
    privileges::{self, Privileged, PrivilegedThread},
    protection::Protection,
    sources::{
        access_log::{self, AccessLogs},
        authz::Authz,
        proxy::{Proxy, ProxyConfig, listen},
        waf::{self, WafRecorder},
    },
    telemetry::{self, Recorder},
};

/// Orders that may wait for the enforcer.
const ORDERS: usize = 4096;
/// How long the last telemetry may take to leave.
const REPORTING_DRAIN: Duration = Duration::from_secs(3);

/// A daemon that is ready to run: everything that can fail on a wrong config or host has succeeded.
pub struct App {
    config: Config,
    edge_id: String,
    member: Membership,
    /// Commands that were not obeyed.
    refused: Refused,
    bus: Bus,
    enforcer: Enforcer,
    orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
    proxy: Option<Proxy>,
    access_logs: AccessLogs,
    authz: (Authz, Option<TcpListener>),
    /// Telemetry ends with the last one, and an edge may have no source.
    recorder: Recorder,
    waf: WafRecorder,
    api: TcpListener,
    admin: Admin,
    privileged: PrivilegedThread,
    /// Ends telemetry once dropped, and ends when all was sent or spooled.
    reporting: (oneshot::Sender<()>, oneshot::Receiver<()>),
    tasks: JoinSet<anyhow::Result<()>>,
    traces: Traces,
}

/// The sockets that the daemon listens on, made before anything else: the ports may need root, and an address that is
/// wrong or taken shall leave the host as it was.
#[derive(Debug)]
pub struct Listeners {
    /// In the order of the proxy's listeners.
    proxy: Vec<std::net::TcpListener>,
    authz: Option<std::net::TcpListener>,
    api: std::net::TcpListener,
}

impl Listeners {
    /// # Errors
    ///
    /// When an address cannot be listened on; the error names its key.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let listeners = config.proxy().into_iter().flat_map(|proxy| &proxy.listeners);
        let proxy = listeners.map(|listener| listen(listener.address));
        Ok(Self {
            proxy: proxy.collect::<Result<_, _>>().context("proxy.listen")?,
            authz: config
                .authz
                .listen
                .map(listen)
                .transpose()
                .context("authz.listen")?,
            api: listen(config.api_listen).context("api_listen")?,
        })
    }
}

impl App {
    /// Takes over the listeners, starts to connect to NATS and attaches the program with the allowlist already filled. From
    /// here on what is pinned is enforced, whether NATS answers or not.
    ///
    /// # Errors
    ///
    /// Whatever the config or the host does not allow.
    pub async fn build(
        config: Config,
        object: ObjectSource,
        listeners: Listeners,
        Privileged {
            kernel: privileged,
            logs,
        }: Privileged,
    ) -> anyhow::Result<Self> {
        let member = config.membership()?;
        let edge_id = config.edge_id(&member)?;
        // Before the first look at the host, so that nothing changes unseen in between.
        let watcher = HostWatcher::new();
        let known = config.known(&member.url);
        let mut protection = tokio::task::spawn_blocking(|| Protection::find(known))
            .await
            .context("looking for addresses to protect")?;
        let protected = protection.protected();
        let l7 = Arc::new(L7Bans::new(
            protected.clone(),
            config.kernel.mode,
            config.enforcement,
        ));
        let mut tasks = JoinSet::new();
        let host = watch_host(watcher, &protection, &config, &mut tasks);
        let traces = Traces::from_env("secbeat-edge", &edge_id);
        let bus = Bus::connect(&member, &format!("secbeat-edge {edge_id}")).await?;
        let (publisher, publishing) = Publisher::new(bus.clone());
        tasks.spawn(async move {
            publishing.await;
            Ok(())
        });
        let proxied = config.proxy().map(ProxyConfig::telemetry_names);
        let mut upstreams = proxied.unwrap_or_default();
        let first_log = u16::try_from(upstreams.len()).context("counting the upstreams")?;
        upstreams.extend(config.access_log.iter().map(|log| log.name.clone()));
        let (stop_reporting, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let (recorder, telemetry_task) = telemetry::start(
            &edge_id,
            upstreams,
            &config.telemetry,
            &config.state_dir,
            bus.clone(),
            stopped,
        )?;
        let telemetry = recorder.stats();
        let (waf, waf_task) = waf::start(&edge_id, bus.clone(), publisher.clone());
        let waf_stats = waf.stats();
        tasks.spawn(async move {
            waf_task.await;
            Ok(())
        });
        let (reported, all_reported) = oneshot::channel::<()>();
        tasks.spawn(async move {
            telemetry_task.await;
            drop(reported);
            Ok(())
        });
        let proxy = config
            .proxy()
            .map(|proxy| {
                let (sockets, clients) = (listeners.proxy, config.client_rule());
                Proxy::new(sockets, proxy.clone(), clients, l7.clone(), recorder.clone())
            })
            .transpose()?;
        let authz = Authz::new(
            &config.trusted_proxies,
            config.authz.client_header.clone(),
            l7.clone(),
        );
        let asked = listeners.authz.map(TcpListener::from_std).transpose();
        let authz = (authz, asked.context("taking the socket of /authz")?);
        let api = TcpListener::from_std(listeners.api).context("taking the API's socket")?;
        let access_logs = {
            let access_logs = config.access_log.iter().zip(first_log..);
            let mut sources: Vec<_> = access_logs
                .map(|(log, upstream)| log.source(upstream, &recorder))
                .collect();
            sources.extend(config.waf_log.iter().map(|log| log.source(&waf)));
            let state = config.state_dir.clone();
            let start = move || {
                privileges::drop_all_but_reading()?;
                AccessLogs::start(sources, &state)
            };
            logs.call(start).await??
        };

        // Last, so that whatever else is wrong leaves the host's interfaces as they were.
        let kernel = match config.enforcement.in_kernel() {
            true => {
                let (config, protected) = (config.clone(), protected.clone());
                let attach = move || attach::attach(&config, &object, &protected);
                let (kernel, allowed) = privileged.call(attach).await??;
                protection.assume_fleet(allowed.into_iter());
                protection.refresh();
                Some(kernel)
            }
            false => None,
        };

        let orders = mpsc::channel(ORDERS);
        let (allowlist, fleet) = watch::channel(None);
        let (garbage, refused) = (Arc::new(Garbage::default()), Refused::default());
        let reader = Reader::new(member.trust.clone(), refused.clone(), garbage.clone());
        let following = allowlist::follow(bus.clone(), allowlist, reader);
        tasks.spawn(async move {
            following.await;
            Ok(())
        });
        let admin = Admin {
            edge_id: edge_id.clone(),
            orders: orders.0.clone(),
            bus: bus.clone(),
            publisher: publisher.clone(),
            garbage,
            telemetry,
            proxy: proxy.as_ref().map(Proxy::stats).unwrap_or_default(),
            servers: proxy.as_ref().map(Proxy::servers),
            access_logs: access_logs.health(),
            clients: proxy.as_ref().map(Proxy::client_stats).unwrap_or_default(),
            authz: authz.0.stats(),
            waf: waf_stats,
            l7: l7.clone(),
            protected: protected.clone(),
            configured: protection.configured().into(),
            fleet: fleet.clone(),
            pins: kernel.is_some().then(|| Pins::at(&config.kernel.pin_dir)),
        };
        tasks.spawn(tell_allowlist(fleet, orders.0.clone()));
        let limits = Limits {
            max_ban: config.bans.max_duration.0,
            edge_id: edge_id.clone(),
        };
        let enforcer = Enforcer {
            reconciler: Reconciler::new(limits),
            kernel,
            l7,
            protected,
            protection,
            host,
            acks: Acks::new(publisher, traces.clone(), edge_id.clone()),
            reconcile_interval: config.bans.reconcile_interval.0,
            stats: ReconcileStats::default(),
            events: EventsView::default(),
            deferred: HashMap::new(),
            allowlist_stale: false,
            unwritten: HashSet::new(),
            revision: 0,
            refused: refused.clone(),
            reconciliation: None,
        };
        Ok(Self {
            config,
            edge_id,
            member,
            refused,
            bus,
            enforcer,
            orders,
            proxy,
            access_logs,
            authz,
            recorder,
            waf,
            api,
            admin,
            privileged,
            reporting: (stop_reporting, all_reported),
            tasks,
            traces,
        })
    }

    /// Runs until `shutdown`, then drains the proxy. Bans stay in the kernel. Each of `hangups` reads the config again.
    ///
    /// # Errors
    ///
    /// When something that must run has ended: a NATS server too old, or the API's listener.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>, hangups: Signal) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let stopping = move || {
            let mut stopped = stopped.clone();
            async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            }
        };
        info!(edge = self.edge_id, api = %self.config.api_listen, "running");
        if let Some(proxy) = &self.proxy {
            info!(listen = ?proxy.local_addrs(), "proxying");
        }
        let (sender, receiver) = self.orders;
        let garbage = self.admin.garbage.clone();
        let (runtime, enforcing) = (Handle::current(), self.enforcer.run(receiver, stopping()));
        let privileged = self.privileged;
        let enforcer =
            tokio::spawn(async move { privileged.call(move || runtime.block_on(enforcing)).await });
        if self.config.telemetry.enabled {
            let (bus, wanted, garbage) = (self.bus.clone(), self.recorder.wanted(), garbage.clone());
            let trust = self.member.trust.clone();
            self.tasks.spawn(async move {
                bus::watch_wanted(bus, wanted, trust, &garbage).await;
                Ok(())
            });
        }
        let watch = BanWatch {
            bus: self.bus,
            url: self.member.url,
            orders: sender,
            reader: Reader::new(self.member.trust, self.refused, garbage),
        };
        self.tasks.spawn(watch.run());
        let announcer = Announcer {
            admin: self.admin.clone(),
            enforcement: self.config.enforcement,
            boot_id: Uuid::new_v4(),
            started_at_ms: now_ms(),
        };
        let alive = self.admin.clone();
        let announcing = tokio::spawn(announcer.run(stopping()));
        let api = tokio::spawn(serve(self.api, None, admin::router(self.admin), stopping()));
        let authz = match self.authz {
            (authz, Some(listener)) => {
                let stopping = stopping();
                Some(tokio::spawn(async move {
                    authz.run(listener, stopping).await.context("serving /authz")
                }))
            }
            _ => None,
        };
        let reloads = reload::on_hangup(hangups, self.config, self.proxy.as_ref().map(Proxy::reloader));
        let proxy = self.proxy.map(|proxy| tokio::spawn(proxy.run(stopping())));

        let mut outcome = Ok(());
        supervisor::ready();
        tokio::select! {
            () = shutdown => info!("stopping; bans stay in the kernel"),
            Some(ended) = self.tasks.join_next() => outcome = ended.context("a task died").and_then(|ended| ended),
            () = supervisor::keep_alive(async || alive.is_alive().await) => {}
        }
        supervisor::stopping();
        drop(alive);
        reloads.abort();
        let _ = stop.send(true);
        if let Err(error) = announcing.await {
            error!(%error, "telling the fleet of this edge died");
        }
        if let Some(proxy) = proxy
            && let Err(error) = proxy.await
        {
            error!(%error, "the proxy died");
        }
        let _ = tokio::time::timeout(admin::DRAIN, api).await;
        if let Some(authz) = authz {
            let _ = tokio::time::timeout(admin::DRAIN, authz).await;
        }
        // While telemetry still leaves.
        let logs = tokio::task::spawn_blocking(move || self.access_logs.stop());
        if tokio::time::timeout(access_log::DRAIN, logs).await.is_err() {
            error!("an access log's reader did not end in time");
        }
        drop((self.recorder, self.waf));
        let (stop_reporting, all_reported) = self.reporting;
        drop(stop_reporting);
        if tokio::time::timeout(REPORTING_DRAIN, all_reported).await.is_err() {
            error!("telemetry could be neither sent nor spooled in time");
        }
        self.tasks.shutdown().await;
        if let Err(error) = enforcer
            .await
            .context("the enforcer died")
            .and_then(|ended| ended)
        {
            error!("{error:#}");
        }
        let _ = tokio::task::spawn_blocking(move || self.traces.end()).await;
        outcome
    }
}

/// Hands the fleet's allowlist to the enforcer whenever it changes.
async fn tell_allowlist(
    mut known: watch::Receiver<Option<Allowlist>>,
    orders: mpsc::Sender<Order>,
) -> anyhow::Result<()> {
    while known.changed().await.is_ok() {
        let entries = known.borrow_and_update().clone();
        let Some(Allowlist { entries, .. }) = entries else {
            continue;
        };
        let order = Order::Allowlist(entries.into_values().collect());
        if orders.send(order).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Starts what tells of the host's changes.
fn watch_host(
    watcher: HostWatcher,
    protection: &Protection,
    config: &Config,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> mpsc::Receiver<Vec<HostChange>> {
    let (sender, receiver) = mpsc::channel(host::BATCHES);
    let (known, names) = protection.known();
    let naming = host::resolve_names(
        known.clone(),
        names.clone(),
        config.bans.reconcile_interval.0,
        sender.clone(),
    );
    tasks.spawn(async move {
        tokio::join!(watcher.run(sender), naming);
        Ok(())
    });
    receiver
}
