//! Requirements of `[proxy]`, checked on this host as the daemon does at its start.

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    path::Path,
    slice,
};

use secbeat_daemon::tls::ServerTls;

use super::finding::{Finding, State};
use crate::{
    config::Config,
    sources::proxy::{Place, check_page},
};

/// The addresses that the edge listens on, by their keys.
pub(super) fn listens(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let proxy = config.proxy().into_iter().flat_map(|proxy| &proxy.listeners);
    let mut addresses: Vec<_> = proxy.map(|listener| ("proxy.listen", listener.address)).collect();
    addresses.extend(config.authz.listen.map(|address| ("authz.listen", address)));
    addresses.push(("api_listen", config.api_listen));
    addresses
}

/// Whether no two sockets can listen on these. `[::]` takes IPv4, too.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && one.port() != 0 && (a == b || takes(a, b) || takes(b, a))
}

/// Whether who listens on `all` gets what comes to `one`, as every address of this host.
fn takes(all: IpAddr, one: IpAddr) -> bool {
    all.is_unspecified() && (all.is_ipv6() || one.is_ipv4())
}

/// Servers that are the edge itself.
pub(super) fn loops(config: &Config) -> Vec<Finding> {
    let own = listens(config);
    let upstreams = config.proxy().into_iter().flat_map(|proxy| &proxy.upstreams);
    let servers = upstreams.flat_map(|upstream| &upstream.servers);
    let itself = servers.filter_map(|server| {
        let Place::Tcp { host, port } = server.url.place() else {
            return None;
        };
        // Otherwise a name is not worth a question.
        if own.iter().all(|(_, address)| address.port() != port) {
            return None;
        }
        let mut places = (host.as_str(), port).to_socket_addrs().ok()?;
        let (key, address) = places.find_map(|place| {
            own.iter()
                .find(|(_, address)| leads_to(place, *address, is_of_host))
        })?;
        let what = format!("server {}", server.url);
        let detail = format!("it is the edge itself ({key} {address}): requests would come back to it");
        Some(Finding::new(what, State::Problem, detail))
    });
    itself.collect()
}

/// Whether who connects to `place` may reach who listens on `address`.
fn leads_to(place: SocketAddr, address: SocketAddr, is_of_host: impl Fn(IpAddr) -> bool) -> bool {
    let (to, at) = (place.ip().to_canonical(), address.ip().to_canonical());
    // Who connects to no address in particular reaches the loopback one.
    let to = match to {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        to => to,
    };
    place.port() == address.port() && (to == at || (takes(at, to) && is_of_host(to)))
}

/// Whether this host has the address: only then the kernel would send from it to itself. Nothing is sent.
fn is_of_host(ip: IpAddr) -> bool {
    let any = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    ip.is_loopback() || from.is_ok_and(|from| from.ip() == ip)
}

/// Redirects to a port at which no listener speaks TLS.
pub(super) fn redirects(config: &Config) -> Vec<Finding> {
    let listeners = config.proxy().map(|proxy| proxy.listeners.as_slice());
    let listeners = listeners.unwrap_or_default();
    let lacks_tls = |port: &u16| {
        !listeners
            .iter()
            .any(|listener| listener.has_tls() && listener.address.port() == *port)
    };
    let astray = listeners.iter().filter_map(|listener| {
        let port = listener.redirect_to_https.filter(lacks_tls)?;
        let what = format!("redirect_to_https of {}", listener.address);
        let detail = format!(
            "it leads to port {port}, and no listener there speaks TLS: a proxy in front of the edge must"
        );
        Some(Finding::new(what, State::Note, detail))
    });
    astray.collect()
}

/// Routes that match less than they seem to.
pub(super) fn routes(config: &Config) -> Vec<Finding> {
    let routes = config.proxy().into_iter().flat_map(|proxy| &proxy.routes);
    let odd = routes.filter_map(|route| {
        let detail = oddity(&route.path)?;
        Some(Finding::new(format!("route {}", route.path), State::Note, detail))
    });
    odd.collect()
}

fn oddity(path: &str) -> Option<String> {
    if path.contains(['<', '>', '"', '`']) {
        return Some("it matches no request: these come percent-encoded".to_owned());
    }
    let above = path.strip_suffix("/*")?;
    let above = if above.is_empty() { "/" } else { above };
    Some(format!(
        "`*` has no special meaning there; `{above}` is for that path and all below it"
    ))
}

/// Returns what keeps a file from being read. Only a regular one is opened: a FIFO might wait for ever.
pub(super) fn unreadable(file: &Path) -> Option<io::Error> {
    let opened = fs::metadata(file).and_then(|metadata| match metadata.is_file() {
        true => File::open(file).map(drop),
        false => Err(io::Error::other("it is not a regular file")),
    });
    opened.err()
}

