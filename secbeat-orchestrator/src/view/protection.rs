//! Networks that are never banned.

use secbeat_daemon::{protect, time::rfc3339};
use secbeat_orchestrator_core::ProtectedNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A network that is never banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProtectedView {
    pub network: String,
    /// As `secbeat-edge allowed` has it.
    pub reason: String,
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

/// As `192.0.2.0/24: on the fleet's allowlist (office), until 2026-11-20T10:00:00.000Z`.
#[must_use]
pub(super) fn because(protected: &ProtectedNet) -> String {
    let ProtectedNet {
        network,
        code,
        comment,
        until_ms,
    } = protected;
    let why = match protect::reason_name(*code) {
        "configured" => "the orchestrator's config lists it under [protect]",
        "loopback" => "loopback",
        "own-address" => "an address of the orchestrator's host",
        "gateway" => "a default gateway of the orchestrator's host",
        "resolver" => "a DNS resolver of the orchestrator's host",
        "bus" => "the NATS server",
        "fleet" => "on the fleet's allowlist",
        "ssh-peer" => "somebody is logged in from there by SSH",
        "upstream" => "an upstream",
        "trusted-proxy" => "a proxy under trusted_proxies, whose clients are banned in its place",
        other => other,
    };
    let comment = match comment.as_str() {
        "" => String::new(),
        comment => format!(" ({comment})"),
    };
    let until = until_ms.map_or_else(String::new, |until| format!(", until {}", rfc3339(until)));
    format!("{network}: {why}{comment}{until}")
}
