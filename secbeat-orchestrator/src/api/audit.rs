//! `/api/v1/audit`: what was decided, by whom.
#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use secbeat_bus::{AuditQuery, broker::broker};
use secbeat_common::{
    prefix::Prefix,
    wire::{Audited, Decision, Labels, have_all},
};
use secbeat_daemon::{
    api::bad_request,
    config::HumanDuration,
    time::{now_ms, rfc3339},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, PATIENCE, filter::labels};
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
    /// Only decisions about what an edge with this label reported, and bans for it, such as `site=berlin`; several as `role=web,site=berlin`.
    /// Looked for among the latest 10,000 that are asked for otherwise.
    label: Option<String>,
    /// Start of the records: a duration such as `24h`, or a time such as `2026-11-20T10:00:00Z`.
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
    let edges = match &question.label {
        Some(label) => Some(api.named_edges(None, &labels(label)?).await?),
        None => None,
    };
    let mut query = question.parse()?;
    let limit = query.limit;
    if edges.is_some() {
        // The audit is not asked by edge.
        query.limit = MAX_LIMIT;
    }
    // Bans of a list are recorded as a whole.
    if let Some(target) = query.targets.first() {
        let address = target.addr();
        let facts = api.ask(|reply| Input::Explain { address, reply }).await?;
        query.lists = facts.bans.iter().filter_map(|ban| ban.command.list).collect();
    }
    let unavailable = |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let or_target = match query.targets.is_empty() {
        true => " or target",
        false => "",
    };
    let mut records = tokio::time::timeout(PATIENCE, api.audit.query(&query))
        .await
        .map_err(|_| {
            unavailable(format!(
                "{} takes too long; ask for less, as by since{or_target}",
                broker()
            ))
        })?
        .map_err(|error| unavailable(error.to_string()))?;
    records.reverse();
    if let Some(edges) = edges {
        records.retain(|record| edges.iter().any(|(id, of)| is_of_edge(record, id, of)));
        records.truncate(limit);
    }
    let view = |record: Audited| AuditView {
        at: rfc3339(record.at_ms()),
        record,
    };
    Ok(Json(records.into_iter().map(view).collect()))
}

/// Whether `record` is about what the edge `id` with the labels `of` reported, or of a ban for it.
fn is_of_edge(record: &Audited, id: &str, of: &Labels) -> bool {
    let Audited::Decision(record) = record else {
        return false;
    };
    let events = match &record.decision {
        Decision::Ban {
            edges,
            labels: meant,
            events,
            ..
        } => {
            let is_named = edges.iter().flatten().any(|edge| edge == id);
            if is_named || meant.iter().any(|meant| have_all(of, meant)) {
                return true;
            }
            events
        }
        Decision::Observed { events, .. } | Decision::Suppressed { events, .. } => events,
        Decision::Unban { .. } | Decision::Allow { .. } | Decision::Disallow => return false,
    };
    events.iter().any(|event| event.edge == id)
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
        let limit = match self.limit.unwrap_or(LIMIT) {
            limit @ 1..=MAX_LIMIT => limit,
            limit => return Err(bad_request("limit", format!("{limit} is not in 1..={MAX_LIMIT}"))),
        };
        Ok(AuditQuery {
            targets: targets.unwrap_or_default(),
            lists: Vec::new(),
            kind: self.kind,
            actor: self.actor,
            since_ms: since_ms.unwrap_or(0),
            limit,
        })
    }
}

fn target_and_around(text: &str) -> Result<Vec<Prefix>, Failure> {
    // Decisions about one address of an IPv6 source concern the one who asks for that address.
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
    let HumanDuration(back) = text.parse().map_err(|_| {
        format!("`{text}` is neither a duration such as 24h nor a time such as 2026-11-20T10:00:00Z")
    })?;
    Ok(now_ms().saturating_sub(millis(back)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_of_web_1(decision: &Value) -> bool {
        let mut record = json!({
            "at_ms": 1,
            "target": "192.0.2.7/32",
            "actor": "alice",
            "command_id": "01920000-0000-7000-8000-000000000001",
            "reason": "error-flood",
            "note": "",
            "why": "",
            "expires_at_ms": 2,
            "strikes": 0,
            "evidence": { "count": 50, "window_ms": 60_000, "at_ms": 1 },
            "layer": "kernel"
        });
        let said = decision.as_object().unwrap().clone();
        record.as_object_mut().unwrap().extend(said);
        let of = Labels::from([("role".to_owned(), "web".to_owned())]);
        let record = Audited::Decision(serde_json::from_value(record).unwrap());
        is_of_edge(&record, "web-1", &of)
    }

    #[test]
    fn a_decision_is_of_the_edges_that_reported_it_and_of_those_that_it_is_for() {
        let seen_by = |edge: &str| {
            json!([{
                "at_ms": 1,
                "edge": edge,
                "client": "192.0.2.7",
                "learned_from": "peer",
                "answer": { "status": 404, "method": "GET", "user_agent": "curl" },
                "path": "/",
                "host": ""
            }])
        };
        for (decision, expected) in [
            (json!({ "kind": "ban" }), false),
            (json!({ "kind": "ban", "edges": ["web-1"] }), true),
            (json!({ "kind": "ban", "edges": ["web-2"] }), false),
            (
                json!({ "kind": "ban", "edges": [], "labels": [{ "role": "web" }] }),
                true,
            ),
            (
                json!({ "kind": "ban", "edges": [], "labels": [{ "role": "db" }] }),
                false,
            ),
            (json!({ "kind": "ban", "events": seen_by("web-1") }), true),
            (json!({ "kind": "ban", "events": seen_by("web-2") }), false),
            (json!({ "kind": "observed", "events": seen_by("web-1") }), true),
            (json!({ "kind": "suppressed", "events": seen_by("web-1") }), true),
            (json!({ "kind": "unban" }), false),
            (json!({ "kind": "disallow" }), false),
        ] {
            assert_eq!(is_of_web_1(&decision), expected, "{decision}");
        }
    }
}
