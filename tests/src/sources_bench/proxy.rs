//! The proxy beside nginx as a proxy: the same server behind both, small answers, kept connections, wrk's requests a second
//! and 99th percentile in turns. Both have a worker for each of the host's cores, both tell the server who asked, neither
//! writes an access log; ours reports every answer.

use std::{fs, net::SocketAddr, process::Output, time::Duration};

use socket2::Type;
use tempfile::TempDir;

use super::{
    Options,
    outcome::{Outcome, Row},
    telemetry::patient_fleet,
};
use crate::{
    bench::{
        demand::{Demand, Limit},
        report::Missing,
    },
    lab::{
        executable::{Program, TestProgram},
        fleet::{Family, Fleet},
        process::Daemon,
        wait::wait_until,
    },
};

/// Connections that wrk keeps open.
const CONNECTIONS: u32 = 32;
/// Seconds of one measurement.
const SECONDS: u32 = 4;
/// Where nginx listens on the edge's host.
const PEER_PORT: u16 = 8444;
/// Part of nginx' throughput.
const AT_LEAST: f64 = 0.8;
/// Times nginx' 99th percentile.
const AT_MOST: f64 = 1.5;

/// nginx as a proxy.
struct Peer {
    // Dropped in this order: the process before its folder.
    daemon: Daemon,
    _folder: TempDir,
}

impl Drop for Peer {
    /// Killed, the master would leave its workers behind.
    fn drop(&mut self) {
        self.daemon.signal(libc::SIGTERM);
        wait_until("nginx ends", Duration::from_secs(10), || {
            !self.daemon.is_running()
        });
    }
}

impl Peer {
    fn start(fleet: &Fleet, address: SocketAddr) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-peer-")
            .tempdir()
            .expect("making a folder for nginx");
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(address, fleet.nginx.address())).expect("writing nginx.conf");
        let mut command = fleet.host.command(Program::Nginx);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
        let daemon = Daemon::spawn("nginx", command.args(["-e", "error.log"]));
        wait_until("the peer accepts connections", Duration::from_secs(10), || {
            let socket = fleet.host.socket(address.ip(), Type::STREAM);
            socket
                .connect_timeout(&address.into(), Duration::from_secs(1))
                .is_ok()
        });
        Self {
            daemon,
            _folder: folder,
        }
    }
}

fn configuration(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"daemon off;
worker_processes auto;
user root;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    upstream app {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
}}
"#
    )
}

/// What wrk says: requests a second, and milliseconds at the 99th percentile.
fn wrk(fleet: &Fleet, at: SocketAddr) -> Result<[f64; 2], Missing> {
    let output = fleet
        .visitor
        .command(TestProgram::Wrk)
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{SECONDS}s"), "--latency"])
        .arg(format!("http://{at}/"))
        .output()
        .map_err(|error| Missing::Failed(format!("wrk: {error}")))?;
    figures(&output).ok_or_else(|| Missing::Failed(format!("wrk says {output:?}")))
}

fn figures(output: &Output) -> Option<[f64; 2]> {
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label));
    let rate = after("Requests/sec:")?.trim().parse().ok()?;
    Some([rate, milliseconds(after("99%")?.trim())?])
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|char: char| char.is_ascii_alphabetic())?);
    let number: f64 = number.parse().ok()?;
    match unit {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        _ => None,
    }
}

/// Measures both, in turns.
pub(super) fn measure(options: Options) -> Outcome {
    let row =
        |what: &str, unit| ["secbeat-edge", "nginx"].map(|who| Row::new(format!("proxy {who}{what}"), unit));
    let mut rates = row("", "requests/s");
    let mut latencies = row(", 99th percentile", "ms");
    let fleet = patient_fleet("");
    let ours = Family::V4.edge_for_visitor();
    let theirs = SocketAddr::new(ours.ip(), PEER_PORT);
    let _peer = Peer::start(&fleet, theirs);
    let warmed = [ours, theirs]
        .into_iter()
        .try_for_each(|at| wrk(&fleet, at).map(drop));
    'rounds: for round in 0..options.rounds {
        // Whoever goes first goes last in the next round.
        for n in 0..2 {
            let which = (n + round) % 2;
            let at = [ours, theirs][which];
            match warmed.clone().and_then(|()| wrk(&fleet, at)) {
                Ok([rate, latency]) => {
                    rates[which].rounds.push(rate);
                    latencies[which].rounds.push(latency);
                }
                Err(missing) => {
                    rates[which].missing = Some(missing.clone());
                    latencies[which].missing = Some(missing);
                    break 'rounds;
                }
            }
        }
    }
    let demands = vec![
        Demand::ratio(&rates[0], &rates[1], Limit::AtLeast(AT_LEAST), None),
        Demand::ratio(&latencies[0], &latencies[1], Limit::AtMost(AT_MOST), None),
    ];
    Outcome {
        rows: rates.into_iter().chain(latencies).collect(),
        demands,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit() {
        let times = ["12.50us", "3.00ms", "1.20s", "3", "3m"].map(milliseconds);
        assert_eq!(times, [Some(0.0125), Some(3.0), Some(1200.0), None, None]);
    }
}