/// Certificates, keys and error pages that can be read, and not used.
pub(super) fn unusable(config: &Config) -> Vec<Finding> {
    let Some(proxy) = config.proxy() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let certificates = proxy.listeners.iter().flat_map(|listener| &listener.certificates);
    for files in certificates {
        let is_there = unreadable(&files.certificate).is_none() && unreadable(&files.key).is_none();
        if is_there && let Err(error) = ServerTls::new(slice::from_ref(files), &[]) {
            let what = files.certificate.display().to_string();
            findings.push(Finding::new(what, State::Problem, format!("{error:#}")));
        }
    }
    for page in proxy.error_pages.values() {
        if unreadable(page).is_none()
            && let Err(error) = check_page(page)
        {
            let what = page.display().to_string();
            findings.push(Finding::new(what, State::Problem, format!("{error:#}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        fs::write(&path, format!("enforcement = \"l7\"\n{text}")).unwrap();
        Config::load(&path).unwrap()
    }

    #[test]
    fn addresses_that_no_two_can_listen_on_are_known() {
        for (one, other, expected) in [
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "0.0.0.0:81", false),
            ("0.0.0.0:0", "[::]:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_server_that_is_the_edge_itself_is_known_by_every_name() {
        let is_of_host = |ip: IpAddr| ip.is_loopback() || ip.to_string() == "192.0.2.10";
        for (place, address, expected) in [
            ("192.0.2.10:80", "0.0.0.0:80", true),
            ("192.0.2.10:80", "[::]:80", true),
            ("192.0.2.11:80", "0.0.0.0:80", false),
            ("192.0.2.10:81", "0.0.0.0:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "192.0.2.10:80", false),
            ("127.1.2.3:80", "0.0.0.0:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
        ] {
            let (place, address) = (place.parse().unwrap(), address.parse().unwrap());
            assert_eq!(
                leads_to(place, address, is_of_host),
                expected,
                "{place} {address}"
            );
        }
        assert!(super::is_of_host(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        // RFC 5737: no host has it.
        assert!(!super::is_of_host("192.0.2.77".parse().unwrap()));
        let found = loops(&config(
            "api_listen = \"127.0.0.1:18099\"\n[proxy]\nlisten = \"127.0.0.1:18080\"\nupstream = \"http://localhost:18099\"\n",
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].state == State::Problem && found[0].detail.contains("(api_listen 127.0.0.1:18099)"),
            "{found:?}"
        );
    }

    #[test]
    fn routes_and_redirects_that_lead_astray_are_noted() {
        let config = config(
            "[proxy]\n[[proxy.upstream]]\nname = \"a\"\nservers = [\"http://127.0.0.1:9\"]\n\
            [[proxy.route]]\nupstream = \"a\"\n[[proxy.route]]\npath = \"/api/*\"\nupstream = \"a\"\n\
            [[proxy.route]]\npath = \"/a<b\"\nupstream = \"a\"\n\
            [[proxy.listener]]\naddress = \"127.0.0.1:80\"\nredirect_to_https = true\n",
        );
        let found = [routes(&config), redirects(&config)].concat();
        let said: Vec<_> = found
            .iter()
            .map(|finding| format!("{} {}: {}", finding.state.word(), finding.what, finding.detail))
            .collect();
        for part in [
            "note route /api/*: `*` has no special meaning there; `/api` is for that path",
            "note route /a<b: it matches no request",
            "note redirect_to_https of 127.0.0.1:80: it leads to port 443",
        ] {
            assert!(said.iter().any(|said| said.starts_with(part)), "{said:?}");
        }
        assert_eq!(said.len(), 3, "{said:?}");
    }

    #[test]
    fn files_that_the_daemon_could_not_use_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let certificate = write("crt", &own.cert.pem());
        let (key, wrong) = (
            write("key", &own.signing_key.serialize_pem()),
            write("wrong", &other.signing_key.serialize_pem()),
        );
        let large = write("large", &"x".repeat(2 * 1024 * 1024));
        for (key, page, expected) in [
            (&key, &certificate, None),
            (&wrong, &certificate, Some("does not go with certificate")),
            (&certificate, &certificate, Some("reading key")),
            (&key, &large, Some("are allowed")),
        ] {
            let found = unusable(&config(&format!(
                "[proxy]\nupstream = \"http://127.0.0.1:9\"\nerror_pages = {{ 502 = \"{page}\" }}\n\
                [[proxy.listener]]\naddress = \"127.0.0.1:443\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
            )));
            let details: Vec<_> = found.iter().map(|finding| finding.detail.as_str()).collect();
            match expected {
                None => assert!(details.is_empty(), "{details:?}"),
                Some(part) => assert!(details.len() == 1 && details[0].contains(part), "{details:?}"),
            }
        }
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [fifo.as_path(), folder.path()] {
            let error = unreadable(path).unwrap();
            assert_eq!(error.to_string(), "it is not a regular file");
            assert!(check_page(path).is_err());
        }
    }
}
