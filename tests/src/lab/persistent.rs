//! A client that opens a connection every millisecond, whether it is answered or not.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::lab::netns::Namespace;

const PACE: Duration = Duration::from_millis(1);
/// Whoever was not answered for so long is not answered.
const SILENCE: Duration = Duration::from_millis(300);

/// A client at work; dropped, it stops.
#[derive(Debug)]
pub struct Persistent {
    stop: Arc<AtomicBool>,
    work: Option<thread::JoinHandle<Knocks>>,
}

/// What became of its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knocks {
    pub made: usize,
    /// Those after which there was a connection.
    pub answered: usize,
}

impl Persistent {
    /// Starts.
    #[must_use]
    pub fn start(clients: &Namespace, client: IpAddr, server: SocketAddr) -> Self {
        let (clients, stop) = (clients.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let work = thread::spawn(move || clients.enter(|| knock_until(&stopped, client, server)));
        Self {
            stop,
            work: Some(work),
        }
    }

    /// Stops.
    #[must_use]
    pub fn stop(mut self) -> Knocks {
        self.end().unwrap_or_default()
    }

    fn end(&mut self) -> Option<Knocks> {
        self.stop.store(true, Ordering::Relaxed);
        self.work
            .take()
            .map(|work| work.join().expect("a client panicked"))
    }
}

impl Drop for Persistent {
    fn drop(&mut self) {
        self.end();
    }
}

fn knock_until(stopped: &AtomicBool, client: IpAddr, server: SocketAddr) -> Knocks {
    let mut knocks = Knocks::default();
    let mut waiting: Vec<(Socket, Instant)> = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        waiting.push((knock(client, server), Instant::now()));
        knocks.made += 1;
        thread::sleep(PACE);
        waiting.retain(|(socket, sent)| {
            let is_answered = socket.peer_addr().is_ok();
            knocks.answered += usize::from(is_answered);
            !is_answered && sent.elapsed() < SILENCE
        });
    }
    knocks
}

fn knock(client: IpAddr, server: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    socket
        .bind(&SocketAddr::new(client, 0).into())
        .expect("an address of the clients");
    // It is under way; what came of it is asked later.
    let _ = socket.connect(&server.into());
    socket
}
