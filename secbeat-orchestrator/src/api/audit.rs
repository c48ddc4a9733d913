//! `/api/v1/audit`: what was decided, by whom.
#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use secbeat_bus::{AuditQuery, broker::broker};
use secbeat_common::{prefix::Prefix, wire::Audited};
use secbeat_daemon::{
    api::bad_request,
    config::HumanDuration,
    time::{now_ms, rfc3339},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, PATIENCE};
use crate::{engine::Input, millis};

/// Records in an answer unless told otherwise.
const LIMIT: usize = 100;
/// Records in an answer at most.
const MAX_LIMIT: usize = 10_000;

/// The question.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Question {
    /// An address or a CIDR. Decisions about networks that contain it are included.
    target: Option<String>,
    /// Only decisions of this user, token or daemon.
    actor: Option<String>,
    /// Only decisions of this kind: `ban`, `unban`, `allow`, `disallow`, `list`, `signatures`, `observed` or `suppressed`.
    kind: Option<String>,
    /// How far back: a duration as `24h`, or a time as `2026-11-20T10:00:00Z`.
    since: Option<String>,
    /// Most records, 100 unless set, at most 10,000.
    limit: Option<usize>,
}

/// One decision.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub record: Audited,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// Decisions, and who took them, latest first.
#[utoipa::path(get, path = "/api/v1/audit", params(Question), responses((status = OK, body = Vec<AuditView>)))]
async fn audit(
    State(api): State<Api>,
    Query(question): Query<Question>,
) -> Result<Json<Vec<AuditView>>, Failure> {
    let mut query = question.parse()?;
    // Bans of a list are recorded as a whole.
    if let Some(target) = query.targets.first() {
        let address = target.addr();
        let facts = api.ask(|reply| Input::Explain { address, reply }).await?;
        query.lists = facts.bans.iter().filter_map(|ban| ban.command.list).collect();
    }
    let unavailable = |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let mut records = tokio::time::timeout(PATIENCE, api.audit.query(&query))
        .await
        .map_err(|_| {
            unavailable(format!(
                "{} takes too long; ask for less, as by since or target",
                broker()
            ))
        })?
        .map_err(|error| unavailable(error.to_string()))?;
    records.reverse();
    let view = |record: Audited| AuditView {
        at: rfc3339(record.at_ms()),
        record,
    };
    Ok(Json(records.into_iter().map(view).collect()))
}

impl Question {
    fn parse(self) -> Result<AuditQuery, Failure> {
        let targets = self.target.map(|target| target_and_around(&target)).transpose()?;
        if let Some(kind) = self
            .kind
            .as_ref()
            .filter(|kind| !Audited::KINDS.contains(&kind.as_str()))
        {
            let kinds = Audited::KINDS.join(", ");
            return Err(bad_request(
                "kind",
                format!("invalid kind `{kind}`: expected one of {kinds}"),
            ));
        }
        let since_ms = self.since.map(|since| since_ms(&since)).transpose();
        let since_ms = since_ms.map_err(|error| bad_request("since", error))?;
        Ok(AuditQuery {
            targets: targets.unwrap_or_default(),
            lists: Vec::new(),
            kind: self.kind,
            actor: self.actor,
            since_ms: since_ms.unwrap_or(0),
            limit: self.limit.unwrap_or(LIMIT).min(MAX_LIMIT),
        })
    }
}

fn target_and_around(text: &str) -> Result<Vec<Prefix>, Failure> {
    // Decisions about one address of an IPv6 source concern whoever asks for that address.
    let narrowest = match text.parse() {
        Ok(address) => Prefix::host(address),
        Err(_) => text.parse().map_err(|error| bad_request("target", error))?,
    };
    Ok(narrowest.around().collect())
}

/// The time that `text` says, or the one so long ago, in ms since 1970.
pub(crate) fn since_ms(text: &str) -> Result<i64, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let HumanDuration(back) = text
        .parse()
        .map_err(|_| format!("`{text}` is neither a duration as 24h nor a time as 2026-11-20T10:00:00Z"))?;
    Ok(now_ms().saturating_sub(millis(back)))
}
