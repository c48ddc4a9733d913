//! Checks over several keys.

use std::{
    net::SocketAddr,
    path::{Path, absolute},
};

use secbeat_daemon::{config::ConfigError, protect::everybody};

use super::{
    Config, Enforcement,
    kernel::{Interfaces, MAX_BAN_SLOTS},
};
use crate::{lists, sources::proxy::ProxyConfig};

/// Whatever one key cannot say alone.
#[derive(Debug, thiserror::Error)]
enum Contradiction {
    #[error("a folder of a bpffs, from the root on, such as /sys/fs/bpf/secbeat")]
    RelativePins,
    #[error("at most {0}: twice the bans that you expect")]
    TooManySlots(u32),
    #[error(
        "enforcement = \"{0}\" needs at least one interface in kernel.interfaces, or \"auto\" (or set enforcement = \"l7\")"
    )]
    NoInterfaces(&'static str),
    #[error("[[list]]: {0}")]
    Lists(String),
    #[error("[[list]] needs the kernel to enforce bans, and enforcement is \"l7\"")]
    ListsAtL7,
    #[error(
        "anyone who can connect to {0} could read who is banned: the local API listens on loopback alone"
    )]
    PublicApi(SocketAddr),
    #[error("with proxy_protocol, only trusted proxies may connect, and this list names none")]
    NobodyTrusted,
    #[error(
        "an [[access_log]] follows it, so each request would count twice: the proxy reports its requests itself"
    )]
    FollowsItself,
}

impl Config {
    /// Returns the config if its keys agree with each other.
    pub(super) fn check(mut config: Self, path: &Path) -> Result<Self, ConfigError> {
        path.clone_into(&mut config.path);
        let state_dir = config.state_dir.clone();
        let proxy = config.proxy_file.as_ref();
        let proxy = proxy.map(|proxy| proxy.check(path, &state_dir));
        config.proxy = proxy.transpose()?;
        let takes_headers =
            |proxy: &ProxyConfig| proxy.listeners.iter().any(|listener| listener.proxy_protocol);
        if config.trusted_proxies.is_empty() && config.proxy.as_ref().is_some_and(takes_headers) {
            let message = Contradiction::NobodyTrusted.to_string();
            return Err(ConfigError::contradiction(path, "trusted_proxies", message));
        }
        let own_log = config.proxy.as_ref().and_then(|proxy| proxy.access_log.as_ref());
        let own_log = own_log.map(|log| absolute(log).unwrap_or_else(|_| log.clone()));
        if own_log.is_some_and(|log| config.follows(&log)) {
            let message = Contradiction::FollowsItself.to_string();
            return Err(ConfigError::contradiction(path, "proxy.access_log", message));
        }
        if config.enforcement.in_kernel() && config.kernel.interfaces == Interfaces::Named(Vec::new()) {
            let name = if config.enforcement == Enforcement::Kernel {
                "kernel"
            } else {
                "both"
            };
            let message = Contradiction::NoInterfaces(name).to_string();
            return Err(ConfigError::contradiction(path, "kernel.interfaces", message));
        }
        if !config.kernel.pin_dir.is_absolute() {
            let message = Contradiction::RelativePins.to_string();
            return Err(ConfigError::contradiction(path, "kernel.pin_dir", message));
        }
        if config.kernel.ban_slots.get() > MAX_BAN_SLOTS {
            let message = Contradiction::TooManySlots(MAX_BAN_SLOTS).to_string();
            return Err(ConfigError::contradiction(path, "kernel.ban_slots", message));
        }
        let listed = match lists::check(&config.list, &config.geo) {
            Err(why) => Err(Contradiction::Lists(why)),
            Ok(()) if !config.list.is_empty() && !config.enforcement.in_kernel() => {
                Err(Contradiction::ListsAtL7)
            }
            Ok(()) => Ok(()),
        };
        listed.map_err(|why| ConfigError::contradiction(path, "list", why.to_string()))?;
        let protected = config.protect.entries().into_iter().map(|entry| entry.network);
        if let Some(message) = everybody(protected.chain(config.trusted_proxies.iter().copied())) {
            return Err(ConfigError::contradiction(path, "protect", message));
        }
        if !config.api_listen.ip().to_canonical().is_loopback() {
            let message = Contradiction::PublicApi(config.api_listen).to_string();
            return Err(ConfigError::contradiction(path, "api_listen", message));
        }
        Ok(config)
    }
}
