//! `/authz`: tells a web server of the site's own whether to serve a client (nginx `auth_request`, Caddy `forward_auth`,
//! Traefik `ForwardAuth`, Envoy `ext_authz` over HTTP, which appends the original path).
//!
//! 200 or 403, from the same table as the proxy's own refusals. Nothing is reported: the asking server has its own log. A
//! client that cannot be identified gets 200, and so does every client while bans are only observed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
};
use secbeat_common::{prefix::Prefix, wire::LearnedFrom};
use secbeat_daemon::api::serve;
use tokio::net::TcpListener;

use super::client_address::{Client, ClientHeader, ClientRule, Connection, TrustedProxies, Unattributed};
use super::gate::{Admission, Gate};

/// The path; what follows it after a slash does not matter.
const PATH: &str = "/authz";

/// What was answered, since the start.
#[derive(Debug, Default)]
pub(crate) struct AuthzStats {
    allowed: AtomicU64,
    denied: AtomicU64,
    unattributed: AtomicU64,
}

impl AuthzStats {
    /// Answers 200 for a client that could be named.
    #[must_use]
    pub(crate) fn allowed(&self) -> u64 {
        self.allowed.load(Relaxed)
    }

    /// Answers 403.
    #[must_use]
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// Answers 200 because no client could be named.
    #[must_use]
    pub(crate) fn unattributed(&self) -> u64 {
        self.unattributed.load(Relaxed)
    }
}

/// Answers `/authz`. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Authz {
    rule: Arc<ClientRule>,
    gate: Arc<dyn Gate>,
    stats: Arc<AuthzStats>,
}

impl Authz {
    /// A server on this host or in one of the `trusted` networks names its clients in `header`.
    #[must_use]
    pub(crate) fn new(trusted: &[Prefix], header: ClientHeader, gate: Arc<dyn Gate>) -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"];
        let loopback = loopback.iter().filter_map(|net| net.parse().ok());
        let rule = ClientRule {
            trusted: loopback
                .chain(trusted.iter().copied())
                .collect::<TrustedProxies>(),
            header,
        };
        Self {
            rule: Arc::new(rule),
            gate,
            stats: Arc::default(),
        }
    }

    /// Counters.
    #[must_use]
    pub(crate) fn stats(&self) -> Arc<AuthzStats> {
        self.stats.clone()
    }

    /// Answers until `shutdown` completes and open requests have been answered.
    pub(crate) async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        serve(
            listener,
            None,
            Router::new().fallback(answer).with_state(self),
            shutdown,
        )
        .await;
    }

    fn admits(&self, asker: SocketAddr, request: &Request) -> Result<Admission, Unattributed> {
        let client = self
            .rule
            .client(&Connection::direct(asker.ip()), request.headers())?;
        // The client's own connection is the asking server's, not one of this host's.
        let client = Client {
            learned_from: LearnedFrom::Header,
            ..client
        };
        Ok(self.gate.admission(client))
    }
}

