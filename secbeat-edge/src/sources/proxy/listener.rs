//! One address listened on: connections in, HTTP out of them.

use std::{
    future::pending,
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
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    super::client_address::Connection,
    connection::{Course, Manner, Open},
    forward::Forwarder,
    phase::{LATE, Phase},
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
    pub(super) workers: Arc<Workers>,
}

/// Serves `listener` until it is to end, and waits for its connections then. `drained` is dropped once those are over that came before.
pub(super) async fn run(
    listener: TcpListener,
    manner: Arc<ArcSwap<Manner>>,
    shared: Shared,
    mut phase: watch::Receiver<Phase>,
    drained: mpsc::Sender<()>,
) {
    let mut connections = JoinSet::new();
    let course = Course {
        phase: phase.clone(),
        cuts: Arc::default(),
    };
    let ending = loop {
        let accepted = tokio::select! {
            biased;
            Ok(phase) = phase.wait_for(|phase| *phase != Phase::Serving) => break match *phase {
                Phase::Draining(ending) => ending,
                Phase::Serving | Phase::Over => return,
            },
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &shared.slots) => accepted,
        };
        if let Some(accepted) = accepted {
            shared.serve(&mut connections, accepted, &manner, &course, false);
        }
    };
    let mut listener = Some(listener).filter(|_| ending.accepts);
    let mut drained = Some(drained);
    let mut late = JoinSet::new();
    let end = Instant::now() + ending.within;
    while listener.is_some() || drained.is_some() {
        let accepting = async {
            match &listener {
                Some(listener) => accept(listener, &shared.slots).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            // A listener that a reload took away is told no more: its connections have their time.
            Ok(_) = phase.wait_for(|phase| *phase == Phase::Over) => break,
            () = sleep_until(end) => break,
            ended = connections.join_next(), if drained.is_some() => if ended.is_none() {
                drained = None;
            },
            Some(_) = late.join_next() => {}
            accepted = accepting => if let Some(accepted) = accepted {
                shared.serve(&mut late, accepted, &manner, &course, true);
            },
        }
    }
    drop((listener.take(), drained));
    let _ = timeout(LATE, async { while late.join_next().await.is_some() {} }).await;
    let open = connections.len() + late.len();
    if open > 0 {
        tracing::warn!(open, "connections were cut off: they did not end in time");
    }
    course.cuts.store(true, Relaxed);
    connections.shutdown().await;
    late.shutdown().await;
}

impl Shared {
    /// Serves a connection, as one of `connections`.
    fn serve(
        &self,
        connections: &mut JoinSet<()>,
        (stream, peer, slot): Accepted,
        manner: &ArcSwap<Manner>,
        course: &Course,
        is_late: bool,
    ) {
        let forwarder = &self.forwarder;
        forwarder.stats.connections.fetch_add(1, Relaxed);
        let most = forwarder.site.load().config.max_connections_per_source.get();
        let held = match forwarder.rule.trusted.contains(peer) {
            // Many clients come by a proxy.
            true => None,
            false => match forwarder.sources.hold(peer, most) {
                Some(held) => Some(held),
                None => return forwarder.refuse_for_number(&Connection::direct(peer)),
            },
        };
        let open = Open {
            forwarder: forwarder.clone(),
            course: course.clone(),
            is_late,
            _slot: slot,
            held,
            most,
        };
        let manner = manner.load_full();
        self.workers.spawn(connections, stream, move |stream| {
            open.serve(stream, peer, manner)
        });
    }
}

/// Whose connection it is, and its place among the open ones.
type Accepted = (StdTcpStream, IpAddr, OwnedSemaphorePermit);

/// The next connection, once there is room for one; `None` after an error that the next call may not meet.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
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
/// Returns an error if the address cannot be listened on; the error names it.
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
