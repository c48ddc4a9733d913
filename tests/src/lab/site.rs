//! Web servers from Debian that serve clients themselves, with nothing in front of them: what they write is what the edge reads.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::lab::{
    client::Client,
    executable::{TestFile, file},
    netns::Namespace,
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);

/// The folder of a web server, which may be there before the server.
#[derive(Debug)]
pub struct SiteFolder {
    folder: TempDir,
}

impl SiteFolder {
    /// A folder in which a server that gave up root finds a page.
    #[must_use]
    pub fn new(server: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("secbeat-{server}-"))
            .tempdir()
            .expect("making a folder for a web server");
        let pages = folder.path().join("www");
        fs::create_dir(&pages).expect("making a folder for pages");
        fs::write(pages.join("index.html"), "hello\n").expect("writing a page");
        for path in [folder.path(), &pages] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("opening a folder to all");
        }
        Self { folder }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The server's access log.
    #[must_use]
    pub fn access_log(&self) -> PathBuf {
        self.path().join("access.log")
    }

    /// The audit log of its firewall, if it has one.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.path().join("audit.json")
    }

    /// The folder of its pages: one, `/`.
    #[must_use]
    pub fn pages(&self) -> PathBuf {
        self.path().join("www")
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("writing a web server's config");
        path
    }
}

/// Whether a web application firewall looks at the requests: `ModSecurity` with the OWASP Core Rule Set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    Absent,
    Blocking,
    /// It lets everything pass.
    Detecting,
}

/// What a firewall is told, but for where its own recommended settings are.
pub(super) fn firewall_rules(firewall: Firewall, recommended: TestFile, folder: &SiteFolder) -> String {
    let engine = match firewall {
        Firewall::Absent => return String::new(),
        Firewall::Blocking => "On",
        Firewall::Detecting => "DetectionOnly",
    };
    format!(
        "Include {}\n\
         SecRuleEngine {engine}\n\
         SecAuditLogFormat JSON\n\
         SecAuditLogType Serial\n\
         SecAuditLogParts ABFHZ\n\
         SecAuditLog {}\n\
         Include {}\n\
         Include {}/*.conf\n",
        file(recommended).display(),
        folder.audit_log().display(),
        file(TestFile::CoreRulesSetup).display(),
        file(TestFile::CoreRules).display()
    )
}

/// A server that answers 200 on `/` and 404 on everything else, on one port of all addresses.
#[derive(Debug)]
pub struct Site {
    port: u16,
    daemon: Daemon,
}

impl Site {
    /// Starts it and waits until it answers over both families.
    pub(super) fn start(name: &str, namespace: &Namespace, port: u16, command: &mut Command) -> Self {
        let mut daemon = Daemon::spawn(name, command);
        for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let url = format!("http://{}/", SocketAddr::new(loopback, port));
            wait_until(&format!("{name} answers on {loopback}"), START, || {
                assert!(daemon.is_running(), "{name} ended: {}", daemon.log());
                Client::new(namespace).get(&url).is_ok_and(|status| status == 200)
            });
        }
        Self { port, daemon }
    }

    /// The URL of `path` for a client that reaches the server by `address`.
    #[must_use]
    pub fn url(&self, address: IpAddr, path: &str) -> String {
        format!("http://{}{path}", SocketAddr::new(address, self.port))
    }

    /// Its process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
