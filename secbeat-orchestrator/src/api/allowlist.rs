//! `/api/v1/allowlist`: whom nobody in the fleet bans.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use jiff::Timestamp;
use secbeat_common::{
    prefix::Prefix,
    wire::{AllowEntry, PERMANENT},
};
use secbeat_daemon::{
    api::bad_request,
    term::Term,
    time::{ms_to_end, now_ms, rfc3339},
};
use secbeat_orchestrator_core::ledger::{ActiveBan, BanQuery};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Api, Caller, Failure};
use crate::{allowlist::Refusal, engine::Input, signatures::LOOKED_UP};

/// Longest comment, in bytes.
pub(crate) const MAX_COMMENT: usize = 256;
/// Farthest end, in milliseconds from now: a NATS server counts nanoseconds in 63 bits.
const MAX_MS: i64 = 100 * 366 * 24 * 3_600_000;

/// An entry of the allowlist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AllowView {
    /// CIDR.
    pub network: String,
    pub comment: String,
    /// RFC 3339; it holds for ever where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_ms: Option<i64>,
    /// Who added it.
    pub added_by: String,
    /// RFC 3339.
    pub added_at: String,
}

impl AllowView {
    fn new(entry: &AllowEntry, now_ms: i64) -> Self {
        Self {
            network: entry.network.to_string(),
            comment: entry.comment.clone(),
            until: entry.until_ms.map(rfc3339),
            ends_in_ms: entry.until_ms.and_then(|until_ms| ms_to_end(until_ms, now_ms)),
            added_by: entry.added_by.clone(),
            added_at: rfc3339(entry.added_at_ms),
        }
    }
}

/// `POST /api/v1/allowlist`. Without `duration` and `until` the entry holds for ever.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowRequest {
    /// An address, which stands for its source, or a CIDR.
    pub network: String,
    /// Why it is there; at most 256 bytes.
    pub comment: String,
    /// As `4h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Of many entries that are added together; `POST /api/v1/lists` tells their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Uuid>,
}

impl AllowRequest {
    /// The entry that it asks for.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(crate) fn entry(self, added_by: String, now_ms: i64) -> Result<AllowEntry, Failure> {
        let network = self
            .network
            .parse()
            .map_err(|error| bad_request("network", error))?;
        check(&network)?;
        if self.comment.len() > MAX_COMMENT {
            let bytes = self.comment.len();
            return Err(bad_request(
                "comment",
                format!("{bytes} bytes, {MAX_COMMENT} at most"),
            ));
        }
        Ok(AllowEntry {
            network,
            until_ms: self.until_ms(now_ms)?,
            comment: self.comment,
            added_by,
            added_at_ms: now_ms,
        })
    }

    fn until_ms(&self, now_ms: i64) -> Result<Option<i64>, Failure> {
        let (key, until_ms) = match (&self.duration, &self.until) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(bad_request("until", "there is a duration already")),
            (Some(duration), None) => {
                let term: Term = duration.parse().map_err(|error| bad_request("duration", error))?;
                ("duration", term.end(now_ms))
            }
            (None, Some(until)) => {
                let until: Timestamp = until.parse().map_err(|_| {
                    bad_request(
                        "until",
                        format!("invalid time `{until}`: expected one such as 2026-11-20T10:00:00Z"),
                    )
                })?;
                ("until", until.as_millisecond())
            }
        };
        if until_ms == PERMANENT {
            return Ok(None);
        }
        if until_ms <= now_ms {
            return Err(bad_request(key, "the entry would have ended already"));
        }
        if until_ms - now_ms > MAX_MS {
            return Err(bad_request(
                key,
                "over a hundred years away; leave it out for an entry without end",
            ));
        }
        Ok(Some(until_ms))
    }
}

/// Whether `network` may be on the allowlist.
fn check(network: &Prefix) -> Result<(), Failure> {
    if network.is_empty() {
        return Err(bad_request(
            "network",
            format!("{network} is everybody, and nobody would be banned any more"),
        ));
    }
    if network.holds_ipv4() {
        return Err(bad_request(
            "network",
            format!(
                "{network} holds addresses that stand for IPv4 clients (::ffff:0:0/96, 64:ff9b::/96), and with them all of IPv4"
            ),
        ));
    }
    Ok(())
}

/// The answer to `DELETE /api/v1/allowlist/…`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Disallowed {
    pub network: String,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Disconnected => (StatusCode::SERVICE_UNAVAILABLE, "nats_unreachable"),
            Refusal::Unread => (StatusCode::SERVICE_UNAVAILABLE, "restoring"),
            Refusal::Unacknowledged(_) => (StatusCode::SERVICE_UNAVAILABLE, "unacknowledged"),
            Refusal::NotThere(_) => (StatusCode::NOT_FOUND, "not_allowlisted"),
            Refusal::Full => (StatusCode::CONFLICT, "allowlist_full"),
            Refusal::Everybody { .. } => (StatusCode::CONFLICT, "everybody"),
        };
        Self::new(status, refusal.to_string()).with_code(code)
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
}

/// The fleet-wide allowlist, sorted by network.
#[utoipa::path(get, path = "/api/v1/allowlist", operation_id = "list_allowlist", responses((status = OK, body = Vec<AllowView>)))]
async fn list(State(api): State<Api>) -> Result<Json<Vec<AllowView>>, Failure> {
    let now = now_ms();
    let entries = api.allowlist.entries(now)?;
    Ok(Json(
        entries.iter().map(|entry| AllowView::new(entry, now)).collect(),
    ))
}

