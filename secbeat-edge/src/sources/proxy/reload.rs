//! A new config for a running proxy: all of it, or nothing.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use secbeat_daemon::sockets;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    Listening, ProxyConfig,
    acme::{self, Acme},
    connection::Manner,
    listener::{self, Shared, listen},
    phase::{Ending, Phase},
    site::Site,
};

/// What a reload left as it was, in words, one element each.
pub(super) type LeftAsItWas = Vec<String>;

/// Asks the running proxy to take another config.
#[derive(Clone)]
pub(crate) struct Reloader(mpsc::Sender<Order>);

pub(super) type Orders = mpsc::Receiver<Order>;

pub(super) struct Order {
    pub(super) config: ProxyConfig,
    pub(super) reply: oneshot::Sender<anyhow::Result<LeftAsItWas>>,
}

pub(super) fn channel() -> (Reloader, Orders) {
    let (sender, receiver) = mpsc::channel(1);
    (Reloader(sender), receiver)
}

impl Reloader {
    /// Puts `config` in force for requests from now on. Returns what stays as it was until a restart.
    ///
    /// # Errors
    ///
    /// When something of it cannot be had: an address, a certificate, a file. Then all of the old config stays in force.
    pub(crate) async fn reload(&self, config: ProxyConfig) -> anyhow::Result<Vec<String>> {
        let (reply, answer) = oneshot::channel();
        let stopped = || anyhow!("the proxy has stopped");
        let order = Order { config, reply };
        self.0.send(order).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// The listeners at work.
pub(super) struct Running {
    shared: Shared,
    names: Vec<String>,
    listeners: HashMap<SocketAddr, Listener>,
    tasks: JoinSet<()>,
    /// Closed once all that listen no more have let go of the other end.
    drained: (mpsc::Sender<()>, mpsc::Receiver<()>),
    acme: Acme,
}

struct Listener {
    manner: Arc<ArcSwap<Manner>>,
    phase: watch::Sender<Phase>,
}

impl Running {
    pub(super) fn new(listening: Vec<Listening>, shared: Shared, names: Vec<String>, mut acme: Acme) -> Self {
        acme.start();
        let mut running = Self {
            shared,
            names,
            listeners: HashMap::new(),
            tasks: JoinSet::new(),
            drained: mpsc::channel(1),
            acme,
        };
        listening
            .into_iter()
            .for_each(|listening| running.start(listening));
        running
    }

    fn start(&mut self, listening: Listening) {
        let Listening {
            socket,
            address,
            manner,
        } = listening;
        let (phase, ahead) = watch::channel(Phase::Serving);
        if address.port() != 0 {
            sockets::keep(&socket, address);
        }
        self.tasks.spawn(listener::run(
            socket,
            manner.clone(),
            self.shared.clone(),
            ahead,
            self.drained.0.clone(),
        ));
        self.listeners.insert(address, Listener { manner, phase });
    }

    /// Puts `config` in force: first everything that can fail, then the rest.
    pub(super) fn reload(&mut self, config: ProxyConfig) -> anyhow::Result<LeftAsItWas> {
        let forwarder = self.shared.forwarder.clone();
        let before = forwarder.site.load_full();
        acme::prepare(config.acme.as_ref());
        let mut manners = Vec::new();
        let mut added = Vec::new();
        for listener in &config.listeners {
            let address = listener.address;
            let manner = Manner::new(listener, &self.acme.challenges)
                .with_context(|| format!("proxy.listener at {address}"))?;
            if self.listeners.contains_key(&address) {
                manners.push((address, manner));
                continue;
            }
            let socket = listen(address).context("proxy.listener")?;
            added.push(Listening {
                socket: TcpListener::from_std(socket).context("taking the listening socket")?,
                address,
                manner: Arc::new(ArcSwap::from_pointee(manner)),
            });
        }
        let addresses: Vec<_> = config.listeners.iter().map(|listener| listener.address).collect();
        let left = self.left_as_it_was(&before.config, &config);
        let config = ProxyConfig {
            workers: before.config.workers,
            ..config
        };
        let site = Site::new(config, &self.names, Some(&before), &forwarder.stats)?;

        if let Some(log) = &site.access_log {
            log.reopen();
        }
        self.acme.reload(site.config.acme.as_ref());
        forwarder.site.store(Arc::new(site));
        for (address, manner) in manners {
            if let Some(listener) = self.listeners.get(&address) {
                listener.manner.store(Arc::new(manner));
            }
        }
        added.into_iter().for_each(|listening| self.start(listening));
        let within = forwarder.site.load().config.drain;
        self.listeners.retain(|address, listener| {
            let kept = addresses.contains(address);
            if !kept {
                sockets::forget(*address);
                let ending = Ending {
                    accepts: false,
                    within,
                };
                let _ = listener.phase.send(Phase::Draining(ending));
            }
            kept
        });
        while self.tasks.try_join_next().is_some() {}
        Ok(left)
    }

    fn left_as_it_was(&self, before: &ProxyConfig, after: &ProxyConfig) -> LeftAsItWas {
        let mut left = Vec::new();
        if before.max_connections != after.max_connections {
            left.push(format!("proxy.max_connections stays {}", before.max_connections));
        }
        if before.workers != after.workers {
            left.push(format!("proxy.workers stays {}", before.workers));
        }
        for upstream in &after.upstreams {
            if !self.names.contains(&upstream.name) {
                left.push(format!(
                    "telemetry calls upstream `{}` `{}`, and its servers' addresses are not protected",
                    upstream.name,
                    super::NO_UPSTREAM
                ));
            }
        }
        left
    }

    /// Reads certificates that have changed.
    pub(super) fn refresh_certificates(&self) {
        for listener in self.listeners.values() {
            listener.manner.load().refresh();
        }
    }

    /// Waits for open requests as long as they may take, and stops to listen: at once, or with `accepts` only then.
    pub(super) async fn stop(self, accepts: bool) {
        let Self {
            shared,
            listeners,
            mut tasks,
            drained: (own, mut drained),
            acme,
            ..
        } = self;
        acme.stop();
        let ending = Ending {
            accepts,
            within: shared.forwarder.site.load().config.drain,
        };
        for listener in listeners.values() {
            let _ = listener.phase.send(Phase::Draining(ending));
        }
        drop(own);
        // Nobody sends: this ends when all senders are gone.
        let _ = timeout(ending.within, drained.recv()).await;
        for listener in listeners.values() {
            let _ = listener.phase.send(Phase::Over);
        }
        while tasks.join_next().await.is_some() {}
    }
}
