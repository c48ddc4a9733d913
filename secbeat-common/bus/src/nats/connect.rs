//! The connection to NATS, kept alive for ever.

use std::{
    fmt, fs,
    io::Write as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{ConnectOptions, Event, ServerAddr, jetstream};
use nix::sys::memfd::{MFdFlags, memfd_create};
use parking_lot::Mutex;
use secbeat_common::subjects;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{ACK_TIMEOUT, Nats, copies::Copies, why, writes::Writes};
use crate::error::{Error, Result};

/// A server that went without a word has been given up after three of them, and the next one is asked.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const MIN_RECONNECT: Duration = Duration::from_millis(50);
const MAX_RECONNECT: Duration = Duration::from_secs(2);
/// How often it is said again that NATS is away.
const REMINDER: Duration = Duration::from_secs(60);
/// Messages that may wait in the client while the server takes none.
const CLIENT_CAPACITY: usize = 4096;

/// Where the bus is, and who the daemon is there.
#[derive(Clone, Debug)]
pub struct Server {
    /// `nats://host:4222` or `tls://host:4222`: all servers of a cluster, at least one.
    pub urls: Vec<String>,
    /// The program's name, as the server shows it.
    pub program: String,
    /// Without one the server takes the program as it is.
    pub login: Option<Login>,
    /// Number of servers that keep each stream that is made. By default, the size of the cluster decides.
    pub replicas: Option<usize>,
}

/// A member of the fleet.
#[derive(Clone)]
pub struct Login {
    pub name: String,
    /// The seed of the NATS user's nkey, `SU…`.
    pub nkey: String,
    /// The certificate (PEM) that vouches for the server; the system's do if there is none.
    pub authority: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Nats {
    /// Starts to connect, and returns at once: an unreachable server is retried for ever.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Connection`] if the address, the key or the certificate cannot be used at all.
    pub async fn connect(server: Server) -> Result<Self> {
        let Server {
            urls,
            program,
            login,
            replicas,
        } = server;
        let unusable = |error: &dyn std::error::Error| Error::Connection {
            server: urls.join(", "),
            why: why(error),
        };
        let addresses = urls.iter().map(|url| url.parse());
        let addresses: Vec<ServerAddr> = addresses
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(&error))?;
        let places = addresses
            .iter()
            .map(|address| format!("{}:{}", address.host(), address.port()));
        let server = places.collect::<Vec<_>>().join(", ");
        let authority = login.as_ref().and_then(|login| login.authority.as_deref());
        let authority = authority
            .map(Authority::new)
            .transpose()
            .map_err(|error| unusable(&error))?;
        let (connected, connects) = watch::channel(0);
        let report = server.clone();
        let complaints = Complaints::default();
        let client = options(&program, login, authority.as_ref())
            // Those that the config names are all: others may be out of reach, and their names are not in certificates.
            .ignore_discovered_servers()
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .client_capacity(CLIENT_CAPACITY)
            .reconnect_delay_callback(delay)
            .event_callback(move |event| {
                match event {
                    Event::Connected => {
                        info!(server = %report, "connected to NATS");
                        complaints.clear();
                        connected.send_modify(|count| *count += 1);
                    }
                    Event::Disconnected => {
                        warn!(server = %report, "lost NATS, retrying; bans stay as they are");
                        complaints.are_due(Instant::now());
                    }
                    // One for every attempt, of which there are some each second.
                    Event::ClientError(error) if complaints.are_due(Instant::now()) => {
                        warn!(server = %report, %error, "NATS is unreachable, retrying; bans stay as they are");
                    }
                    Event::ClientError(error) => {
                        debug!(server = %report, %error, "NATS is still unreachable");
                    }
                    Event::SlowConsumer(id) => {
                        warn!(subscription = id, "NATS drops messages that come faster than they are read");
                    }
                    event => info!(server = %report, "NATS: {event}"),
                }
                async {}
            })
            .connect(&addresses[..])
            .await
            .map_err(|error| unusable(&error))?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ACK_TIMEOUT);
        Ok(Self {
            client,
            context,
            connects,
            servers: addresses.len(),
            replicas,
            writes: Writes::default(),
            copies: Copies::default(),
            server,
            _authority: authority,
        })
    }
}