/// Add a client or a network to the fleet-wide allowlist. It replaces an entry of the same network.
#[utoipa::path(
    post, path = "/api/v1/allowlist", request_body = AllowRequest,
    responses((status = CREATED, description = "The entry is stored", body = AllowView))
)]
async fn add(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<AllowRequest>,
) -> Result<(StatusCode, Json<AllowView>), Failure> {
    let now = now_ms();
    let list = request.list;
    let entry = request.entry(actor, now)?;
    let (view, network) = (AllowView::new(&entry, now), entry.network);
    let allowlist = api.allowlist.clone();
    to_the_end(async move { allowlist.add(entry, list).await }).await?;
    api.bans_within_were_wrong(network).await;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Remove a network from the fleet-wide allowlist. Its bans that are in force are enforced again.
#[utoipa::path(
    delete, path = "/api/v1/allowlist/{*network}",
    params(("network" = String, Path, description = "An address or a CIDR, as the list shows it; its slash may stand as it is")),
    responses((status = OK, description = "The entry is removed", body = Disallowed))
)]
async fn remove(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(network): Path<String>,
) -> Result<Json<Disallowed>, Failure> {
    let network: Prefix = network.parse().map_err(|error| bad_request("network", error))?;
    to_the_end(async move { api.allowlist.remove(network, actor).await }).await?;
    Ok(Json(Disallowed {
        network: network.to_string(),
    }))
}

impl Api {
    /// Counts for signatures that the bans within a network were wrong whose clients are allowlisted now.
    async fn bans_within_were_wrong(&self, network: Prefix) {
        let query = BanQuery {
            within: Some(network),
            limit: Some(LOOKED_UP),
            ..BanQuery::default()
        };
        if let Ok(found) = self.ask(|reply| Input::List { query, reply }).await {
            self.were_wrong(found.bans);
        }
    }

    /// Counts for signatures that `bans` were wrong, without waiting for that.
    pub(super) fn were_wrong(&self, bans: Vec<ActiveBan>) {
        for ban in &bans {
            self.reports.tally.lifted(ban.command.reason);
        }
        let counts = self.signature_counts.clone();
        tokio::spawn(async move { counts.lifted(bans).await });
    }
}

/// What the bus has must be audited, even if whoever asked does not wait for the answer.
async fn to_the_end(
    change: impl Future<Output = Result<(), Refusal>> + Send + 'static,
) -> Result<(), Failure> {
    let changed = tokio::spawn(change).await.map_err(anyhow::Error::from)?;
    Ok(changed?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_168_807_000;

    fn request(network: &str, duration: Option<&str>, until: Option<&str>) -> Result<AllowEntry, String> {
        let request = AllowRequest {
            network: network.to_owned(),
            comment: "office".to_owned(),
            duration: duration.map(str::to_owned),
            until: until.map(str::to_owned),
            list: None,
        };
        request.entry("ci".to_owned(), NOW).map_err(|failure| {
            assert_eq!(failure.status(), StatusCode::BAD_REQUEST);
            failure.detail().to_owned()
        })
    }

    #[test]
    fn an_entry_holds_for_a_duration_until_a_time_or_for_ever() {
        let until = |duration, until| request("192.0.2.0/24", duration, until).unwrap().until_ms;
        assert_eq!(until(None, None), None);
        assert_eq!(until(Some("permanent"), None), None);
        assert_eq!(until(Some("4h"), None), Some(NOW + 4 * 3_600_000));
        assert_eq!(until(None, Some("2026-11-20T10:00:08Z")), Some(NOW + 1_000));
        let entry = request("2001:db8::5", None, None).unwrap();
        assert_eq!(entry.network.to_string(), "2001:db8::/64");
        assert_eq!((entry.added_by.as_str(), entry.added_at_ms), ("ci", NOW));
        assert_eq!(entry.comment, "office");
    }

    #[test]
    fn what_cannot_be_an_entry_is_refused_by_the_key_that_is_wrong() {
        let refusal = |network, duration, until| request(network, duration, until).unwrap_err();
        for network in ["0.0.0.0/0", "::/0"] {
            assert_eq!(
                refusal(network, None, None),
                format!("network: {network} is everybody, and nobody would be banned any more")
            );
        }
        assert!(
            refusal("::/64", None, None)
                .starts_with("network: ::/64 holds addresses that stand for IPv4 clients")
        );
        assert!(refusal("office", None, None).starts_with("network: "));
        let net = "192.0.2.0/24";
        assert!(refusal(net, Some("soon"), None).starts_with("duration: invalid duration `soon`"));
        assert_eq!(
            refusal(net, None, Some("soon")),
            "until: invalid time `soon`: expected one such as 2026-11-20T10:00:00Z"
        );
        assert_eq!(
            refusal(net, None, Some("2026-11-20T10:00:07Z")),
            "until: the entry would have ended already"
        );
        assert_eq!(
            refusal(net, Some("4h"), Some("2026-11-20T10:00:08Z")),
            "until: there is a duration already"
        );
        assert_eq!(
            refusal(net, None, Some("2200-01-01T00:00:00Z")),
            "until: over a hundred years away; leave it out for an entry without end"
        );
        let long = AllowRequest {
            network: net.to_owned(),
            comment: "x".repeat(MAX_COMMENT + 1),
            duration: None,
            until: None,
            list: None,
        };
        let failure = long.entry("ci".to_owned(), NOW).unwrap_err();
        assert_eq!(failure.detail(), "comment: 257 bytes, 256 at most");
    }
}
