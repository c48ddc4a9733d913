//! Networks that are never banned.

use secbeat_daemon::{program, protect, time::rfc3339};
use secbeat_orchestrator_core::ProtectedNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A network that is never banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProtectedView {
    /// Address or CIDR.
    pub network: String,
    /// As `secbeat-edge allowed` has it.
    pub reason: String,
    /// The reason why it is there; empty if nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl ProtectedView {
    pub(super) fn new(protected: &ProtectedNet) -> Self {
        Self {
            network: protected.network.to_string(),
            reason: protect::reason_name(protected.code).to_owned(),
            comment: protected.comment.clone(),
            until: protected.until_ms.map(rfc3339),
        }
    }
}

/// Returns why `target` is not banned, such as `192.0.2.7/32 is allowlisted, because of 192.0.2.0/24: on the fleet's allowlist
/// (office), until 2026-11-20T10:00:00.000Z`.
#[must_use]
pub(super) fn allowlisted(target: &str, protected: &ProtectedNet) -> String {
    let (network, why) = (protected.network.to_string(), why(protected));
    match network == target {
        true => format!("{target} is allowlisted: {why}"),
        false => format!("{target} is allowlisted, because of {network}: {why}"),
    }
}

/// As `on the fleet's allowlist (office), until 2026-11-20T10:00:00.000Z`.
fn why(protected: &ProtectedNet) -> String {
    let ProtectedNet {
        network: _,
        code,
        comment,
        until_ms,
    } = protected;
    let host = program::orchestrators_host();
    let why = match protect::reason_name(*code) {
        "configured" if program::is_one_host() => "the config lists it under [protect]".to_owned(),
        "configured" => "the orchestrator's config lists it under [protect]".to_owned(),
        "loopback" => "loopback".to_owned(),
        "own-address" => format!("an address of {host}"),
        "gateway" => format!("a default gateway of {host}"),
        "resolver" => format!("a DNS resolver of {host}"),
        "bus" => "the NATS server".to_owned(),
        "fleet" => format!("on {}", program::allowlist()),
        "ssh-peer" => "an SSH session comes from there".to_owned(),
        "upstream" => "an upstream".to_owned(),
        "trusted-proxy" => "a proxy under trusted_proxies, whose clients are banned in its place".to_owned(),
        other => other.to_owned(),
    };
    let comment = match comment.as_str() {
        "" => String::new(),
        comment => format!(" ({comment})"),
    };
    let until = until_ms.map_or_else(String::new, |until| format!(", until {}", rfc3339(until)));
    format!("{why}{comment}{until}")
}
