//! The connection to NATS, kept alive for ever, and the versions and limits that SecBeat asks of the server.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use async_nats::{Client, ConnectOptions, Event, connection::State};
use secbeat_common::subjects;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{
    cli::require_version,
    config::NatsUrl,
    credentials::{Authority, Login, Membership},
};

/// Oldest server: the first with a TTL per key.
pub const MIN_SERVER: (u32, u32) = (2, 11);

const PING_INTERVAL: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const MIN_RECONNECT: Duration = Duration::from_millis(50);
const MAX_RECONNECT: Duration = Duration::from_secs(2);
/// Messages that may wait in the client while the server takes none.
const CLIENT_CAPACITY: usize = 4096;

/// A connection that comes and goes, and how often it came.
#[derive(Clone, Debug)]
pub struct Bus {
    pub client: Client,
    connects: watch::Receiver<u64>,
    /// Who vouches for the server: read anew for each connection.
    _authority: Option<Authority>,
}

impl Bus {
    /// Starts to connect, and returns at once: an unreachable server is retried for ever.
    ///
    /// # Errors
    ///
    /// When the address cannot be used at all.
    pub async fn connect(member: &Membership, program: &str) -> anyhow::Result<Self> {
        let (connected, connects) = watch::channel(0);
        let server = member.url.to_string();
        let report = server.clone();
        let complained = AtomicBool::new(false);
        let options = match &member.login {
            Some(login) => options(login, program),
            None => ConnectOptions::new().name(program),
        };
        let client = options
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
                        complained.store(false, Ordering::Relaxed);
                        connected.send_modify(|count| *count += 1);
                    }
                    Event::Disconnected => {
                        warn!(server = %report, "lost NATS, retrying; bans stay as they are");
                        complained.store(true, Ordering::Relaxed);
                    }
                    // One for every attempt: the first tells it all.
                    Event::ClientError(error) if complained.swap(true, Ordering::Relaxed) => {
                        debug!(server = %report, %error, "NATS is still unreachable");
                    }
                    Event::ClientError(error) => {
                        warn!(server = %report, %error, "NATS is unreachable, retrying; bans stay as they are");
                    }
                    Event::SlowConsumer(id) => warn!(subscription = id, "NATS drops messages that come faster than they are read"),
                    event => info!(server = %report, "NATS: {event}"),
                }
                async {}
            })
            .connect(member.url.0.clone())
            .await
            .with_context(|| format!("connecting to NATS at {server}"))?;
        let authority = member.login.as_ref();
        Ok(Self {
            client,
            connects,
            _authority: authority.and_then(|login| login.authority.clone()),
        })
    }

    /// Waits until a connection other than number `seen` is up, and returns its number. Connections count from 1.
    pub async fn connection_after(&mut self, seen: u64) -> u64 {
        // The sender lives as long as the client does.
        self.connects
            .wait_for(|count| *count > seen)
            .await
            .map_or(seen, |count| *count)
    }

    /// The number of the latest connection, 0 before the first; see [`connection_after`](Self::connection_after).
    #[must_use]
    pub fn connection(&self) -> u64 {
        *self.connects.borrow()
    }

    /// Whether the server is there right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// # Errors
    ///
    /// When the connected server is older than [`MIN_SERVER`].
    pub fn require_supported(&self, url: &NatsUrl) -> anyhow::Result<()> {
        let version = self.client.server_info().version;
        require_version(&format!("the NATS server at {url}"), &version, MIN_SERVER)
    }
}

/// A member has inboxes of its own, which nobody else may read.
fn options(
    Login {
        name,
        nkey,
        authority,
    }: &Login,
    program: &str,
) -> ConnectOptions {
    let options = ConnectOptions::with_nkey(nkey.0.clone())
        .name(format!("{program} {name}"))
        .custom_inbox_prefix(subjects::inbox(name));
    match authority {
        Some(authority) => options.require_tls(true).add_root_certificates(authority.path()),
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
}
