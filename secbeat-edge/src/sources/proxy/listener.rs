//! One address listened on: connections in, HTTP out of them.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream as StdTcpStream},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use socket2::{Domain, Socket, Type};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    super::client_address::Connection,
    DRAIN,
    connection::{Manner, Open},
    forward::Forwarder,
    limits::Sources,
    workers::Workers,
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Pause after `accept` failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) sources: Arc<Sources>,
    pub(super) workers: Arc<Workers>,
}

/// Serves `listener` until `stop` says so; then gives open requests [`DRAIN`] to end.
pub(super) async fn run(
    listener: TcpListener,
    manner: Arc<ArcSwap<Manner>>,
    shared: Shared,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &shared.slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else {
            continue;
        };
        let forwarder = &shared.forwarder;
        forwarder.stats.connections.fetch_add(1, Relaxed);
        let most = forwarder.site.load().config.max_connections_per_source.get();
        let held = match forwarder.rule.trusted.contains(peer) {
            // Many clients come by a proxy.
            true => None,
            false => match shared.sources.hold(peer, most) {
                Some(held) => Some(held),
                None => {
                    forwarder.refuse_for_number(&Connection::direct(peer));
                    continue;
                }
            },
        };
        let open = Open {
            forwarder: forwarder.clone(),
            stop: stopped.clone(),
            _slot: slot,
            held,
            sources: shared.sources.clone(),
            most,
        };
        let manner = manner.load_full();
        shared.workers.spawn(&mut connections, stream, move |stream| {
            open.serve(stream, peer, manner)
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "requests were cut off: they did not end in time"
        );
    }
    connections.shutdown().await;
}

/// The next connection, once there is room for one; `None` after an error that the next call may not meet.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(StdTcpStream, IpAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => match stream.into_std() {
            Ok(stream) => Some((stream, peer.ip().to_canonical(), slot)),
            Err(error) => {
                tracing::warn!(%error, "cannot hand a connection over");
                None
            }
        },
        // The client was gone before it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Listens on `addr`, without blocking; on `[::]` also for IPv4.
///
/// # Errors
///
/// When the address cannot be listened on; the error names it.
pub(crate) fn listen(addr: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    bound(addr).with_context(|| format!("listening on {addr}"))
}

fn bound(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
