//! The threads that serve connections.
//!
//! Each has a runtime of its own, and a connection stays with one: its requests, and the connections to servers that they
//! use, wait for no other thread. So answers come as evenly as from a server with a process per core.

use std::{
    cell::Cell,
    future::Future,
    net::TcpStream as StdTcpStream,
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use anyhow::Context as _;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
};

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker whose thread this is, from 0; 0 on any other thread.
pub(super) fn current() -> usize {
    INDEX.get()
}

/// The threads.
pub(super) struct Workers {
    workers: Vec<Worker>,
    next: AtomicUsize,
}

struct Worker {
    handle: Handle,
    /// Ends the thread once dropped.
    _running: oneshot::Sender<()>,
}

impl Workers {
    /// # Errors
    ///
    /// Returns an error if the system gives no thread, or no epoll instance.
    pub(super) fn start(count: NonZeroUsize) -> anyhow::Result<Self> {
        let workers = (0..count.get()).map(Worker::start);
        Ok(Self {
            workers: workers
                .collect::<anyhow::Result<_>>()
                .context("starting the proxy's threads")?,
            next: AtomicUsize::new(0),
        })
    }

    /// Has the next worker `serve` a connection, as one of `connections`.
    pub(super) fn spawn<F>(
        &self,
        connections: &mut JoinSet<()>,
        stream: StdTcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let next = self.next.fetch_add(1, Relaxed) % self.workers.len();
        let serving = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "cannot serve a connection"),
            }
        };
        connections.spawn_on(serving, &self.workers[next].handle);
    }
}

impl Worker {
    fn start(index: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name(format!("proxy-{index}"))
            .spawn(move || {
                INDEX.set(index);
                let _ = runtime.block_on(ended);
            })?;
        Ok(Self {
            handle,
            _running: running,
        })
    }
}
