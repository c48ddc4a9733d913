//! `/api/v1/bans`: who is banned, and orders to ban and to unban.
#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use axum::{
    Json,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::StatusCode,
};
use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, FeedVerdict, FleetFeed, Layer, Scope, check_labels},
};
use secbeat_daemon::{
    api::{Unanswered, ask, bad_request, named_target},
    term::Term,
    time::now_ms,
};
use secbeat_orchestrator_core::{
    decider::{Import, ImportMode, OrderError, Refused, Unban},
    ledger::{BanOrder, BanQuery, EARLY_END_MS, MAX_NOTE, ManualBan, Refusal},
};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Api, Caller, Failure, PATIENCE, filter::BanFilter, sort::BanSort};
use crate::{
    engine::{Input, OrderFailure},
    exchange::{self, BanEntry},
    view::{self, BanPage, BanView, Imported},
};

/// Most bans in one request to import.
pub(crate) const MAX_IMPORT: usize = 10_000;
/// Largest body of such a request, in bytes.
const MAX_IMPORT_BODY: usize = 16 * 1024 * 1024;
/// How much longer the answer to an import may take, beside [`PATIENCE`], for each of its bans.
const PER_BAN: Duration = Duration::from_millis(10);
/// Most bans on a page.
pub(crate) const MAX_PAGE: usize = 10_000;

/// The query of `GET /api/v1/bans`; everything unless set.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListRequest {
    /// Bans with this reason: `manual`, or the name of a rule.
    pub reason: Option<String>,
    /// `kernel` or `l7`.
    #[param(value_type = Option<String>)]
    pub layer: Option<Layer>,
    /// Bans of this user, token or daemon.
    pub issuer: Option<String>,
    /// Bans of this network and of what lies in it.
    pub within: Option<String>,
    /// Bans that this address falls under.
    #[param(value_type = Option<String>)]
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
    /// Key of the order: `target` (the default), `issued`, `expires` or `strikes`; with `-` before it in descending order.
    pub sort: Option<String>,
    /// Continue after the previous page: its `next`.
    pub after: Option<String>,
    /// Most bans on the page, at most 10,000.
    pub limit: Option<usize>,
}

impl ListRequest {
    async fn query(self, api: &Api) -> Result<BanQuery, Failure> {
        let filter = BanFilter {
            reason: self.reason,
            layer: self.layer,
            issuer: self.issuer,
            within: self.within,
            contains: self.contains,
            text: self.text,
            edge: self.edge,
            label: self.label,
            newer_than: self.newer_than,
            older_than: self.older_than,
        };
        Ok(BanQuery {
            order: match self.sort {
                None => BanOrder::default(),
                Some(sort) => {
                    sort.parse::<BanSort>()
                        .map_err(|error| bad_request("sort", error))?
                        .0
                }
            },
            after: match self.after {
                None => None,
                Some(after) => Some(after.parse().map_err(|error| bad_request("after", error))?),
            },
            limit: match self.limit.unwrap_or(MAX_PAGE) {
                limit @ 1..=MAX_PAGE => Some(limit),
                limit => return Err(bad_request("limit", format!("{limit} is not in 1..={MAX_PAGE}"))),
            },
            ..filter.query(api).await?
        })
    }
}

/// `POST /api/v1/bans`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanRequest {
    /// An address, which stands for its source, or a CIDR.
    pub target: String,
    /// Whether a CIDR such as 198.51.100.7/24, whose address is not its first, means the network; else it is refused (400, `ambiguous`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network: bool,
    /// Duration, such as `4h`, or `permanent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Equal to a duration of `permanent`.
    #[serde(default)]
    pub permanent: bool,
    /// Reason, shown in listings and in the audit.
    #[serde(default)]
    pub note: String,
    /// Whether it may end a ban in force earlier; else a shorter one is refused.
    #[serde(default)]
    pub shorten: bool,
    /// Only edges with all of these labels enforce it, also those that get them later.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl BanRequest {
    fn term(&self) -> Result<Term, Failure> {
        match (&self.duration, self.permanent) {
            (None, true) => Ok(Term::Permanent),
            (Some(duration), false) => duration.parse().map_err(|error| bad_request("duration", error)),
            (Some(_), true) => Err(bad_request("duration", "a permanent ban has none")),
            (None, false) => Err(bad_request("duration", "missing, as `4h` or `permanent`")),
        }
    }
}