/// Time at which the log was last told that NATS is away, while it is.
#[derive(Debug, Default)]
struct Complaints(Mutex<Option<Instant>>);

impl Complaints {
    /// Whether to tell it at `now`; notes that it is told then.
    fn are_due(&self, now: Instant) -> bool {
        let mut told = self.0.lock();
        let are_due = told.is_none_or(|told| now.duration_since(told) >= REMINDER);
        if are_due {
            *told = Some(now);
        }
        are_due
    }

    fn clear(&self) {
        *self.0.lock() = None;
    }
}

/// A member has inboxes of its own, which nobody else may read. It speaks TLS, also where the address asks for none.
fn options(program: &str, login: Option<Login>, authority: Option<&Authority>) -> ConnectOptions {
    let Some(Login { name, nkey, .. }) = login else {
        return ConnectOptions::new().name(program);
    };
    let options = ConnectOptions::with_nkey(nkey)
        .name(format!("{program} {name}"))
        .custom_inbox_prefix(subjects::inbox(&name))
        .require_tls(true);
    match authority {
        Some(authority) => options.add_root_certificates(authority.path()),
        None => options,
    }
}

/// Grows to [`MAX_RECONNECT`], with up to a quarter taken off so that a fleet does not come back in one instant.
fn delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let full = MIN_RECONNECT
        .saturating_mul(1 << attempts.min(8))
        .min(MAX_RECONNECT);
    let jitter = uuid::Uuid::new_v4().as_bytes()[0];
    full - full.mul_f64(f64::from(jitter) / 1024.0)
}

/// The certificate of an authority, as a file in memory: the NATS client takes nothing but files.
#[derive(Clone, Debug)]
pub(super) struct Authority(Arc<OwnedFd>);

impl Authority {
    fn new(pem: &str) -> std::io::Result<Self> {
        let file = memfd_create(c"secbeat-ca", MFdFlags::MFD_CLOEXEC)?;
        let mut file = fs::File::from(file);
        file.write_all(pem.as_bytes())?;
        Ok(Self(Arc::new(file.into())))
    }

    /// Returns where it can be opened, by this process and as long as this lives.
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_back_off_with_jitter_and_a_ceiling() {
        assert_eq!(delay(1), Duration::ZERO);
        for attempts in 2..100 {
            assert!(
                (MIN_RECONNECT..=MAX_RECONNECT).contains(&delay(attempts)),
                "attempt {attempts}"
            );
        }
        assert!(delay(50) >= MAX_RECONNECT.mul_f64(0.75));
    }

    #[test]
    fn that_nats_is_away_is_told_at_once_and_then_each_minute() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let told = |after: u64| complaints.are_due(start + Duration::from_secs(after));
        assert!(told(0));
        assert!(!told(1) && !told(59) && told(60));
        assert!(!told(119) && told(121));
        complaints.clear();
        assert!(told(122) && !told(123));
    }

    #[test]
    fn a_member_speaks_tls_alone_also_without_an_authority() {
        let login = || Login {
            name: "web-1".to_owned(),
            nkey: "SUSECRET".to_owned(),
            authority: None,
        };
        let authority = Authority::new("-----BEGIN CERTIFICATE-----").unwrap();
        let requires = |login, authority| {
            let options = format!("{:?}", options("secbeat-edge", login, authority));
            options.contains("\"tls_required\": true")
        };
        assert!(requires(Some(login()), None));
        assert!(requires(Some(login()), Some(&authority)));
        assert!(!requires(None, None));
    }

    #[test]
    fn a_certificate_is_read_back_from_memory() {
        let authority = Authority::new("-----BEGIN CERTIFICATE-----").unwrap();
        assert_eq!(
            fs::read_to_string(authority.path()).unwrap(),
            "-----BEGIN CERTIFICATE-----"
        );
    }

    #[test]
    fn a_secret_is_not_shown() {
        let login = Login {
            name: "web-1".to_owned(),
            nkey: "SUSECRET".to_owned(),
            authority: None,
        };
        assert_eq!(format!("{login:?}"), r#"Login { name: "web-1", .. }"#);
    }
}
