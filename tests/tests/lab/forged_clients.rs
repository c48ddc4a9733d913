//! A client writes whatever it can into what real web servers log of it, and is read as itself or not at all.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use secbeat_tests::lab::{
    apache, caddy,
    executable::Executable as _,
    haproxy, lighttpd,
    netns::{End, Namespace, link},
    nginx, paths,
    site::{Firewall, Site, SiteFolder},
    wait::wait_until,
};
use serde_json::Value;
use socket2::Type;

const PORT: u16 = 80;
const SERVER: &str = "198.51.100.1";
/// Who sends every request.
const CLIENT: &str = "198.51.100.2";
/// Who sends none.
const VICTIM: &str = "203.0.113.9";
const SOON: Duration = Duration::from_secs(10);

/// Header lines that put the victim, and what ends fields, where a server may log them.
const FORGED: [&str; 14] = [
    "Host: 203.0.113.9",
    "Host: 203.0.113.9 -",
    "Host: 203.0.113.9 - -",
    "Host: x 203.0.113.9",
    "Host: x 203.0.113.9 -",
    "Host: x, 203.0.113.9",
    "Host: 203.0.113.9:80 203.0.113.9:4711",
    "Host: a\r\nX-Forwarded-For: 203.0.113.9",
    "Host: a\r\nX-Forwarded-For: 203.0.113.9 x",
    "Host: a\r\nX-Forwarded-For: 203.0.113.9 - x",
    "Host: a\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9",
    // `x, 203.0.113.9 - -`
    "Host: a\r\nAuthorization: Basic eCwgMjAzLjAuMTEzLjkgLSAtOnA=",
    // `- [21/Nov/2026:11:06:00 +0100] "GET / HTTP/1.1" 200 1 "-"`
    "Host: a\r\nAuthorization: Basic LSBbMjEvTm92LzIwMjY6MTE6MDY6MDAgKzAxMDBdICJHRVQgLyBIVFRQLzEuMSIgMjAwIDEgIi0iOng=",
    "Host: a\r\nUser-Agent: \" 200 1 \"203.0.113.9\r\nReferer: x\" 200 \\\" 203.0.113.9",
];
/// Request targets that do the same.
const TARGETS: [&str; 3] = [
    "/missing",
    "/a\"%20200%201%20\"203.0.113.9",
    "/\\\"\\\\\"203.0.113.9",
];

fn hosts() -> (Namespace, Namespace) {
    let (server, client) = (Namespace::new("server"), Namespace::new("client"));
    link(
        End {
            namespace: &server,
            interface: "eth0",
            addresses: &["198.51.100.1/24"],
        },
        End {
            namespace: &client,
            interface: "eth0",
            addresses: &["198.51.100.2/24"],
        },
    );
    (server, client)
}

