//! Proxies between the clients and the edge, and a site's own web server that asks the edge: Debian's nginx, HAProxy and
//! Caddy.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::Type;
use tempfile::TempDir;

use crate::lab::{
    executable::TestProgram,
    fleet::{Family, Fleet, PROXY_PORT},
    netns::{End, Namespace, link},
    nginx::Nginx,
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(10);

/// What [`cdn_keys`] trusts: the visitor's host, which plays the proxy.
pub const CDN: [&str; 2] = ["203.0.113.2", "2001:db8:b:1::2"];

/// Keys of the edge's config that trust the proxy, by the header that is called `header`.
#[must_use]
pub fn cdn_keys(header: &str) -> String {
    let [v4, v6] = CDN;
    format!("trusted_proxies = [\"{v4}\", \"{v6}\"]\nclient_header = \"{header}\"\n")
}

/// Where clients reach the proxy.
#[must_use]
pub fn front(family: Family, port: u16) -> SocketAddr {
    let address: IpAddr = match family {
        Family::V4 => [198, 18, 0, 1].into(),
        Family::V6 => [0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 1].into(),
    };
    SocketAddr::new(address, port)
}

/// Somebody else behind the proxy.
#[must_use]
pub fn neighbour(family: Family) -> IpAddr {
    match family {
        Family::V4 => [198, 51, 100, 9].into(),
        Family::V6 => [0x2001, 0xdb8, 0xa, 9, 0, 0, 0, 9].into(),
    }
}

/// Leads the attacker's host to the visitor's too. On that way it has its own addresses and its neighbour's; with those of
/// IPv6 on the interface itself, neighbour discovery need not wait for a link-local one.
pub fn join_cdn(fleet: &Fleet) {
    link(
        End {
            namespace: &fleet.visitor,
            interface: "to-clients",
            addresses: &["198.18.0.1/24", "2001:db8:d::1/48"],
        },
        End {
            namespace: &fleet.attacker,
            interface: "to-cdn",
            addresses: &[
                "198.18.0.2/24",
                "2001:db8:d:1::2/48",
                &format!("{}/32", neighbour(Family::V4)),
                &format!("{}/128", neighbour(Family::V6)),
                &format!("{}/128", Family::V6.attacker()),
            ],
        },
    );
    fleet
        .visitor
        .ip(&["route", "add", "198.51.100.0/24", "via", "198.18.0.2"]);
    fleet
        .visitor
        .ip(&["-6", "route", "add", "2001:db8:a::/48", "via", "2001:db8:d:1::2"]);
}

/// Where the proxy appends its client to `X-Forwarded-For`.
pub const APPENDS: u16 = 80;
/// Where it appends it to `Forwarded`.
pub const FORWARDED: u16 = 81;
/// Where it sets `CF-Connecting-IP` and leaves other headers as they are.
pub const SETS: u16 = 82;
/// Where it does not tell.
pub const HIDES: u16 = 83;

/// An nginx on the visitor's host that passes on to the edge.
#[must_use]
pub fn nginx_cdn(fleet: &Fleet) -> Nginx {
    let ways = [
        (APPENDS, "X-Forwarded-For $proxy_add_x_forwarded_for"),
        (FORWARDED, "Forwarded \"$http_forwarded, $forwarded_element\""),
        (SETS, "CF-Connecting-IP $remote_addr"),
        (HIDES, "X-Forwarded-For \"$http_x_forwarded_for, unknown\""),
    ];
    let mut http = r#"
        map $remote_addr $forwarded_element {
            ~^[0-9.]+$ "for=$remote_addr;proto=http";
            default "proto=http;for=\"[$remote_addr]:$remote_port\"";
        }"#
    .to_owned();
    for family in Family::BOTH {
        for (port, header) in ways {
            let (listen, edge) = (front(family, port), family.edge_for_visitor());
            http += &format!(
                "server {{ listen {listen}; location / {{ proxy_pass http://{edge}; proxy_set_header {header}; }} }}\n"
            );
        }
    }
    Nginx::serving(&fleet.visitor, front(Family::V6, HIDES), &http)
}

/// A program in a namespace with a config in a folder of its own.
#[derive(Debug)]
pub struct Server {
    // Dropped in this order: the process before its folder.
    pub daemon: Daemon,
    folder: TempDir,
}

impl Server {
    /// Starts `program` with its config, `text`, in a file of this `name`, and waits until it listens on `address`.
    fn start(
        namespace: &Namespace,
        program: TestProgram,
        arguments: &[&str],
        (name, text): (&str, &str),
        address: SocketAddr,
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-server-")
            .tempdir()
            .expect("making a folder for a server");
        let config = folder.path().join(name);
        fs::write(&config, text).expect("writing a server's config");
        let mut command = namespace.command(program);
        command
            .args(arguments)
            .arg(&config)
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path());
        let daemon = Daemon::spawn(program.name(), &mut command);
        let server = Self { daemon, folder };
        wait_until(&format!("{} accepts connections", program.name()), START, || {
            let socket = namespace.socket(address.ip(), Type::STREAM);
            socket
                .connect_timeout(&address.into(), Duration::from_secs(1))
                .is_ok()
        });
        server
    }

    /// Where it may write.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// A HAProxy on the visitor's host that passes connections on to the edge behind a PROXY header: of version 1 over IPv4, of
/// version 2 over IPv6. It asks after the edge's health too, which over version 2 is a `LOCAL` header.
#[must_use]
pub fn haproxy_cdn(fleet: &Fleet) -> Server {
    let mut config =
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n".to_owned();
    for (family, send) in [
        (Family::V4, "send-proxy check check-send-proxy inter 200ms"),
        (Family::V6, "send-proxy-v2 check check-send-proxy inter 200ms"),
    ] {
        let (bind, edge) = (front(family, APPENDS), family.edge_for_visitor());
        config +=
            &format!("listen {family:?}\n bind {bind}\n option httpchk GET /\n server edge {edge} {send}\n");
    }
    let address = front(Family::V6, APPENDS);
    Server::start(
        &fleet.visitor,
        TestProgram::Haproxy,
        &["-db", "-f"],
        ("haproxy.cfg", &config),
        address,
    )
}

/// Where the edge answers `/authz`.
pub const AUTHZ: &str = "127.0.0.1:8081";
/// Where the site's own nginx listens.
pub const OWN_NGINX: u16 = 8090;
/// Where the site's own Caddy does.
pub const OWN_CADDY: u16 = 8091;

/// An nginx on the edge's host that asks the edge about each client, as in docs/authz.md.
#[must_use]
pub fn nginx_with_authz(fleet: &Fleet) -> Nginx {
    let app = fleet.nginx.address();
    let http = format!(
        r#"server {{
            listen [::]:{OWN_NGINX} ipv6only=off;
            location / {{
                auth_request /secbeat;
                proxy_pass http://{app};
            }}
            location = /secbeat {{
                internal;
                proxy_pass http://{AUTHZ}/authz;
                proxy_pass_request_body off;
                proxy_pass_request_headers off;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_connect_timeout 1s;
                proxy_read_timeout 1s;
                error_page 502 504 = @unasked;
            }}
            location @unasked {{ return 204; }}
        }}"#
    );
    let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), OWN_NGINX);
    Nginx::serving(&fleet.host, address, &http)
}

/// A Caddy on the edge's host that does.
#[must_use]
pub fn caddy_with_authz(fleet: &Fleet) -> Server {
    let app = fleet.nginx.address();
    let config = format!(
        "{{\n admin off\n auto_https off\n}}\n:{OWN_CADDY} {{\n forward_auth {AUTHZ} {{\n  uri /authz\n }}\n \
         reverse_proxy {app}\n handle_errors {{\n  @unasked expression {{http.error.status_code}} == 502\n  \
         reverse_proxy @unasked {app}\n }}\n}}\n"
    );
    let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), OWN_CADDY);
    let arguments = ["run", "--adapter", "caddyfile", "--config"];
    Server::start(
        &fleet.host,
        TestProgram::Caddy,
        &arguments,
        ("Caddyfile", &config),
        address,
    )
}

/// Where the attacker reaches a server on the edge's host.
#[must_use]
pub fn own(family: Family, port: u16) -> SocketAddr {
    let mut address = family.edge_for_attacker();
    debug_assert_eq!(address.port(), PROXY_PORT);
    address.set_port(port);
    address
}
