//! Data sources: the reverse proxy, logs, and the questions of other web servers.

use std::{future::Future, sync::Arc};

use anyhow::Context;
use secbeat_daemon::sockets;
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::{error, info};

use super::{listeners::InputSockets, log_death, reporting::Reporting, tasks::Stop};
use crate::{
    api,
    config::Config,
    l7::L7Bans,
    privileges::{self, PrivilegedThread},
    sources::{
        InputStats,
        access_log::{self, AccessLogs, Health},
        authz::Authz,
        proxy::{Proxy, Reloader},
        service_log,
    },
};

/// All inputs, ready to run.
pub(super) struct Inputs {
    proxy: Option<Proxy>,
    access_logs: AccessLogs,
    /// Logs that cannot be followed.
    unread: Vec<Arc<Health>>,
    authz: Authz,
    authz_socket: Option<TcpListener>,
}

/// All inputs while they run.
pub(super) struct RunningInputs {
    proxy: Option<(JoinHandle<()>, Stop)>,
    access_logs: AccessLogs,
    authz: Option<JoinHandle<()>>,
}

impl Inputs {
    /// Takes over the sockets, and starts to read logs on the thread `logs`, which may read those of other users.
    pub(super) async fn build(
        config: &Config,
        sockets: InputSockets,
        http: &Arc<L7Bans>,
        reporting: &Reporting,
        logs: PrivilegedThread,
    ) -> anyhow::Result<Self> {
        let proxy = config.proxy().map(|proxy| {
            let (clients, recorder) = (config.client_rule(), reporting.recorder.clone());
            Proxy::new(sockets.proxy, proxy.clone(), clients, http.clone(), recorder)
        });
        let proxy = proxy.transpose()?;
        let header = config.authz.client_header.clone();
        let authz = Authz::new(&config.trusted_proxies, header, http.clone());
        let authz_socket = sockets.authz.map(TcpListener::from_std).transpose();
        let trusted = config.client_rule().trusted;
        let followed = config.access_log.iter().zip(reporting.first_log..);
        let mut sources: Vec<_> = followed
            .map(|(log, upstream)| log.source(upstream, &trusted, &reporting.recorder))
            .collect();
        sources.extend(config.waf_log.iter().map(|log| log.source(&reporting.waf)));
        let (services, filters) = (config.service_log.clone(), config.filters());
        let (recorder, state) = (reporting.services.clone(), config.state_dir.clone());
        let start = move || {
            privileges::drop_all_but_reading()?;
            // Here, where folders of other users can be looked into.
            let (services, unread) = service_log::sources(&services, &filters, &trusted, &recorder);
            sources.extend(services);
            anyhow::Ok((AccessLogs::start(sources, &state)?, unread))
        };
        let (access_logs, unread) = logs.call(start).await??;
        Ok(Self {
            proxy,
            access_logs,
            unread: unread.into_iter().map(Arc::new).collect(),
            authz,
            authz_socket: authz_socket.context("taking the socket of /authz")?,
        })
    }

    /// Counters of all inputs.
    pub(super) fn stats(&self) -> InputStats {
        let proxy = self.proxy.as_ref();
        InputStats {
            proxy: proxy.map(Proxy::stats).unwrap_or_default(),
            servers: proxy.map(Proxy::servers),
            certificates: proxy.map(Proxy::certificates),
            access_logs: self
                .access_logs
                .health()
                .iter()
                .chain(&self.unread)
                .cloned()
                .collect(),
            clients: proxy.map(Proxy::client_stats).unwrap_or_default(),
            authz: self.authz.stats(),
        }
    }

    /// Replaces the config of the proxy, if there is one.
    pub(super) fn reloader(&self) -> Option<Reloader> {
        self.proxy.as_ref().map(Proxy::reloader)
    }

    pub(super) fn run(self, stop: &Stop) -> RunningInputs {
        let (authz, proxy) = (self.authz, self.proxy);
        if let Some(proxy) = &proxy {
            info!(listen = ?proxy.local_addrs(), "proxying");
        }
        RunningInputs {
            authz: self.authz_socket.map(|socket| {
                let stopping = stop.signal();
                tokio::spawn(authz.run(socket, stopping))
            }),
            proxy: proxy.map(|proxy| {
                let stop = Stop::default();
                (tokio::spawn(proxy.run(stop.signal(), sockets::are_kept())), stop)
            }),
            access_logs: self.access_logs,
        }
    }
}

impl RunningInputs {
    /// Ends the proxy, before everything else: for the time that its open connections take.
    pub(super) async fn drain(mut self) -> Self {
        if let Some((proxy, stop)) = self.proxy.take() {
            stop.stop();
            log_death(proxy, "the proxy").await;
        }
        self
    }

    /// Waits for `api`, and then for the rest: while telemetry still leaves.
    pub(super) async fn end(self, api: impl Future<Output = ()>) {
        api.await;
        if let Some(authz) = self.authz {
            let _ = tokio::time::timeout(api::DRAIN, authz).await;
        }
        let logs = tokio::task::spawn_blocking(move || self.access_logs.stop());
        if tokio::time::timeout(access_log::DRAIN, logs).await.is_err() {
            error!("an access log's reader did not end in time");
        }
    }
}
