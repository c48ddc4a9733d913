//! Pebble, Let's Encrypt's server for tests of ACME clients, with a name server for which every name is this host.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::lab::{executable::TestProgram, netns::Namespace, process::Daemon, wait::wait_until};

const START: Duration = Duration::from_secs(20);

/// How it behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long its certificates live, in seconds.
    pub life: u64,
    /// Percentage of good nonces that it refuses.
    pub refused_nonces: u8,
    /// Whether it takes its time for validations: up to 15 s.
    pub is_slow: bool,
    /// The identifier and the key, in base64url, that new accounts must be bound to.
    pub external_account: Option<(&'static str, &'static str)>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            life: 90 * 24 * 3600,
            refused_nonces: 0,
            is_slow: false,
            external_account: None,
        }
    }
}

/// A certificate authority. It validates at the ports 80 and 443, as those on the internet do.
#[derive(Debug)]
pub struct Pebble {
    namespace: Namespace,
    daemon: Daemon,
    _names: Daemon,
    folder: TempDir,
}

impl Pebble {
    /// The URL of its directory.
    pub const DIRECTORY: &'static str = "https://127.0.0.1:14000/dir";

    /// Starts one in `namespace`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(namespace: &Namespace, manners: Manners) -> Self {
        let folder = tempfile::tempdir().expect("making a folder");
        certify(folder.path());
        let (bound, keys) = match manners.external_account {
            Some((kid, key)) => (true, format!("\"{kid}\": \"{key}\"")),
            None => (false, String::new()),
        };
        let config = format!(
            r#"{{"pebble": {{
                "listenAddress": "127.0.0.1:14000",
                "managementListenAddress": "127.0.0.1:15000",
                "certificate": "{folder}/server.pem",
                "privateKey": "{folder}/server.key",
                "httpPort": 80,
                "tlsPort": 443,
                "externalAccountBindingRequired": {bound},
                "externalAccountMACKeys": {{{keys}}},
                "certificateValidityPeriod": {}
            }}}}"#,
            manners.life,
            folder = folder.path().display(),
        );
        fs::write(folder.path().join("pebble.json"), config).expect("writing a config");
        let mut names = namespace.command(TestProgram::PebbleNames);
        names.args([
            "-dns01",
            "127.0.0.1:8053",
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
        ]);
        names.args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-management",
            "127.0.0.1:8055",
        ]);
        let names = Daemon::spawn("pebble-challtestsrv", &mut names);
        let mut command = namespace.command(TestProgram::Pebble);
        command
            .args(["-dnsserver", "127.0.0.1:8053", "-config"])
            .arg(folder.path().join("pebble.json"))
            .env("PEBBLE_WFE_NONCEREJECT", manners.refused_nonces.to_string())
            // Each order is validated.
            .env("PEBBLE_AUTHZREUSE", "0");
        if !manners.is_slow {
            command.env("PEBBLE_VA_NOSLEEP", "1");
        }
        let mut daemon = Daemon::spawn("pebble", &mut command);
        daemon.wait_for_log("ACME directory available", START);
        let pebble = Self {
            namespace: namespace.clone(),
            daemon,
            _names: names,
            folder,
        };
        let root = wait_until("pebble shows its root", START, || {
            let root = "https://127.0.0.1:15000/roots/0";
            let output = curl(namespace, &["--cacert", path(&pebble.ca_file()), root]);
            output.status.success().then_some(output.stdout)
        });
        fs::write(pebble.root(), root).expect("writing a certificate");
        pebble
    }

    /// Who vouches for the server of its directory.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root of the certificates that it issues.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Its process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Orders that it was asked for, refused ones among them.
    #[must_use]
    pub fn orders(&self) -> usize {
        self.daemon.log().matches("POST /order-plz -> calling").count()
    }

    /// Certificates that it issued.
    #[must_use]
    pub fn issued(&self) -> usize {
        self.daemon.log().matches("Issued certificate serial").count()
    }

    /// GETs `/` of `name` at this host by TLS, as a client that trusts the certificates that this one issues.
    #[must_use]
    pub fn visit(&self, name: &str) -> Visit {
        visit(&self.namespace, &self.root(), name)
    }
}

/// GETs `/` of `name` at a namespace's host by TLS, as a client that trusts the certificates that `root` vouches for.
#[must_use]
pub fn visit(namespace: &Namespace, root: &Path, name: &str) -> Visit {
    let output = curl(
        namespace,
        &[
            "--cacert",
            path(root),
            "--resolve",
            &format!("{name}:443:127.0.0.1"),
            "--verbose",
            &format!("https://{name}/"),
        ],
    );
    Visit {
        answered: output.status.success(),
        code: output.status.code(),
        said: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

fn curl(namespace: &Namespace, arguments: &[&str]) -> Output {
    let mut command = namespace.command(TestProgram::Curl);
    command.args(["--silent", "--show-error", "--max-time", "10"]);
    command.args(arguments).output().expect("running curl")
}

/// What became of a client's visit.
#[derive(Debug)]
pub struct Visit {
    /// Whether the certificate was right, and there was an answer.
    pub answered: bool,
    /// curl's.
    pub code: Option<i32>,
    pub said: String,
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Writes an authority, and the certificate and the key of a server on loopback.
pub(super) fn certify(folder: &Path) {
    let mut authority = CertificateParams::new([]).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // One of the same name as its own would be taken for the server's certificate.
    authority
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    let key = KeyPair::generate().expect("a key");
    let root = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names");
    let server = params.signed_by(&key, &issuer).expect("a certificate");
    for (name, text) in [
        ("ca.pem", root),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).expect("writing a certificate");
    }
}
