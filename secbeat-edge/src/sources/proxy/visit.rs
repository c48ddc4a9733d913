//! One client's connection, as its requests see it.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    super::client_address::{Connection, TrustedProxies},
    headers::{Forwarded, Scheme},
    tunnel::Tunnel,
};

/// Requests that a client may give up on one connection, beside as many as it sees through. HTTP/2 clients that reset
/// stream after stream cost the upstream a request each (CVE-2023-44487).
const GIVEN_UP: u32 = 200;

/// A connection.
pub(super) struct Visit {
    pub(super) connection: Connection,
    forwarded_for: HeaderValue,
    scheme: Scheme,
    trusted: bool,
    tunnel: Mutex<Option<Tunnel>>,
    /// Requests in all.
    asked: AtomicU32,
    answered: AtomicU32,
    given_up: AtomicU32,
    flooded: Notify,
}

impl Visit {
    /// A peer in one of the `trusted` networks passes on requests of others.
    pub(super) fn new(connection: Connection, scheme: Scheme, trusted: &TrustedProxies) -> Self {
        let last_hop = connection.last_hop();
        let address = last_hop.to_string();
        Self {
            connection,
            // An address has no byte that a field could not have.
            forwarded_for: HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("unknown")),
            scheme,
            trusted: trusted.contains(last_hop),
            tunnel: Mutex::default(),
            asked: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            given_up: AtomicU32::new(0),
            flooded: Notify::new(),
        }
    }

    pub(super) fn forwarded(&self) -> Forwarded<'_> {
        Forwarded {
            peer: &self.forwarded_for,
            scheme: self.scheme,
            trusted: self.trusted,
        }
    }

    /// What the connection becomes once its last answer is sent.
    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.lock() = Some(tunnel);
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.lock().take()
    }

    /// Counts a request from now on as given up, unless it is [answered](Pending::answered).
    pub(super) fn pending(&self) -> Pending<'_> {
        self.asked.fetch_add(1, Relaxed);
        Pending(self)
    }

    /// Completes when for all of `timeout` there was no request.
    pub(super) async fn idle(&self, timeout: Duration) {
        loop {
            let before = self.asked.load(Relaxed);
            tokio::time::sleep(timeout).await;
            let ended = self
                .answered
                .load(Relaxed)
                .wrapping_add(self.given_up.load(Relaxed));
            if self.asked.load(Relaxed) == before && ended == before {
                return;
            }
        }
    }

    /// Completes when the client has given up too many requests.
    pub(super) async fn flooded(&self) {
        self.flooded.notified().await;
    }
}

/// A request without an answer.
pub(super) struct Pending<'a>(&'a Visit);

impl Pending<'_> {
    pub(super) fn answered(self) {
        self.0.answered.fetch_add(1, Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let given_up = self.0.given_up.fetch_add(1, Relaxed) + 1;
        if given_up > GIVEN_UP && given_up - GIVEN_UP > self.0.answered.load(Relaxed) {
            self.0.flooded.notify_one();
        }
    }
}
