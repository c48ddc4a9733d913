//! NATS: what is wrong with it, and its servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{bus_servers::BusServer, bus_watch::BusTrouble};

/// Something that is wrong with NATS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BusTrouble)]
pub struct BusTroubleView {
    /// `offline`, `unwritable`, `slow`, `unreached`, `behind` or `emptied`.
    pub kind: String,
    /// The bucket or stream; the server that is `unreached`.
    pub of: String,
    /// For people.
    pub text: String,
}

/// A server of a NATS cluster, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BusServer)]
pub struct BusServerView {
    /// Name of the server.
    pub name: String,
    /// Whether the others hear of it.
    pub reached: bool,
    /// Buckets and streams whose writes it takes.
    pub leads: usize,
    /// Buckets and streams of which it has a copy.
    pub keeps: usize,
    /// Writes that its copies lack, by the bucket or stream; without those that are complete.
    #[serde(default)]
    pub behind: BTreeMap<String, u64>,
}

impl From<&BusTrouble> for BusTroubleView {
    fn from(trouble: &BusTrouble) -> Self {
        Self {
            kind: trouble.kind.name().to_owned(),
            of: trouble.of.clone(),
            text: trouble.to_string(),
        }
    }
}

impl From<BusServer> for BusServerView {
    fn from(server: BusServer) -> Self {
        Self {
            name: server.name,
            reached: server.is_reached,
            leads: server.leads,
            keeps: server.keeps,
            behind: server.behind,
        }
    }
}
