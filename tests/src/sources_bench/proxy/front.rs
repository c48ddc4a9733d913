//! What is compared: the edge's proxy and nginx as a proxy, with the same certificate, before the same nginx.

use std::{
    fs::{self, File, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::generate_simple_self_signed;
use socket2::Type;
use tempfile::TempDir;

use crate::{
    lab::{
        executable::Program,
        fleet::{Family, Fleet, PROXY_PORT},
        nginx::Nginx,
        process::Daemon,
        wait::wait_until,
    },
    sources_bench::telemetry::patient_fleet,
};

/// Bytes of a large download.
pub(super) const LARGE: u64 = 1024 * 1024 * 1024;
/// Where the edge takes TLS.
const TLS_PORT: u16 = 8445;
/// Where nginx listens on the edge's host.
const PEER_PORT: u16 = 8444;
/// Where it takes TLS.
const PEER_TLS_PORT: u16 = 8446;
/// Connections that each may have.
const MAX_CONNECTIONS: u32 = 16_384;
const START: Duration = Duration::from_secs(10);

/// A proxy that is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    /// Its first process.
    pub(super) pid: u32,
}

/// Both proxies and what is behind them.
pub(super) struct Fronts {
    // Dropped in this order: who asks before who answers.
    peer: Peer,
    pub(super) fleet: Fleet,
    _server: Nginx,
    _folder: TempDir,
}

impl Fronts {
    pub(super) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-fronts-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("making a folder for a site");
        certify(folder.path());
        let mut fleet = patient_fleet("");
        let server = serve(&fleet, folder.path());
        let before = format!(
            "listen = \"[::]:{PROXY_PORT}\"\nupstream = \"http://{}\"\n",
            fleet.nginx.address()
        );
        fleet.reconfigure_edge(&before, &ours(folder.path(), server.address()));
        fleet.kill_edge();
        fleet.restart_edge();
        let peer = Peer::start(&fleet, &theirs(folder.path(), server.address()));
        Self {
            peer,
            fleet,
            _server: server,
            _folder: folder,
        }
    }

    /// The edge's proxy, and nginx.
    pub(super) fn both(&self) -> [Front; 2] {
        let front = |plain, tls, pid| Front {
            plain: at(plain),
            tls: at(tls),
            pid,
        };
        [
            front(PROXY_PORT, TLS_PORT, self.fleet.edge.pid()),
            front(PEER_PORT, PEER_TLS_PORT, self.peer.0.pid()),
        ]
    }
}

/// nginx as a proxy.
struct Peer(Daemon);

impl Drop for Peer {
    /// Killed, the master would leave its workers behind.
    fn drop(&mut self) {
        self.0.signal(libc::SIGTERM);
        wait_until("nginx ends", START, || !self.0.is_running());
    }
}

impl Peer {
    fn start(fleet: &Fleet, config: &Path) -> Self {
        let mut command = fleet.host.command(Program::Nginx);
        command.arg("-p").arg(config.with_file_name(""));
        command.arg("-c").arg(config).args(["-e", "error.log"]);
        let daemon = Daemon::spawn("nginx", &mut command);
        wait_until("the peer accepts connections", START, || {
            let address = at(PEER_TLS_PORT);
            let socket = fleet.host.socket(address.ip(), Type::STREAM);
            socket
                .connect_timeout(&address.into(), Duration::from_secs(1))
                .is_ok()
        });
        Self(daemon)
    }
}

/// Where the visitor reaches a port of the edge's host.
fn at(port: u16) -> SocketAddr {
    SocketAddr::new(Family::V4.edge_for_visitor().ip(), port)
}

/// Writes a certificate that both use, of the kind that authorities issue by default.
fn certify(folder: &Path) {
    let made = generate_simple_self_signed(["secbeat.test".to_owned()]).expect("a certificate");
    fs::write(folder.join("site.pem"), made.cert.pem()).expect("writing a certificate");
    fs::write(folder.join("site.key"), made.signing_key.serialize_pem()).expect("writing a key");
}

/// The server behind both.
fn serve(fleet: &Fleet, folder: &Path) -> Nginx {
    let large = File::create(folder.join("large")).expect("making a file");
    large.set_len(LARGE).expect("making a large file");
    let address = SocketAddr::from(([127, 0, 0, 1], fleet.host.free_port([127, 0, 0, 1].into())));
    let site = format!(
        r#"server {{
        listen {address} backlog=1024;
        location = / {{ return 200 "hello\n"; }}
        location = /large {{ root {}; }}
    }}"#,
        folder.display()
    );
    Nginx::serving(&fleet.host, address, &site)
}

/// The edge's `[proxy]`.
fn ours(folder: &Path, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        r#"upstream = "http://{upstream}"
max_connections = {MAX_CONNECTIONS}
max_connections_per_source = {MAX_CONNECTIONS}
[[proxy.listener]]
address = "[::]:{PROXY_PORT}"
[[proxy.listener]]
address = "[::]:{TLS_PORT}"
certificate = "{folder}/site.pem"
key = "{folder}/site.key"
"#
    )
}

/// Writes nginx' config: as Debian has it, but that connections are kept, on both sides, and downloads do not go by way of a file.
fn theirs(folder: &Path, upstream: SocketAddr) -> PathBuf {
    let config = folder.join("nginx.conf");
    let text = format!(
        r#"daemon off;
worker_processes auto;
worker_rlimit_nofile {files};
user root;
pid nginx.pid;
error_log error.log;
events {{ worker_connections {MAX_CONNECTIONS}; }}
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
        listen {plain} backlog=4096;
        listen {tls} ssl http2 backlog=4096;
        ssl_certificate site.pem;
        ssl_certificate_key site.key;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
}}
"#,
        files = 4 * MAX_CONNECTIONS,
        plain = at(PEER_PORT),
        tls = at(PEER_TLS_PORT),
    );
    fs::write(&config, text).expect("writing nginx.conf");
    config
}
