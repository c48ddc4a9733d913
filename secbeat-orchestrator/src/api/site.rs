//! Where the web page is at home: which names a browser may call this daemon by, and whose requests it may send.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::Request,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN},
        uri::Authority,
    },
};

use super::Failure;

/// The cookie's name.
const COOKIE_NAME: &str = "secbeat_session";
/// Its name where there is TLS: browsers let no other host set a cookie of such a name, and none without TLS (RFC 6265bis, "Cookie
/// Name Prefixes").
const SECURE_COOKIE_NAME: &str = "__Host-secbeat_session";
/// By which browsers say where a request comes from (W3C, Fetch Metadata Request Headers). Nobody else sends it.
pub(super) const FETCH_SITE: &str = "sec-fetch-site";

/// The places of the page.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Address at which the API listens.
    pub listen: SocketAddr,
    pub is_tls: bool,
    /// `api.public_host`.
    pub public_host: Option<String>,
}

impl Site {
    /// Returns where a browser on this host finds the page; without a slash at the end.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let ip = match self.listen.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        };
        match &self.public_host {
            Some(host) if host.contains(':') || !self.is_tls => format!("https://{host}"),
            Some(host) => format!("https://{host}:{}", self.listen.port()),
            None => format!("{scheme}://{}", SocketAddr::new(ip, self.listen.port())),
        }
    }

    /// Refuses what a web page of another origin sends (CSRF), and what is meant for another host (DNS rebinding).
    pub(super) fn check(&self, request: &Request) -> Result<(), Failure> {
        let (uri, headers) = (request.uri(), request.headers());
        let host = asked(uri, headers);
        let host = match host {
            Some(host) if self.is_ours(&host) => host,
            host => {
                let host = host.map(|host| host.to_string()).unwrap_or_default();
                return Err(Failure::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    format!(
                        "`{host}` is not this host: ask for 127.0.0.1, [::1], localhost, or what api.public_host names"
                    ),
                ));
            }
        };
        let refused = |why: &str| Err(Failure::new(StatusCode::FORBIDDEN, why).with_code("wrong_origin"));
        match headers.get(ORIGIN) {
            Some(origin) => {
                let origin = origin.to_str().unwrap_or_default();
                if !self.is_same(origin, &host) {
                    return refused(
                        "requests of other web pages are refused: Origin is not the host that was asked. A proxy in between has to pass Host on, and api.public_host has to name it",
                    );
                }
            }
            None if !request.method().is_safe() => {
                return refused("a request that changes something needs its Origin");
            }
            None => {}
        }
        let from = headers.get(FETCH_SITE).and_then(|site| site.to_str().ok());
        if !matches!(from, None | Some("same-origin" | "none")) {
            return refused("requests of other web pages are refused (Sec-Fetch-Site)");
        }
        Ok(())
    }

    /// Refuses a host that is not this one.
    pub(super) fn check_host(&self, request: &Request) -> Result<(), Failure> {
        match asked(request.uri(), request.headers()) {
            Some(host) if self.is_ours(&host) => Ok(()),
            _ => Err(Failure::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this is not the host that was asked for: use 127.0.0.1, [::1], localhost, or what api.public_host names",
            )),
        }
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        if name.eq_ignore_ascii_case("localhost") || self.is_public(host) {
            return true;
        }
        // A name can be made to point here, an address cannot.
        name.parse::<IpAddr>().is_ok_and(|ip| {
            let (ip, listen) = (ip.to_canonical(), self.listen.ip().to_canonical());
            ip.is_loopback() || ip == listen || listen.is_unspecified()
        })
    }

    fn is_public(&self, host: &Authority) -> bool {
        self.public_host.as_ref().is_some_and(|public| {
            public.eq_ignore_ascii_case(host.as_str()) || public.eq_ignore_ascii_case(host.host())
        })
    }

    /// Whether a page of `origin` may ask `host`.
    fn is_same(&self, origin: &str, host: &Authority) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = |of: &Authority| of.port_u16().unwrap_or(usual);
        let is_host = authority.host().eq_ignore_ascii_case(host.host()) && port(&authority) == port(host);
        is_host || (scheme == "https" && self.is_public(&authority))
    }

    /// Whether the browser that sends this has to send a cookie in TLS alone.
    fn is_secure(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        self.is_tls || origin.is_some_and(|origin| origin.starts_with("https://"))
    }

    /// The session's secret, if the request shows one. Another host of the domain may have set the cookie of the plain name: it counts
    /// only where there may be no other.
    pub(super) fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let find = |wanted: &str| pairs(headers).find_map(|(name, value)| (name == wanted).then_some(value));
        find(SECURE_COOKIE_NAME).or_else(|| find(COOKIE_NAME).filter(|_| !self.has_tls(headers)))
    }

    /// Whether the browser came by TLS, as far as can be told: it names the site that a request is from to those alone that it trusts,
    /// which are those with TLS and this host (Fetch Metadata Request Headers, section 2).
    fn has_tls(&self, headers: &HeaderMap) -> bool {
        let is_here = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok())
            .is_some_and(|host| is_this_host(host.host()));
        self.is_tls || (headers.contains_key(FETCH_SITE) && !is_here)
    }

    /// `Set-Cookie` that gives the session's secret to the browser that sends these headers, for so many seconds.
    pub(super) fn set_cookie(&self, headers: &HeaderMap, secret: &str, seconds: u64) -> String {
        let (name, secure) = match self.is_secure(headers) {
            true => (SECURE_COOKIE_NAME, "; Secure"),
            false => (COOKIE_NAME, ""),
        };
        format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
    }
}

/// Whether a browser takes `host` for its own host, with or without TLS.
fn is_this_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = address
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    is_loopback || host == "localhost" || host.ends_with(".localhost")
}