/// # Errors
///
/// Returns an error if the note is too long.
pub(super) fn check_note(note: &str) -> Result<(), Failure> {
    match note.len() > MAX_NOTE {
        true => Err(bad_request("note", exchange::note_too_long(note))),
        false => Ok(()),
    }
}

/// The answer to `DELETE /api/v1/bans/…`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Unbanned {
    /// Target of the ban.
    pub target: String,
    /// Whether the audit does not have it yet: NATS has not taken the record within 2 s, and it is tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecorded: bool,
}

/// `POST /api/v1/bans/import`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportRequest {
    /// Bans, at most 10,000.
    pub bans: Vec<BanEntry>,
    /// Whether to import the others if some cannot be banned, or cannot be read; else nothing is imported then.
    #[serde(default)]
    pub skip_refused: bool,
    /// Dry run: returns what would be done with each.
    #[serde(default)]
    pub dry_run: bool,
    /// The list that the bans are of: for an import of several requests, whose end `POST /api/v1/lists` tells. Without one, the
    /// request is recorded as a list of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Uuid>,
    /// The sum of `new_networks` of the responses before this one, if a dry run needs several requests.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub networks_before: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    let import = OpenApiRouter::new()
        .routes(routes!(import))
        .layer(DefaultBodyLimit::max(MAX_IMPORT_BODY));
    OpenApiRouter::new()
        .routes(routes!(list, ban))
        .routes(routes!(unban))
        .merge(import)
}

/// The bans in force, sorted by target or as `sort` says.
#[utoipa::path(get, path = "/api/v1/bans", operation_id = "list_bans", params(ListRequest), responses((status = OK, body = BanPage)))]
async fn list(State(api): State<Api>, Query(request): Query<ListRequest>) -> Result<Json<BanPage>, Failure> {
    let query = request.query(&api).await?;
    let bans = api.ask(|reply| Input::List { query, reply }).await?;
    Ok(Json(BanPage::new(&bans, &api.geo, now_ms())))
}

/// Ban a client or a network on every edge, or on those with some labels.
#[utoipa::path(
    post, path = "/api/v1/bans", request_body = BanRequest,
    responses((status = CREATED, description = "The ban is stored", body = BanView))
)]
async fn ban(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<BanRequest>,
) -> Result<(StatusCode, Json<BanView>), Failure> {
    let target = named_target("target", &request.target, request.network)?;
    let expires_at_ms = request.term()?.end(now_ms());
    check_note(&request.note)?;
    check_labels(&request.labels).map_err(|error| bad_request("labels", error))?;
    let ban = ManualBan {
        shortens: request.shorten,
        scope: Scope::of_labels(request.labels),
        ..ManualBan::new(target, expires_at_ms, request.note, actor)
    };
    let ban = api
        .ask(|reply| Input::Ban { ban, reply })
        .await?
        .map_err(failure)?;
    let mut view = BanView::new(&ban, &api.geo, now_ms());
    let target = ban.command.target;
    let entries = api.allowlist.entries(now_ms())?.into_iter();
    let within = entries.filter(|entry| target.covers(&entry.network));
    view.exempt = within.map(|entry| entry.network.to_string()).collect();
    view.unrecorded = !api.is_recorded().await;
    Ok((StatusCode::CREATED, Json(view)))
}

/// The query of `DELETE /api/v1/bans/…`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UnbanRequest {
    /// Whether the ban counts as a repeat offence, as one that expires does.
    pub keep_strikes: bool,
    /// The reason for it, at most 1,024 bytes. The audit and `why` show it; with `keep_strikes`, it takes the place of the ban's note.
    pub note: String,
    /// The id of a list of unbans, which `POST /api/v1/lists` completes.
    pub list: Option<Uuid>,
}

