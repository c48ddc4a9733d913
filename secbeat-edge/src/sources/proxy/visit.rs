//! One client's connection, as its requests see it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    super::client_address::{Client, ClientRule, Connection},
    bans::Bans,
    headers::{Forwarded, Scheme, X_FORWARDED_PROTO},
    hearing::Hearing,
    limits::Held,
    tunnel::Tunnel,
};

/// Streams that a client may reset on one connection, beyond as many as it completes. Each costs the upstream a request
/// (CVE-2023-44487).
const GIVEN_UP: u32 = 200;

/// A connection.
pub(super) struct Visit {
    pub(super) connection: Connection,
    pub(super) bans: Arc<Bans>,
    forwarded_for: HeaderValue,
    scheme: Scheme,
    /// In which field a trusted proxy names clients.
    named_in: Option<HeaderName>,
    redirects: Option<u16>,
    tunnel: Mutex<Option<Tunnel>>,
    claim: Mutex<Claim>,
    pub(super) hearing: Arc<Hearing>,
    answered: AtomicU32,
    given_up: AtomicU32,
    flooded: Notify,
    /// Whether this side cuts it off, or its listener does with all of its own.
    is_cut: (AtomicBool, Arc<AtomicBool>),
}

/// The client that an upgraded connection belongs to.
#[derive(Default)]
pub(super) struct Claim {
    /// `None` if it is not known.
    pub(super) client: Option<Client>,
    /// Its place among the client's requests, if those are counted.
    pub(super) _held: Option<Held>,
}

impl Visit {
    /// A peer that `rule` trusts passes on requests of others. `redirects` is the port at which requests are to come by
    /// TLS. `cuts` says whether the listener cuts off its connections.
    pub(super) fn new(
        connection: Connection,
        scheme: Scheme,
        rule: &ClientRule,
        redirects: Option<u16>,
        cuts: Arc<AtomicBool>,
        bans: Arc<Bans>,
    ) -> Self {
        let last_hop = connection.last_hop();
        let address = last_hop.to_string();
        let named_in = rule
            .trusted
            .contains(last_hop)
            .then(|| rule.header.name().clone());
        Self {
            connection,
            bans,
            // An address has no byte that a field could not have.
            forwarded_for: HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("unknown")),
            scheme,
            hearing: Arc::new(Hearing::new(named_in.is_some())),
            named_in,
            redirects,
            tunnel: Mutex::default(),
            claim: Mutex::default(),
            answered: AtomicU32::new(0),
            given_up: AtomicU32::new(0),
            flooded: Notify::new(),
            is_cut: (AtomicBool::new(false), cuts),
        }
    }

    /// Returns what a server learns of a request of `client`.
    pub(super) fn forwarded(&self, client: IpAddr) -> Forwarded<'_> {
        let named = self
            .is_trusted()
            .then(|| HeaderValue::try_from(client.to_string()));
        Forwarded {
            peer: &self.forwarded_for,
            client: named.and_then(Result::ok),
            scheme: self.scheme,
            named_in: self.named_in.as_ref(),
        }
    }

    /// Whether the other end passes on requests of others.
    pub(super) fn is_trusted(&self) -> bool {
        self.named_in.is_some()
    }

    /// Whether requests come by TLS to this proxy.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// At which port a request is to come by TLS; `None` also if a trusted proxy says that it has.
    pub(super) fn redirects(&self, headers: &HeaderMap) -> Option<u16> {
        let has_come = || {
            let scheme = headers.get(X_FORWARDED_PROTO);
            scheme.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
        };
        self.redirects.filter(|_| !(self.is_trusted() && has_come()))
    }

    /// Sets what the connection becomes once its last answer is sent.
    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        self.hearing.switch();
        *self.tunnel.lock() = Some(tunnel);
    }

    pub(super) fn claim_tunnel(&self, claim: Claim) {
        *self.claim.lock() = claim;
    }

    pub(super) fn take_tunnel(&self) -> Option<(Tunnel, Claim)> {
        let tunnel = self.tunnel.lock().take()?;
        Some((tunnel, std::mem::take(&mut *self.claim.lock())))
    }

    /// This side ends the connection, with all requests that are open on it.
    pub(super) fn cut(&self) {
        self.is_cut.0.store(true, Relaxed);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.0.load(Relaxed) || self.is_cut.1.load(Relaxed)
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.hearing.begin();
        Exchange {
            visit: self.clone(),
            answered: false,
            held: None,
        }
    }

    /// Completes when the client has given up too many requests.
    pub(super) async fn flooded(&self) {
        self.flooded.notified().await;
    }
}

/// A request and its answer, until the last byte of that. Without an answer, the client has given it up.
pub(super) struct Exchange {
    visit: Arc<Visit>,
    answered: bool,
    /// Its place among the client's, if those are counted.
    pub(super) held: Option<Held>,
}

impl Exchange {
    /// Returns what would end it early.
    pub(super) fn bans(&self) -> &Arc<Bans> {
        &self.visit.bans
    }

    /// The answer begins.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        self.visit.answered.fetch_add(1, Relaxed);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.visit.hearing.end();
        if self.answered {
            return;
        }
        let given_up = self.visit.given_up.fetch_add(1, Relaxed) + 1;
        // A trusted proxy's connection is that of many clients.
        if !self.visit.is_trusted()
            && given_up > GIVEN_UP
            && given_up - GIVEN_UP > self.visit.answered.load(Relaxed)
        {
            self.visit.flooded.notify_one();
        }
    }
}