fn asked(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => headers.get(HOST)?.to_str().ok()?.parse().ok(),
    }
}

/// The names and values of all cookies.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// Whether a body is JSON by its own word: no form of another page can send that without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
    media.is_some_and(|media| {
        let media = media.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn site(listen: &str, public_host: Option<&str>) -> Site {
        Site {
            listen: listen.parse().unwrap(),
            is_tls: false,
            public_host: public_host.map(str::to_owned),
        }
    }

    fn status(site: &Site, method: &str, head: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri("/api/v1/session");
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        let checked = site.check(&request.body(Body::empty()).unwrap());
        checked.err().map(|failure| failure.status().as_u16())
    }

    #[test]
    fn a_browser_is_served_where_it_asks_for_this_host_by_a_name_that_nobody_else_can_have() {
        let (here, all) = (site("127.0.0.1:3030", None), site("0.0.0.0:3030", None));
        let named = site("10.0.0.7:3030", Some("secbeat.example"));
        for (site, host, expected) in [
            (&here, "127.0.0.1:3030", None),
            (&here, "localhost:3030", None),
            (&here, "[::1]:3030", None),
            (&here, "10.0.0.7:3030", Some(421)),
            (&here, "rebound.example:3030", Some(421)),
            (&here, "localhost.evil.example", Some(421)),
            (&all, "10.0.0.7:3030", None),
            (&all, "rebound.example", Some(421)),
            (&named, "10.0.0.7:3030", None),
            (&named, "secbeat.example", None),
            (&named, "SecBeat.example:443", None),
            (&named, "secbeat.example.evil.example", Some(421)),
        ] {
            assert_eq!(status(site, "GET", &[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(&here, "GET", &[]), Some(421));
    }

    #[test]
    fn pages_of_other_origins_are_refused_and_changes_need_an_origin() {
        let (here, named) = (
            site("127.0.0.1:3030", None),
            site("127.0.0.1:3030", Some("secbeat.example")),
        );
        let host = ("host", "127.0.0.1:3030");
        for (method, origin, expected) in [
            ("GET", None, None),
            ("POST", None, Some(403)),
            ("DELETE", None, Some(403)),
            ("POST", Some("http://127.0.0.1:3030"), None),
            ("POST", Some("http://127.0.0.1:8080"), Some(403)),
            ("POST", Some("http://127.0.0.1"), Some(403)),
            ("GET", Some("https://evil.example"), Some(403)),
            ("POST", Some("null"), Some(403)),
            ("POST", Some("https://secbeat.example"), Some(403)),
        ] {
            let head: Vec<_> = origin
                .map(|origin| ("origin", origin))
                .into_iter()
                .chain([host])
                .collect();
            assert_eq!(status(&here, method, &head), expected, "{method} {origin:?}");
        }
        let proxied = [("host", "127.0.0.1:3030"), ("origin", "https://secbeat.example")];
        assert_eq!(status(&named, "POST", &proxied), None);
        for (site, expected) in [
            ("same-origin", None),
            ("none", None),
            ("same-site", Some(403)),
            ("cross-site", Some(403)),
        ] {
            assert_eq!(
                status(&here, "GET", &[host, (FETCH_SITE, site)]),
                expected,
                "{site}"
            );
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let plain = site("127.0.0.1:3030", None);
        let mut headers = HeaderMap::new();
        assert_eq!(plain.cookie(&headers), None);
        headers.append(COOKIE, "a=b; secbeat_session=x; c=d".parse().unwrap());
        assert_eq!(plain.cookie(&headers), Some("x"));
    }

    #[test]
    fn with_tls_a_cookie_that_another_host_may_have_set_is_not_taken() {
        let behind_proxy = site("127.0.0.1:3030", Some("secbeat.example"));
        let tls = Site {
            is_tls: true,
            ..behind_proxy.clone()
        };
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, "secbeat_session=planted".parse().unwrap());
        assert_eq!(tls.cookie(&headers), None);
        assert_eq!(
            behind_proxy.cookie(&headers),
            Some("planted"),
            "there may be no TLS"
        );
        headers.insert(FETCH_SITE, "same-origin".parse().unwrap());
        for (host, expected) in [
            ("secbeat.example", None),
            ("localhost:3030", Some("planted")),
            ("127.0.0.1:3030", Some("planted")),
            ("[::1]:3030", Some("planted")),
        ] {
            headers.insert(HOST, host.parse().unwrap());
            assert_eq!(behind_proxy.cookie(&headers), expected, "{host}");
        }
        headers.append(COOKIE, "__Host-secbeat_session=ours".parse().unwrap());
        for site in [&tls, &behind_proxy] {
            assert_eq!(site.cookie(&headers), Some("ours"));
        }
        headers.insert(ORIGIN, "https://secbeat.example".parse().unwrap());
        let set = behind_proxy.set_cookie(&headers, "ours", 9);
        assert!(set.starts_with("__Host-secbeat_session=ours; Path=/; "), "{set}");
        assert!(set.ends_with("; Secure"), "{set}");
    }

    #[test]
    fn the_page_has_an_address() {
        assert_eq!(site("0.0.0.0:3030", None).url(), "http://127.0.0.1:3030");
        assert_eq!(site("[::]:3030", None).url(), "http://[::1]:3030");
        assert_eq!(
            site("127.0.0.1:3030", Some("secbeat.example")).url(),
            "https://secbeat.example"
        );
        let tls = Site {
            is_tls: true,
            ..site("10.0.0.7:3030", Some("secbeat.example"))
        };
        assert_eq!(tls.url(), "https://secbeat.example:3030");
    }
}