/// Unban a client or a network on every edge, and reset its counters and repeat offences.
#[utoipa::path(
    delete, path = "/api/v1/bans/{*target}",
    params(
        ("target" = String, Path, description = "An address or a CIDR, as the list shows it; its slash may stand as it is"),
        UnbanRequest,
    ),
    responses((status = OK, description = "The ban is removed", body = Unbanned))
)]
async fn unban(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(target): Path<String>,
    Query(request): Query<UnbanRequest>,
) -> Result<Json<Unbanned>, Failure> {
    let target: Prefix = target.parse().map_err(|error| bad_request("target", error))?;
    check_note(&request.note)?;
    let (list, note) = (request.list, request.note);
    let lifted = match request.keep_strikes {
        false => {
            let unban = Unban {
                target,
                actor,
                note,
                list,
            };
            let lifted = api.ask(|reply| Input::Unban { unban, reply }).await?;
            if let Ok(Some(ban)) = &lifted {
                api.were_wrong(vec![ban.clone()]);
            }
            lifted
        }
        true => match ending_early(&api, target, actor, note).await? {
            Some(ban) => api.ask(|reply| Input::Ban { ban, reply }).await?.map(Some),
            None => Ok(None),
        },
    };
    match lifted {
        Ok(Some(ban)) => Ok(Json(Unbanned {
            target: ban.command.target.to_string(),
            unrecorded: !api.is_recorded().await,
        })),
        Ok(None) => {
            let address = target.addr();
            let facts = api.ask(|reply| Input::Explain { address, reply }).await?;
            let mut why = target.not_banned(facts.bans.iter().map(|ban| ban.command.target));
            // Of a list of thousands, nobody reads it.
            let feeds = match list {
                None => tokio::time::timeout(PATIENCE, api.feeds.with(address, facts.now_ms)).await,
                Some(_) => Ok(Ok(Vec::new())),
            };
            let drops = |(feed, network): &&(FleetFeed, Prefix)| {
                feed.verdict == FeedVerdict::Ban && network.covers(&target)
            };
            for (feed, network) in feeds.iter().flatten().flatten().filter(drops) {
                why += &format!(
                    "; edges drop its packets all the same, because {network} is on the list of the feed {}: allowlist it",
                    feed.name
                );
            }
            Err(Failure::new(StatusCode::NOT_FOUND, why).with_code("not_banned"))
        }
        Err(error) => Err(failure(error)),
    }
}

/// A ban in place of the one of `target`, if there is one, that ends at once: every edge and every orchestrator then goes by its end as
/// by that of any other ban, also after a restart.
async fn ending_early(
    api: &Api,
    target: Prefix,
    issuer: String,
    why: String,
) -> Result<Option<ManualBan>, Failure> {
    let query = BanQuery {
        within: Some(target),
        limit: Some(1),
        ..BanQuery::default()
    };
    let found = api.ask(|reply| Input::List { query, reply }).await?.bans;
    let found = found.into_iter().find(|ban| ban.command.target == target);
    Ok(found.map(|ban| {
        let BlockCommand {
            reason,
            layer,
            note,
            scope,
            ..
        } = ban.command;
        let note = if why.is_empty() { note } else { why };
        ManualBan {
            reason,
            layer,
            scope,
            shortens: true,
            ..ManualBan::new(target, now_ms() + EARLY_END_MS, note, issuer)
        }
    }))
}

