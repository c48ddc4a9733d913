//! Gives up what root can and this daemon need not.
//!
//! Capabilities belong to threads, and new threads inherit them. So one thread is started first and keeps what loading and
//! attaching need; then the rest of the process gives everything up, before any other thread exists; and once the program
//! is attached, that one thread keeps only what loading and attaching it once more takes. A second one keeps what reading logs takes, a
//! third one what making maps takes.

use std::{sync::mpsc, thread};

use anyhow::{Context, anyhow};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The thread that has capabilities; it does what it is given, one after the other.
#[derive(Debug)]
pub struct PrivilegedThread(mpsc::Sender<Job>);

/// The threads that keep capabilities.
#[derive(Debug)]
pub struct Privileged {
    /// Loads, attaches and replaces the XDP program.
    pub kernel: PrivilegedThread,
    /// Reads logs.
    pub logs: PrivilegedThread,
    /// Makes the kernel's tables of lists.
    pub lists: PrivilegedThread,
}

impl PrivilegedThread {
    /// Starts it, called `name`, with the capabilities of the calling thread. It ends with the last job once this is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if there can be no more threads.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || queue.into_iter().for_each(|job| job()))
            .context("starting a thread")?;
        Ok(Self(jobs))
    }

    /// Has it do `work` next; the receiver gets what comes of it, or learns that `work` panicked.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        // If the thread has died, the job is dropped, and `reply` with it.
        drop(self.0.send(Box::new(move || drop(reply.send(work())))));
        answer
    }

    /// Does `work` there.
    ///
    /// # Errors
    ///
    /// Returns an error if `work` panicked.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        answered(&mut self.begin(work)).await
    }
}

/// What came of the work that a [thread](PrivilegedThread) has begun.
///
/// # Errors
///
/// Returns an error if it panicked.
pub(crate) async fn answered<T>(answer: &mut oneshot::Receiver<T>) -> anyhow::Result<T> {
    answer
        .await
        .map_err(|_| anyhow!("a thread with capabilities died"))
}

/// Gives up every capability of the calling thread and of those that it will start.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub(crate) fn drop_all() -> anyhow::Result<()> {
    keep(&CapsHashSet::new())
}

/// Gives up everything but what reading other users' files takes: logs belong to their web servers.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub(crate) fn drop_all_but_reading() -> anyhow::Result<()> {
    keep(&CapsHashSet::from([Capability::CAP_DAC_READ_SEARCH]))
}

/// Gives up everything but what making maps takes.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub(crate) fn drop_all_but_maps() -> anyhow::Result<()> {
    keep(&CapsHashSet::from([Capability::CAP_BPF]))
}

/// Gives up everything but what it takes to load the program once more, with larger maps, to attach it, and to make tables of banned
/// networks: maps are made with `CAP_BPF` where `kernel.unprivileged_bpf_disabled` is set.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub(crate) fn drop_all_but_loading() -> anyhow::Result<()> {
    let mut needed = CapsHashSet::from([
        Capability::CAP_NET_ADMIN,
        Capability::CAP_BPF,
        Capability::CAP_PERFMON,
    ]);
    // What stands for both where they were not given: containers, kernels before 5.8.
    let held = caps::read(None, CapSet::Permitted).context("reading this thread's capabilities")?;
    if !held.contains(&Capability::CAP_BPF) {
        needed.insert(Capability::CAP_SYS_ADMIN);
    }
    keep(&needed)
}

fn keep(needed: &CapsHashSet) -> anyhow::Result<()> {
    let held = caps::read(None, CapSet::Permitted).context("reading this thread's capabilities")?;
    let kept: CapsHashSet = held.intersection(needed).copied().collect();
    let giving_up = "giving up capabilities";
    // Nothing that is executed from here on can get back what goes; only who may change the set can shrink it.
    prctl::set_no_new_privs().context(giving_up)?;
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::read(None, CapSet::Bounding)
            .context(giving_up)?
            .difference(&kept)
        {
            caps::drop(None, CapSet::Bounding, *capability).context(giving_up)?;
        }
    }
    caps::clear(None, CapSet::Ambient).context(giving_up)?;
    caps::clear(None, CapSet::Inheritable).context(giving_up)?;
    caps::set(None, CapSet::Effective, &kept).context(giving_up)?;
    caps::set(None, CapSet::Permitted, &kept).context(giving_up)
}
