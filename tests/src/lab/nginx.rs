//! Debian's nginx: as the application behind the edge, and as a server of its own with its `combined` log.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    time::Duration,
};

use socket2::Type;
use tempfile::TempDir;

use crate::lab::{
    executable::{Program, TestFile, file},
    netns::Namespace,
    process::Daemon,
    site::{Firewall, Site, SiteFolder, firewall_rules},
    wait::wait_until,
};

const START: Duration = Duration::from_secs(10);
/// `nobody` of every Linux.
const NOBODY: u32 = 65534;

/// An nginx; unless told otherwise, it answers 200 on `/` and `/login`, 500 on `/boom` and 404 on everything else.
#[derive(Debug)]
pub struct Nginx {
    address: SocketAddr,
    // Dropped in this order: the process before its folder.
    daemon: Daemon,
    folder: TempDir,
}

impl Nginx {
    /// Starts one in `namespace`, with everything that it writes in a folder of its own. Port 0 means a free one.
    #[must_use]
    pub fn start(namespace: &Namespace, mut address: SocketAddr) -> Self {
        if address.port() == 0 {
            address.set_port(namespace.free_port(address.ip()));
        }
        let families = if address.ip().is_unspecified() && address.is_ipv6() {
            "ipv6only=off"
        } else {
            ""
        };
        let listen = format!("{address} backlog=1024 {families}");
        let site = r#"
            location = / { return 200 "hello\n"; }
            location = /login { return 200 "welcome\n"; }
            location = /boom { return 500 "boom\n"; }
            location / { return 404 "no such page\n"; }"#;
        Self::serving(
            namespace,
            address,
            &format!("server {{ listen {listen}; {site} }}"),
        )
    }

    /// Starts one in `namespace` with `http`, what stands in that block of its config; it has to listen on `address`.
    #[must_use]
    pub fn serving(namespace: &Namespace, address: SocketAddr, http: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-nginx-")
            .tempdir()
            .expect("making a folder for nginx");
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(http)).expect("writing nginx.conf");
        let mut command = namespace.command(Program::Nginx);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .args(["-e", "error.log"]);
        let daemon = Daemon::spawn("nginx", &mut command);
        let nginx = Self {
            address,
            daemon,
            folder,
        };
        wait_until("nginx accepts connections", START, || {
            let socket = namespace.socket(address.ip(), Type::STREAM);
            // To the unspecified address is to this host.
            socket
                .connect_timeout(&address.into(), Duration::from_secs(1))
                .is_ok()
        });
        // As where its workers are not root: only a privileged reader gets at its log.
        let log = nginx.combined_log();
        wait_until("nginx has opened its log", START, || log.exists());
        chown(&log, Some(NOBODY), Some(NOBODY)).expect("giving the log away");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).expect("closing the log to others");
        nginx
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, to kill it.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Its other access log, in the format `combined`, which only its owner may read.
    #[must_use]
    pub fn combined_log(&self) -> PathBuf {
        self.folder.path().join("combined.log")
    }

    /// Its access log so far: `ADDRESS STATUS "REQUEST" X-FORWARDED-FOR` a line.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }
}

/// Starts one in `namespace` on `port` that serves clients itself, with its `combined` log.
#[must_use]
pub fn start_site(namespace: &Namespace, port: u16, folder: &SiteFolder, firewall: Firewall) -> Site {
    let logging = format!("access_log {} combined;", folder.access_log().display());
    start_site_logging(namespace, port, folder, firewall, &logging)
}

/// As [`start_site`], with `logging` of its `http` block.
#[must_use]
pub fn start_site_logging(
    namespace: &Namespace,
    port: u16,
    folder: &SiteFolder,
    firewall: Firewall,
    logging: &str,
) -> Site {
    let rules = firewall_rules(firewall, TestFile::ModsecurityInNginxDefaults, folder);
    let rules = folder.write("modsecurity.conf", &rules);
    let (module, switch) = match firewall {
        Firewall::Absent => (String::new(), String::new()),
        Firewall::Blocking | Firewall::Detecting => (
            format!("load_module {};", file(TestFile::ModsecurityInNginx).display()),
            format!("modsecurity on; modsecurity_rules_file {};", rules.display()),
        ),
    };
    let config = format!(
        r#"{module}
daemon off;
master_process off;
user root;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 1024; }}
http {{
    {logging}
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000;
    {switch}
    server {{
        listen 0.0.0.0:{port};
        listen [::]:{port} ipv6only=on;
        root {pages};
    }}
}}
"#,
        pages = folder.pages().display(),
    );
    let config = folder.write("nginx.conf", &config);
    let mut command = namespace.command(Program::Nginx);
    command
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(config)
        .args(["-e", "error.log"]);
    Site::start("nginx", namespace, port, &mut command)
}

fn configuration(http: &str) -> String {
    format!(
        r#"daemon off;
master_process off;
worker_processes 1;
user root;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    log_format short '$remote_addr $status "$request" $http_x_forwarded_for';
    access_log access.log short;
    access_log combined.log combined;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000;
    default_type text/plain;
    {http}
}}
"#
    )
}
