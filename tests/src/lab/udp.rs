//! Datagrams from chosen sources and a sink that counts who got through, for "not one packet passes".

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use socket2::Type;

use crate::lab::netns::Namespace;

fn bound(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    let socket = namespace.socket(address.ip(), Type::DGRAM);
    socket
        .bind(&address.into())
        .unwrap_or_else(|error| panic!("binding {address}: {error}"));
    socket.into()
}

/// Receives datagrams and counts them by source; dropped, it stops.
#[derive(Debug)]
pub struct UdpSink {
    address: SocketAddr,
    counts: Arc<Mutex<HashMap<IpAddr, u64>>>,
    stop: Arc<AtomicBool>,
    work: Option<thread::JoinHandle<()>>,
}

impl UdpSink {
    /// Listens on `address` of `namespace`; port 0 means a free one.
    #[must_use]
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Self {
        let socket = bound(namespace, address);
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("setting a timeout");
        let address = socket.local_addr().expect("asking for a local address");
        let counts = Arc::new(Mutex::new(HashMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let work = thread::spawn({
            let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
            move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((_, source)) = socket.recv_from(&mut buffer) {
                        let mut counts = counts.lock();
                        *counts.entry(source.ip()).or_default() += 1;
                    }
                }
            }
        });
        Self {
            address,
            counts,
            stop,
            work: Some(work),
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams received from `source` so far.
    #[must_use]
    pub fn received_from(&self, source: IpAddr) -> u64 {
        let counts = self.counts.lock();
        counts.get(&source).copied().unwrap_or_default()
    }
}

impl Drop for UdpSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.work.take().map(thread::JoinHandle::join);
    }
}

/// Sends a datagram again and again; dropped, it stops.
#[derive(Debug)]
pub struct UdpSender {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    work: Option<thread::JoinHandle<()>>,
}

impl UdpSender {
    /// Sends from `source`, an address of `namespace`, to `target` once in every `pause`.
    #[must_use]
    pub fn start(namespace: &Namespace, source: IpAddr, target: SocketAddr, pause: Duration) -> Self {
        let socket = bound(namespace, SocketAddr::new(source, 0));
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let work = thread::spawn({
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // An unreachable port answers through an error on the next call; it was sent all the same.
                    if socket.send_to(b"secbeat", target).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(pause);
                }
            }
        });
        Self {
            sent,
            stop,
            work: Some(work),
        }
    }

    /// Datagrams sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops, and says how many were sent.
    #[must_use]
    pub fn stop(mut self) -> u64 {
        self.end();
        self.sent()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.work.take().map(thread::JoinHandle::join);
    }
}

impl Drop for UdpSender {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends `count` datagrams from `source` to `target`.
///
/// # Errors
///
/// The first failure of a send.
pub fn send(namespace: &Namespace, source: IpAddr, target: SocketAddr, count: usize) -> io::Result<()> {
    let socket = bound(namespace, SocketAddr::new(source, 0));
    (0..count).try_for_each(|_| socket.send_to(b"secbeat", target).map(drop))
}
