//! Parts that enforce bans: the allowlist of this host, the HTTP layer, the kernel's side and the enforcer over them.

use std::{
    fmt,
    future::Future,
    sync::{Arc, mpsc as blocking},
};

use anyhow::Context;
use secbeat_daemon::{credentials::Membership, protect::Protected, time::now_ms, traces::Traces};
use secbeat_edge_core::{Allowlist, EnforcerConfig, LocalAllowlist};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tracing::warn;

use super::{fleet::Fleet, tasks::Tasks};
use crate::{
    brought::Brought,
    config::Config,
    enforcer::{self, EnforcerHandle, EnforcerTask, KernelConfig, KernelSide, NeverBanned, Surroundings},
    host::{self, HostChange, HostWatcher},
    kernel::{ObjectSource, boot_now},
    l7::L7Bans,
    local_allowlist::LocalAllowlistFile,
    notes::Notes,
    privileges::{PrivilegedThread, answered},
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

/// The kernel's side while it is made: the program is loaded while the rest of the daemon is built, and attached once that is there.
/// Dropped before, it waits until the host is as it was.
pub(super) struct Loading {
    /// Taken once the program may be attached.
    never_banned: Option<blocking::Sender<NeverBanned>>,
    made: oneshot::Receiver<anyhow::Result<(KernelSide, Allowlist)>>,
    /// Closed when nothing more is done.
    ended: blocking::Receiver<()>,
}

impl Loading {
    /// Begins on `thread`, which has the capabilities that this takes; `None` if bans are not enforced in the kernel.
    pub(super) fn begin(config: &Config, object: ObjectSource, thread: &PrivilegedThread) -> Option<Self> {
        if !config.enforcement.in_kernel() {
            return None;
        }
        let kernel = KernelConfig {
            setup: config.xdp(),
            mode: config.kernel.mode,
            modes: config.kernel.interface_modes.clone(),
            event_every: config.kernel.event_every,
            object,
        };
        let (never_banned, told) = blocking::channel();
        let (running, ended) = blocking::channel();
        let made = thread.begin(move || {
            let made = enforcer::attach(kernel, &told);
            drop(running);
            made
        });
        Some(Self {
            never_banned: Some(never_banned),
            made,
            ended,
        })
    }

    /// Attaches the program.
    async fn attach(mut self, never_banned: NeverBanned) -> anyhow::Result<(KernelSide, Allowlist)> {
        if let Some(told) = self.never_banned.take() {
            // If it has ended already, it says why below.
            drop(told.send(never_banned));
        }
        answered(&mut self.made).await?
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.never_banned = None;
        // Nothing is ever sent: it is the end of the work that is waited for.
        let _ = self.ended.recv();
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
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
    /// Attaches the program that is `loading`, if bans are enforced in the kernel. `thread` is that on which it is loaded.
    pub(super) async fn attach(
        config: &Config,
        loading: Option<Loading>,
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
        let (kernel, allowlist) = match loading {
            Some(loading) => {
                let (kernel, allowlist) = loading.attach(NeverBanned { host: nets, local }).await?;
                (Some(kernel), allowlist)
            }
            None => (None, Allowlist::new(nets, []).with_local(local.entries())),
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

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_start_that_is_given_up_waits_until_the_host_is_as_it_was() {
        let (never_banned, told) = blocking::channel();
        let (running, ended) = blocking::channel();
        let (_made, made) = oneshot::channel();
        let is_undone = Arc::new(AtomicBool::new(false));
        let undone = is_undone.clone();
        let undoing = thread::spawn(move || {
            let given_up = told.recv();
            thread::sleep(Duration::from_millis(50));
            undone.store(given_up.is_err(), Relaxed);
            drop(running);
        });
        drop(Loading {
            never_banned: Some(never_banned),
            made,
            ended,
        });
        assert!(is_undone.load(Relaxed));
        undoing.join().unwrap();
    }
}