/// Ban up to 10,000 clients and networks at once.
#[utoipa::path(
    post, path = "/api/v1/bans/import", request_body = ImportRequest,
    responses((status = OK, description = "The bans are stored, or would be", body = Imported))
)]
async fn import(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<ImportRequest>,
) -> Result<Json<Imported>, Failure> {
    if request.bans.len() > MAX_IMPORT {
        let bans = request.bans.len();
        return Err(bad_request(
            "bans",
            format!("{bans} in one request, {MAX_IMPORT} at most"),
        ));
    }
    let now = now_ms();
    let list = request.list.unwrap_or_else(Uuid::now_v7);
    let is_each_judged = request.dry_run || request.skip_refused;
    let (mut bans, mut places, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
    for (index, entry) in request.bans.into_iter().enumerate() {
        let target = entry.target.clone();
        match exchange::manual_ban(entry, actor.clone(), now) {
            Ok(ban) => {
                places.push(index);
                bans.push(ManualBan {
                    list: Some(list),
                    ..ban
                });
            }
            Err(why) if is_each_judged => invalid.push(view::Refused {
                index,
                target,
                why: why.to_string(),
                code: "invalid".to_owned(),
            }),
            Err(why) => return Err(bad_request(&format!("bans[{index}]"), why)),
        }
    }
    let import = Import {
        bans,
        mode: match (request.dry_run, request.skip_refused) {
            (true, _) => ImportMode::DryRun,
            (false, true) => ImportMode::SkipRefused,
            (false, false) => ImportMode::AllOrNothing,
        },
        actor: actor.clone(),
        nets_before: request.networks_before,
    };
    let patience = PATIENCE + PER_BAN * u32::try_from(import.bans.len()).unwrap_or(u32::MAX);
    let (is_dry_run, is_recorded) = (request.dry_run, request.list.is_none() && !request.dry_run);
    // It goes on to its record even if the client does not wait.
    let importing = tokio::spawn(async move {
        let imported = ask(&api.engine.inputs, Duration::MAX, |reply| Input::Import {
            import,
            reply,
        });
        let imported = Imported::from(imported.await?.map_err(failure)?);
        let imported = imported.with_invalid(&places, invalid, is_dry_run);
        if is_recorded && imported.banned > 0 {
            let record = imported.list(list);
            if let Err(failure) = api.record_list(record, actor).await {
                warn!(%list, "bans were imported, and the audit has no record of their list: {}", failure.detail());
            }
        }
        Ok::<_, Failure>(imported)
    });
    let imported = tokio::time::timeout(patience, importing).await;
    let imported = imported.map_err(|_| Unanswered::Late(patience))?;
    Ok(Json(imported.map_err(anyhow::Error::from)??))
}

/// Refused bans that an error names.
const NAMED: usize = 3;

/// Returns why an order was not carried out, as the API says it: 503 where the same order may succeed soon, 422 where it never
/// will, 409 where something else stands in its way.
pub(super) fn failure(error: OrderFailure) -> Failure {
    let order = match error {
        OrderFailure::Unreachable => return unavailable("nats_unreachable", &error),
        OrderFailure::Order(order) => order,
    };
    match order {
        OrderError::Restoring => unavailable("restoring", &order),
        OrderError::Refused(refused) => refusal(&refused),
        OrderError::SomeRefused { refused, of } => {
            let named = refused
                .iter()
                .take(NAMED)
                .map(|order| view::refusal(&order.refused));
            let named: Vec<_> = named.collect();
            let more = match refused.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let why = format!(
                "nothing was imported, since {} of {of} cannot be banned: {}{more}",
                refused.len(),
                named.join("; ")
            );
            Failure::new(StatusCode::CONFLICT, why).with_code("some_refused")
        }
        OrderError::Expired => conflict("expired", &order),
        OrderError::Superseded => conflict("superseded", &order),
        OrderError::Outrun => conflict("banned_by_another", &order),
        OrderError::Fenced => conflict("not_owner", &order),
    }
}

fn refusal(refused: &Refused) -> Failure {
    let status = match refused.refusal {
        Refusal::Protected(_) | Refusal::TooManyNets | Refusal::Outlasted(_) | Refusal::Outreached(_) => {
            StatusCode::CONFLICT
        }
        Refusal::Unbannable(_) | Refusal::Ended => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Failure::new(status, view::refusal(refused)).with_code(view::refusal_code(&refused.refusal))
}

fn unavailable(code: &'static str, error: &impl ToString) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).with_code(code)
}

fn conflict(code: &'static str, error: &impl ToString) -> Failure {
    Failure::new(StatusCode::CONFLICT, error.to_string()).with_code(code)
}
