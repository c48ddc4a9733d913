//! What enforces bans: the allowlist of this host, the HTTP layer, the kernel's side and the enforcer over them.

use std::{future::Future, sync::Arc};

use anyhow::Context;
use secbeat_daemon::{credentials::Membership, protect::Protected, time::now_ms, traces::Traces};
use secbeat_edge_core::{Allowlist, EnforcerConfig, LocalAllowlist};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};
use tracing::warn;

use super::{fleet::Fleet, tasks::Tasks};
use crate::{
    brought::Brought,
    config::Config,
    enforcer::{self, EnforcerHandle, EnforcerTask, KernelConfig, Surroundings},
    host::{self, HostChange, HostWatcher},
    kernel::{ObjectSource, boot_now},
    l7::L7Bans,
    local_allowlist::LocalAllowlistFile,
    notes::Notes,
    privileges::PrivilegedThread,
    protection::Protection,
};

/// This host, watched, and what follows from it at once.
pub(super) struct Host {
    pub(super) protection: Protection,
    pub(super) protected: Arc<Protected>,
    pub(super) http: Arc<L7Bans>,
    changes: mpsc::Receiver<Vec<HostChange>>,
}

impl Host {
    /// Begins to watch the host, and looks it over.
    pub(super) async fn watch(
        config: &Config,
        member: &Membership,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Self> {
        // Before the first look at the host, so that nothing changes unseen in between.
        let watcher = HostWatcher::new();
        let known = config.known(&member.servers);
        let protection = tokio::task::spawn_blocking(|| Protection::find(known))
            .await
            .context("looking for addresses to protect")?;
        let protected = Arc::new(Protected::new(protection.nets().clone()));
        let http = L7Bans::new(protected.clone(), config.kernel.mode, config.enforcement);
        let (sender, changes) = mpsc::channel(host::BATCHES);
        let (known, names) = protection.known();
        let interval = config.bans.reconcile_interval.0;
        let naming = host::resolve_names(known.clone(), names.clone(), interval, sender.clone());
        tasks.forever(async move {
            tokio::join!(watcher.run(sender), naming);
        });
        Ok(Self {
            protection,
            protected,
            http: Arc::new(http),
            changes,
        })
    }
}

/// The enforcer, ready to run.
pub(super) struct Enforcement {
    pub(super) handle: EnforcerHandle,
    pub(super) has_kernel: bool,
    task: EnforcerTask,
    thread: PrivilegedThread,
}

impl Enforcement {
    /// Attaches the program on `thread`, which has the capabilities that this takes, if bans are enforced in the kernel.
    pub(super) async fn attach(
        config: &Config,
        object: ObjectSource,
        host: Host,
        (fleet, traces, brought): (&Fleet, &Traces, Brought),
        thread: PrivilegedThread,
    ) -> anyhow::Result<Self> {
        let nets = host.protection.nets().clone();
        let local = LocalAllowlistFile::in_folder(&config.state_dir);
        let local = local.read(now_ms()).unwrap_or_else(|error| {
            warn!("nothing of this host's allowlist is in force: {error:#}");
            LocalAllowlist::default()
        });
        let (kernel, allowlist) = if config.enforcement.in_kernel() {
            let kernel = KernelConfig {
                setup: config.xdp(),
                mode: config.kernel.mode,
                modes: config.kernel.interface_modes.clone(),
                event_every: config.kernel.event_every,
                object,
            };
            let (kernel, allowlist) = thread
                .call(move || enforcer::attach(kernel, nets, &local))
                .await??;
            (Some(kernel), allowlist)
        } else {
            (None, Allowlist::new(nets, []).with_local(local.entries()))
        };
        host.protected.replace((**allowlist.nets()).clone());
        let has_kernel = kernel.is_some();
        let core = EnforcerConfig {
            edge_id: fleet.edge_id.clone(),
            labels: config.labels.0.clone(),
            max_ban: config.bans.max_duration.0,
            has_kernel,
            mode: config.kernel.mode,
            allowlist,
            notes: Notes::in_folder(&config.state_dir).read(boot_now()),
            is_back: brought.is_back,
        };
        let surroundings = Surroundings {
            kernel,
            http: host.http,
            protected: host.protected,
            protection: host.protection,
            host_changes: host.changes,
            publisher: fleet.publisher.clone(),
            traces: traces.clone(),
            refused: fleet.refused.clone(),
            stand_in: fleet.stand_in.clone(),
        };
        let (task, handle) =
            EnforcerTask::build(core, config.bans.reconcile_interval.0, surroundings, brought);
        Ok(Self {
            handle,
            has_kernel,
            task,
            thread,
        })
    }

    /// Runs the enforcer on its thread until `stop`.
    pub(super) fn run(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<anyhow::Result<()>> {
        let Self { task, thread, .. } = self;
        let (runtime, enforcing) = (Handle::current(), task.run(stop));
        tokio::spawn(async move { thread.call(move || runtime.block_on(enforcing)).await })
    }
}
