//! Which bans are asked for, in words of the API.

use std::net::IpAddr;

use secbeat_common::wire::Layer;
use secbeat_daemon::{api::bad_request, config::HumanDuration, time::now_ms};
use secbeat_orchestrator_core::ledger::BanQuery;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Failure};
use crate::{engine::Input, millis};

/// Longest text that is looked for, in bytes.
const LONGEST_TEXT: usize = 200;

/// Some of the bans in force: those that fit all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BanFilter {
    /// `manual`, or the name of a rule.
    pub reason: Option<String>,
    /// `kernel` or `l7`.
    #[schema(value_type = Option<String>)]
    pub layer: Option<Layer>,
    pub issuer: Option<String>,
    /// Bans of this network and of what lies in it.
    pub within: Option<String>,
    /// Bans that this address falls under.
    #[schema(value_type = Option<String>)]
    pub contains: Option<IpAddr>,
    /// Bans that say this in their target, reason, issuer or note.
    pub text: Option<String>,
    /// Bans that this edge enforces.
    pub edge: Option<String>,
    /// Bans that an edge with this label enforces, as `site=berlin`.
    pub label: Option<String>,
    /// Bans that were issued within this time, as `1h`.
    pub newer_than: Option<String>,
    /// Bans that were issued longer ago, as `7d`.
    pub older_than: Option<String>,
}

impl BanFilter {
    /// The same for the ledger. Which edges have a label, the fleet says now.
    pub(super) async fn query(self, api: &Api) -> Result<BanQuery, Failure> {
        fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
            key: &str,
            text: Option<String>,
        ) -> Result<Option<T>, Failure> {
            let parsed = text.map(|text| text.parse().map_err(|error| bad_request(key, error)));
            parsed.transpose()
        }
        let ago = |key: &str, text: Option<String>| {
            let parsed = parsed::<HumanDuration>(key, text)?;
            Ok::<_, Failure>(parsed.map(|HumanDuration(ago)| now_ms().saturating_sub(millis(ago))))
        };
        if let Some(text) = self.text.as_ref().filter(|text| text.len() > LONGEST_TEXT) {
            let bytes = text.len();
            return Err(bad_request(
                "text",
                format!("{bytes} bytes, {LONGEST_TEXT} at most"),
            ));
        }
        let mut edges = self.edge.map(|edge| vec![edge]);
        if let Some(label) = self.label {
            let labelled = api.labelled(&label).await?;
            edges = Some(match edges {
                None => labelled,
                Some(named) => named.into_iter().filter(|edge| labelled.contains(edge)).collect(),
            });
        }
        Ok(BanQuery {
            reason: parsed("reason", self.reason)?,
            layer: self.layer,
            issuer: self.issuer,
            within: parsed("within", self.within)?,
            contains: self.contains.map(|address| address.to_canonical()),
            text: self.text.filter(|text| !text.is_empty()),
            edges,
            issued_from_ms: ago("newer_than", self.newer_than)?,
            issued_before_ms: ago("older_than", self.older_than)?,
            ..BanQuery::default()
        })
    }
}

impl Api {
    /// The edges that have a label.
    async fn labelled(&self, label: &str) -> Result<Vec<String>, Failure> {
        let Some((key, value)) = label.split_once('=') else {
            return Err(bad_request(
                "label",
                format!("invalid label `{label}`: expected one such as site=berlin"),
            ));
        };
        let edges = self.ask(|reply| Input::Edges { reply }).await?.into_iter();
        let labelled = edges.filter(|(edge, _)| edge.record.labels.get(key).is_some_and(|of| of == value));
        Ok(labelled.map(|(edge, _)| edge.record.edge_id).collect())
    }
}