async fn answer(
    State(authz): State<Authz>,
    ConnectInfo(asker): ConnectInfo<SocketAddr>,
    request: Request,
) -> (StatusCode, &'static str) {
    let rest = request.uri().path().strip_prefix(PATH);
    if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return (StatusCode::NOT_FOUND, "only /authz is here\n");
    }
    let (counter, answer) = match authz.admits(asker, &request) {
        Ok(Admission::Served) => (&authz.stats.allowed, (StatusCode::OK, "")),
        Ok(Admission::Refused | Admission::RefusedAsPeer) => {
            (&authz.stats.denied, (StatusCode::FORBIDDEN, "banned\n"))
        }
        Err(_) => (&authz.stats.unattributed, (StatusCode::OK, "")),
    };
    counter.fetch_add(1, Relaxed);
    answer
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::Layer;
    use secbeat_daemon::protect::Protected;

    use super::*;
    use crate::{config::Enforcement, l7::L7Bans};
    use secbeat_edge_core::{BootTime, FilterMode};

    const BANNED_AT_L7: &str = "198.51.100.7";
    const BANNED_IN_THE_KERNEL: &str = "2001:db8::7";

    fn authz(header: &str) -> Authz {
        let bans = L7Bans::new(
            Arc::new(Protected::default()),
            FilterMode::Enforce,
            Enforcement::Both,
        );
        for (target, layer) in [(BANNED_AT_L7, Layer::L7), (BANNED_IN_THE_KERNEL, Layer::Kernel)] {
            bans.put(target.parse().unwrap(), BootTime(u64::MAX), layer);
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        Authz::new(&trusted, header.parse().unwrap(), Arc::new(bans))
    }

    async fn ask(authz: &Authz, asker: &str, path: &str, fields: &[(&str, &str)]) -> (u16, &'static str) {
        let request = fields
            .iter()
            .fold(Request::builder().uri(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        let asker = SocketAddr::new(asker.parse().unwrap(), 1);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let (status, body) = answer(State(authz.clone()), ConnectInfo(asker), request).await;
        (status.as_u16(), body)
    }

    #[tokio::test]
    async fn banned_clients_get_403_and_others_200_on_any_path_below() {
        let authz = authz("x-forwarded-for");
        for path in [
            "/authz",
            "/authz/",
            "/authz/any/path?with=query",
            "/authz?x",
            "/authz//%00/..",
        ] {
            for (client, status) in [
                (BANNED_AT_L7, 403),
                (BANNED_IN_THE_KERNEL, 403),
                ("203.0.113.9", 200),
                ("192.0.2.1, 198.51.100.7", 403),
                ("198.51.100.7, 203.0.113.9", 200),
                ("198.51.100.7, 10.1.1.1, 127.0.0.1", 403),
            ] {
                let fields = [("x-forwarded-for", client)];
                let body = if status == 403 { "banned\n" } else { "" };
                assert_eq!(
                    ask(&authz, "127.0.0.1", path, &fields).await,
                    (status, body),
                    "{path} {client}"
                );
            }
        }
        for path in ["/", "/authzx", "/auth"] {
            assert_eq!(ask(&authz, "127.0.0.1", path, &[]).await.0, 404, "{path}");
        }
        let stats = authz.stats();
        assert_eq!(
            (stats.allowed(), stats.denied(), stats.unattributed()),
            (10, 20, 0)
        );
    }

    #[tokio::test]
    async fn heads_without_end_are_cut_off_and_others_answered_meanwhile() {
        use tokio::{
            io::{AsyncReadExt as _, AsyncWriteExt as _},
            net::TcpStream,
        };

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(authz("x-real-ip").run(listener, std::future::pending()));
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /authz HTTP/1.1\r\nHost: a\r\n")
            .await
            .unwrap();
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole
            .write_all(
                b"GET /authz HTTP/1.1\r\nHost: a\r\nX-Real-IP: 198.51.100.7\r\nConnection: close\r\n\r\n",
            )
            .await
            .unwrap();
        let mut answer = String::new();
        whole.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let mut rest = Vec::new();
        let end = tokio::time::timeout(std::time::Duration::from_secs(60), half.read_to_end(&mut rest));
        assert!(end.await.is_ok(), "it is still open");
    }

    #[tokio::test]
    async fn only_trusted_askers_name_the_client_and_whoever_is_named_by_none_is_served() {
        let authz = authz("x-real-ip");
        let named = [("x-real-ip", BANNED_AT_L7), ("x-forwarded-for", "203.0.113.9")];
        for asker in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3"] {
            assert_eq!(ask(&authz, asker, "/authz", &named).await.0, 403, "{asker}");
        }
        assert_eq!(ask(&authz, "203.0.113.9", "/authz", &named).await.0, 200);
        let innocent = [("x-real-ip", "203.0.113.9")];
        assert_eq!(ask(&authz, BANNED_AT_L7, "/authz", &innocent).await.0, 403);
        assert_eq!(authz.stats().unattributed(), 0);
        for value in ["", "junk", "unknown", "127.0.0.1"] {
            assert_eq!(
                ask(&authz, "127.0.0.1", "/authz", &[("x-real-ip", value)])
                    .await
                    .0,
                200,
                "{value}"
            );
        }
        assert_eq!(authz.stats().unattributed(), 4);
    }
}
