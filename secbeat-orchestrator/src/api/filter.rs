//! Filter of bans, in words of the API.

use std::net::IpAddr;

use axum::http::StatusCode;
use secbeat_common::wire::{Labels, Layer, have_all, parse_labels};
use secbeat_daemon::{api::bad_request, config::HumanDuration, program, time::now_ms};
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
    /// Bans of this user, token or daemon.
    pub issuer: Option<String>,
    /// Bans of this network and of what lies in it.
    pub within: Option<String>,
    /// Bans that this address falls under.
    #[schema(value_type = Option<String>)]
    pub contains: Option<IpAddr>,
    /// Bans that say this in their target, reason, issuer or note.
    pub text: Option<String>,
    /// Bans that this edge enforces; the fleet has to have heard of it.
    pub edge: Option<String>,
    /// Bans that an edge with this label enforces, such as `site=berlin`; several as `role=web,site=berlin`.
    pub label: Option<String>,
    /// Bans that were issued within this time, such as `1h`.
    pub newer_than: Option<String>,
    /// Bans that were issued longer ago, such as `7d`.
    pub older_than: Option<String>,
}

impl BanFilter {
    /// Whether it selects all bans. Each of them says an empty text.
    pub(super) fn is_empty(&self) -> bool {
        let mut said = self.clone();
        said.text = said.text.filter(|text| !text.is_empty());
        said == Self::default()
    }

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
        let labels = self.label.as_deref().map(labels).transpose()?;
        let edges = match self.edge.is_some() || labels.is_some() {
            true => Some(api.named_edges(self.edge, &labels.unwrap_or_default()).await?),
            false => None,
        };
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

/// Labels of a query.
pub(super) fn labels(text: &str) -> Result<Labels, Failure> {
    parse_labels(text).map_err(|error| bad_request("label", error))
}

impl Api {
    /// The edges that have `labels`, or only `edge`.
    ///
    /// # Errors
    ///
    /// Returns an error if nobody has heard of `edge`: a filter by a mistyped name would select the bans of the whole fleet.
    pub(super) async fn named_edges(
        &self,
        edge: Option<String>,
        labels: &Labels,
    ) -> Result<Vec<(String, Labels)>, Failure> {
        let heard = self.ask(|reply| Input::Edges { reply }).await?.into_iter();
        let heard = heard.map(|(heard, _)| (heard.record.edge_id, heard.record.labels));
        let mut edges: Vec<_> = heard
            .filter(|(id, _)| edge.as_ref().is_none_or(|edge| edge == id))
            .collect();
        if let Some(edge) = edge.filter(|_| edges.is_empty()) {
            let hint = match program::is_one_host() {
                true => "",
                false => ": `secbeat-orchestrator edges` lists them",
            };
            let why = format!("no edge `{edge}`{hint}");
            return Err(Failure::new(StatusCode::BAD_REQUEST, why).with_code("unknown_edge"));
        }
        edges.retain(|(_, of)| have_all(of, labels));
        Ok(edges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_selects_everything_is_empty() {
        for (filter, is_empty) in [
            ("{}", true),
            (r#"{"text": ""}"#, true),
            (r#"{"text": null, "reason": null}"#, true),
            (r#"{"text": " "}"#, false),
            (r#"{"issuer": ""}"#, false),
            (r#"{"text": "", "layer": "l7"}"#, false),
        ] {
            let parsed: BanFilter = serde_json::from_str(filter).unwrap();
            assert_eq!(parsed.is_empty(), is_empty, "{filter}");
        }
    }
}
