//! Listening sockets that outlive a process: systemd passes them on from a `.socket` unit, or keeps them over a restart
//! (sd_listen_fds(3), `FileDescriptorStoreMax=` in systemd.service(5)). What clients send meanwhile waits in the kernel.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tracing::{debug, info, warn};

/// Sockets that systemd has passed on.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// Takes them over. To be called once, before threads start: it clears what of the environment names them.
    #[must_use]
    pub fn take() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let listener = passed.take_tcp_listener(index).and_then(|listener| {
                let Some(listener) = listener else {
                    return Ok(None);
                };
                listener.set_nonblocking(true)?;
                Ok(Some((listener.local_addr()?, listener)))
            });
            match listener {
                Ok(listener) => sockets.extend(listener),
                Err(error) => warn!(%error, "systemd passed a socket that is not a TCP listener"),
            }
        }
        Self(sockets)
    }

    /// The one that listens on `address`, if there is one.
    pub fn at(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|(known, _)| *known == address)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Closes those that nobody has asked for, for good.
    pub fn close_rest(self) {
        for (address, _) in self.0 {
            info!(%address, "systemd passed a socket that the config does not name; it is closed");
            forget(address);
        }
    }
}

/// Whether systemd may keep sockets of this process.
#[must_use]
pub fn are_kept() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// Has systemd keep a socket for the next process. Where it does not, nothing happens.
pub fn keep(listener: impl AsFd, address: SocketAddr) {
    let name = name(address);
    let state = [NotifyState::FdStore, NotifyState::FdName(&name)];
    if let Err(error) = sd_notify::notify_with_fds(false, &state, &[listener.as_fd()]) {
        debug!(%error, %address, "systemd keeps no socket");
    }
}

/// Has systemd close what it keeps of `address`.
pub fn forget(address: SocketAddr) {
    let name = name(address);
    let state = [NotifyState::FdStoreRemove, NotifyState::FdName(&name)];
    if let Err(error) = sd_notify::notify(false, &state) {
        debug!(%error, %address, "systemd was not told to close a socket");
    }
}

/// Names have no colons.
fn name(address: SocketAddr) -> String {
    address.to_string().replace(':', "-")
}