/// Sends a request on a connection of its own, and waits for the server to close it.
fn send(client: &Namespace, request: &str) {
    let address: IpAddr = SERVER.parse().unwrap();
    let socket = client.socket(address, Type::STREAM);
    socket.connect(&SocketAddr::new(address, PORT).into()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut stream: TcpStream = socket.into();
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// The last request's target.
const END: &str = "/the-end";

/// Sends every combination, and one request more.
fn attack(client: &Namespace) {
    for target in TARGETS {
        for headers in FORGED {
            send(
                client,
                &format!("GET {target} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n"),
            );
        }
    }
    send(
        client,
        &format!("GET {END} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    );
}

/// What `explain` reads of each line: the client, or nothing.
fn clients(log: &Path, format: &str) -> Vec<Option<String>> {
    let output = paths::daemon("secbeat-edge")
        .command()
        .args(["explain", "-o", "json", "--format", format])
        .arg(log)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let values = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    values
        .filter(|value| value.get("line").is_some())
        .map(|value| value["client"].as_str().map(str::to_owned))
        .collect()
}

/// Lines of the log, but for those of the lab, which asks whether the server answers.
fn lines(log: &Path) -> Vec<String> {
    let text = fs::read(log).unwrap_or_default();
    let lines = String::from_utf8_lossy(&text).into_owned();
    lines
        .lines()
        .filter(|line| line.contains(CLIENT))
        .map(str::to_owned)
        .collect()
}

/// How much of a log is understood.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    Everything,
    /// The layout leaves open who the client is, so that lines may be refused.
    WhatIsSafe,
}

/// The server's log, read in each of these formats, blames nobody but the client.
fn only_the_client_is_blamed(
    name: &str,
    formats: &[(&str, Reads)],
    start: impl FnOnce(&Namespace, &SiteFolder) -> Site,
) {
    let (server, client) = hosts();
    let folder = SiteFolder::new(name);
    let _site = start(&server, &folder);
    let log = folder.access_log();
    attack(&client);
    let logged = wait_until(&format!("{name} has logged the last request"), SOON, || {
        Some(lines(&log)).filter(|lines| lines.iter().any(|line| line.contains(END)))
    });
    assert!(logged.len() > FORGED.len(), "{name} logged {logged:#?}");
    for (format, reads) in formats {
        let clients = clients(&log, format);
        let blamed = |address| {
            clients
                .iter()
                .flatten()
                .filter(|client| *client == address)
                .count()
        };
        assert_eq!(blamed(VICTIM), 0, "{name} read as {format} blames the victim");
        if *reads == Reads::Everything {
            assert_eq!(
                blamed(CLIENT),
                logged.len(),
                "{name} read as {format} misses requests"
            );
        }
    }
}

/// The server's config that `explain --suggest` prints, with this log; and the format to read it in.
fn suggested(server: &str, log: &Path) -> (String, String) {
    let output = paths::daemon("secbeat-edge")
        .command()
        .args(["explain", "-o", "json", "--suggest", server])
        .output()
        .unwrap();
    let suggestion: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |key: &str| suggestion[key].as_str().unwrap().to_owned();
    let config = text("config").replace(&text("path"), log.to_str().unwrap());
    (config, text("format"))
}

#[test]
fn nginx() {
    only_the_client_is_blamed(
        "nginx",
        &[("combined", Reads::Everything), ("auto", Reads::WhatIsSafe)],
        |host, folder| nginx::start_site(host, PORT, folder, Firewall::Absent),
    );
}

fn nginx_logging(layout: &str, formats: &[(&str, Reads)]) {
    only_the_client_is_blamed("nginx", formats, |host, folder| {
        let logging = format!(
            "log_format own '{layout}'; access_log {} own;",
            folder.access_log().display()
        );
        nginx::start_site_logging(host, PORT, folder, Firewall::Absent, &logging)
    });
}

#[test]
fn nginx_with_the_host_first() {
    nginx_logging(
        r#"$http_host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
        &[("auto", Reads::WhatIsSafe), ("combined", Reads::WhatIsSafe)],
    );
}

#[test]
fn nginx_with_what_was_forwarded_first() {
    nginx_logging(
        r#"$proxy_add_x_forwarded_for - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
        &[("auto", Reads::WhatIsSafe)],
    );
}

#[test]
fn nginx_with_what_was_forwarded_second() {
    nginx_logging(
        r#"$remote_addr $http_x_forwarded_for - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
        &[("auto", Reads::WhatIsSafe)],
    );
}

#[test]
fn apache() {
    only_the_client_is_blamed(
        "apache",
        &[("combined", Reads::Everything), ("auto", Reads::Everything)],
        |host, folder| apache::start(host, PORT, folder, Firewall::Absent),
    );
}

#[test]
fn lighttpd() {
    only_the_client_is_blamed("lighttpd", &[("auto", Reads::WhatIsSafe)], |host, folder| {
        lighttpd::start(host, PORT, folder, None)
    });
}

#[test]
fn caddy() {
    only_the_client_is_blamed(
        "caddy",
        &[("caddy-json", Reads::Everything), ("auto", Reads::Everything)],
        |host, folder| caddy::start(host, PORT, folder),
    );
}

#[test]
fn haproxy() {
    only_the_client_is_blamed(
        "haproxy",
        &[("haproxy", Reads::Everything), ("auto", Reads::Everything)],
        |host, folder| haproxy::start(host, PORT, folder),
    );
}

#[test]
fn what_is_suggested_for_nginx() {
    only_the_client_is_blamed("nginx", &[("nginx-json", Reads::Everything)], |host, folder| {
        let (config, format) = suggested("nginx", &folder.access_log());
        assert_eq!(format, "nginx-json");
        nginx::start_site_logging(host, PORT, folder, Firewall::Absent, &config)
    });
}

#[test]
fn what_is_suggested_for_apache() {
    only_the_client_is_blamed("apache", &[("combined", Reads::Everything)], |host, folder| {
        let (config, format) = suggested("apache", &folder.access_log());
        assert_eq!(format, "combined");
        apache::start_logging(host, PORT, folder, Firewall::Absent, &config)
    });
}

#[test]
fn what_is_suggested_for_lighttpd() {
    only_the_client_is_blamed("lighttpd", &[("combined", Reads::Everything)], |host, folder| {
        let (config, format) = suggested("lighttpd", &folder.access_log());
        assert_eq!(format, "combined");
        lighttpd::start(host, PORT, folder, Some(&config))
    });
}
