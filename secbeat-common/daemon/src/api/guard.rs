//! Rights of a request without a token: by the Unix socket, what its user may; on loopback, read what quotes no client. Web
//! pages are kept away: one of another origin (CSRF), and one whose name was made to point here (DNS rebinding).

use std::{net::IpAddr, path::PathBuf, time::Duration};

use axum::{
    body::to_bytes,
    extract::Request,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{HOST, ORIGIN},
        uri::Authority,
    },
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::{
    Failure,
    peer::{GROUP, LocalPeer},
};

/// How long, and how many bytes of, the body of a refused request is waited for.
const REST: (Duration, usize) = (Duration::from_secs(1), 64 * 1024);

/// Answers `request` with `refusal`, once its body has come: who still sends when the connection is closed may not read why.
pub async fn refuse(request: Request, refusal: impl IntoResponse) -> Response {
    let (patience, most) = REST;
    let _ = timeout(patience, to_bytes(request.into_body(), most)).await;
    refusal.into_response()
}

/// The ways into an API, to name those that a refused request could have taken.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The Unix socket, if there is one.
    pub socket: Option<PathBuf>,
    /// Command that makes a token, without its role, if the daemon takes any.
    pub token: Option<&'static str>,
}

/// Kind of access of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To read counters, bans and settings.
    Read,
    /// To read what clients requested, as it was in a log.
    ReadRequests,
    Change,
}

impl Ways {
    /// Returns whose request without a token it is, if it may do `act`; `None` for anybody's. A token would need `role`.
    ///
    /// # Errors
    ///
    /// Returns an error if it may not.
    pub fn admit(&self, request: &Request, act: Act, role: &str) -> Result<Option<LocalPeer>, Failure> {
        let peer = request.extensions().get::<LocalPeer>().copied();
        match peer {
            Some(peer) if peer.is_trusted() => return Ok(Some(peer)),
            Some(_) => {}
            None => {
                if let Some(refused) = refusal(request.uri(), request.headers()) {
                    return Err(refused);
                }
            }
        }
        if act == Act::Read {
            return Ok(None);
        }
        let why = self.directions(act, role, peer);
        Err(Failure::new(StatusCode::FORBIDDEN, why).with_code("not_permitted"))
    }

    /// Returns who may, and how to become that.
    fn directions(&self, act: Act, role: &str, peer: Option<LocalPeer>) -> String {
        let what = match act {
            Act::Change => "change something",
            Act::Read | Act::ReadRequests => "read what clients requested",
        };
        let mut said = match (&self.socket, peer) {
            (_, Some(_)) => format!(
                "only root and members of the group `{GROUP}` may {what}: use `sudo`, or join it (`sudo usermod -aG {GROUP} $USER`) and log in again"
            ),
            (Some(socket), None) => format!(
                "requests over TCP may not {what}: ask on the socket {} as root or a member of the group `{GROUP}`",
                socket.display()
            ),
            (None, None) => {
                format!("requests without a token may not {what}, and this daemon has no socket")
            }
        };
        if let Some(token) = self.token {
            said.push_str(&format!(", or show a token (`{token} --role {role}`)"));
        }
        said
    }
}

fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<Failure> {
    if headers.contains_key(ORIGIN) {
        let why = "requests of web pages (with Origin) are refused";
        return Some(Failure::new(StatusCode::FORBIDDEN, why));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => host.and_then(|host| host.parse::<Authority>().ok()),
    };
    if authority.is_some_and(|authority| is_loopback(authority.host())) {
        return None;
    }
    let why = format!(
        "`{}` is not this host: ask for 127.0.0.1, [::1] or localhost",
        host.unwrap_or_default()
    );
    Some(Failure::new(StatusCode::MISDIRECTED_REQUEST, why))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn status(host: &'static str, origin: Option<&'static str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let refusal = refusal(&Uri::from_static("/api/v1/bans"), &headers);
        refusal.map(|failure| failure.status().as_u16())
    }

    #[test]
    fn only_who_asks_for_loopback_is_served() {
        for host in [
            "127.0.0.1:3030",
            "127.0.0.2",
            "[::1]:3030",
            "localhost:3030",
            "LocalHost",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(status(host, None), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3030",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.0.2.1:3030",
            "",
            "a b",
        ] {
            assert_eq!(status(host, None), Some(421), "{host}");
        }
        assert_eq!(
            refusal(&Uri::from_static("/"), &HeaderMap::new())
                .unwrap()
                .status()
                .as_u16(),
            421
        );
    }

    #[test]
    fn web_pages_are_refused() {
        assert_eq!(status("127.0.0.1:3030", Some("https://evil.example")), Some(403));
        assert_eq!(status("127.0.0.1:3030", Some("null")), Some(403));
    }

    #[test]
    fn without_a_token_loopback_reads_and_only_what_quotes_no_client() {
        let ways = Ways {
            socket: Some("/run/x/api.sock".into()),
            token: Some("x token create NAME"),
        };
        let request = |host: &str| {
            let request = Request::builder().uri("/api/v1/bans").header(HOST, host);
            request.body(axum::body::Body::empty()).unwrap()
        };
        let refused = |host, act| {
            let failure = ways.admit(&request(host), act, "read").err()?;
            Some((failure.status().as_u16(), failure.code()))
        };
        let not_permitted = Some((403, "not_permitted".to_owned()));
        for (act, expected) in [
            (Act::Read, None),
            (Act::ReadRequests, not_permitted.clone()),
            (Act::Change, not_permitted),
        ] {
            assert_eq!(refused("127.0.0.1:8080", act), expected, "{act:?}");
            let rebound = refused("evil.example", act).unwrap();
            assert_eq!(rebound.0, 421, "{act:?}");
        }
        let failure = ways
            .admit(&request("localhost"), Act::Change, "admin")
            .unwrap_err();
        for part in ["/run/x/api.sock", "`secbeat`", "x token create NAME --role admin"] {
            assert!(failure.detail().contains(part), "{}", failure.detail());
        }
        let failure = ways
            .admit(&request("localhost"), Act::ReadRequests, "read")
            .unwrap_err();
        let part = "x token create NAME --role read";
        assert!(failure.detail().contains(part), "{}", failure.detail());
        let none = Ways::default();
        let failure = none
            .admit(&request("localhost"), Act::Change, "operate")
            .unwrap_err();
        assert!(failure.detail().contains("has no socket"), "{}", failure.detail());
    }
}
