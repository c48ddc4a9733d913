//! Many bans at once: lifting those that fit a filter, and writing them out.
#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io::{self, Write},
    sync::Arc,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{
        StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use clap::ValueEnum as _;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use secbeat_common::{
    prefix::Prefix,
    wire::{List, ListUse},
};
use secbeat_daemon::{api::bad_request, time::now_ms};
use secbeat_orchestrator_core::{
    decider::Unban,
    ledger::{ActiveBan, BanQuery},
};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api, Caller, Failure,
    bans::{MAX_PAGE, check_note, failure},
    filter::BanFilter,
};
use crate::{
    engine::Input,
    exchange::{BanEntry, Layout, Writer},
    view::BanView,
};

/// Bans that one request lifts at most.
const MAX_LIFTED: usize = 10_000;
/// Unbans that wait for the bus at a time.
const AT_A_TIME: usize = 64;
/// Bans that a preview shows.
const SHOWN: usize = 100;
/// Bans that an answer names as not lifted.
const NAMED: usize = 20;

/// `POST /api/v1/bans/lift`: which bans, either by what they have in common or by name.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct LiftRequest {
    /// Bans that it selects. An empty filter selects all bans, and needs `all`.
    filter: Option<BanFilter>,
    /// Targets as the list of bans shows them, instead of a filter.
    targets: Vec<String>,
    /// Whether to remove all bans.
    all: bool,
    /// The reason for it, at most 1,024 bytes. The audit and `why` show it.
    note: String,
    /// Dry run: returns what would be removed.
    dry_run: bool,
    /// `digest` of the preview. If other bans are selected by now, none is removed (409, `changed`).
    digest: Option<String>,
    /// `matched` of the preview. If the filter selects more bans by now, none is removed (409, `changed`).
    expected: Option<usize>,
}

/// The outcome of a removal of bans, or what it would be.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Lifting {
    /// Bans that fit.
    matched: usize,
    /// Digest of the bans that one request lifts. It changes with each that comes, goes, or takes the place of another.
    digest: String,
    /// Bans that were lifted; in a preview, those that would be by one request.
    lifted: usize,
    /// Bans that fit and are left: one request lifts 10,000 at most.
    left: usize,
    /// The first of them, in a preview.
    bans: Vec<BanView>,
    /// Some of those that could not be lifted, and why.
    failed: Vec<NotLifted>,
    /// Whether the audit does not have all of it yet: NATS has not taken the records within 2 s, and they are tried again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unrecorded: bool,
}

/// A ban that is still in force.
#[derive(Debug, Serialize, ToSchema)]
struct NotLifted {
    /// Target of the ban.
    target: String,
    /// The reason why it was not removed.
    why: String,
}

/// The query of `GET /api/v1/bans/export`, as that of the list of bans.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
struct ExportRequest {
    /// `json` (the default), `csv`, `list`, `ipset`, `nft`, `nginx` or `haproxy`.
    format: Option<String>,
    /// Bans with this reason: `manual`, or the name of a rule.
    reason: Option<String>,
    /// Bans of this user, token or daemon.
    issuer: Option<String>,
    /// Bans of this network and of what lies in it.
    within: Option<String>,
    /// Bans that say this in their target, reason, issuer or note.
    text: Option<String>,
    /// Bans that this edge enforces; the fleet has to have heard of it.
    edge: Option<String>,
    /// Bans that an edge with this label enforces, such as `site=berlin`; several as `role=web,site=berlin`.
    label: Option<String>,
    /// Bans that were issued within this time, such as `1h`.
    newer_than: Option<String>,
    /// Bans that were issued longer ago, such as `7d`.
    older_than: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(lift)).routes(routes!(export))
}

/// Remove the bans that a filter selects, or only show which these are.
#[utoipa::path(
    post, path = "/api/v1/bans/lift", request_body = LiftRequest,
    responses((status = OK, description = "The bans are removed, or would be", body = Lifting))
)]
async fn lift(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<LiftRequest>,
) -> Result<Json<Lifting>, Failure> {
    let LiftRequest {
        filter,
        targets,
        all,
        note,
        dry_run,
        digest: shown,
        expected,
    } = request;
    check_note(&note)?;
    let query = meant(&api, filter, &targets, all).await?;
    let found = api.ask(|reply| Input::List { query, reply }).await?;
    let matched = found.total.unwrap_or(found.bans.len());
    let mut lifting = Lifting {
        matched,
        digest: digest(&found.bans),
        lifted: found.bans.len(),
        left: matched.saturating_sub(found.bans.len()),
        ..Lifting::default()
    };
    if dry_run {
        let (now_ms, first) = (now_ms(), found.bans.iter().take(SHOWN));
        lifting.bans = first.map(|ban| BanView::new(ban, &api.geo, now_ms)).collect();
        return Ok(Json(lifting));
    }
    if let Some(expected) = expected.filter(|expected| matched > *expected) {
        return Err(changed(&format!(
            "{matched} bans match now, and the preview showed {expected}"
        )));
    }
    if shown.is_some_and(|shown| shown != lifting.digest) {
        return Err(changed(&format!(
            "the {matched} bans that match now are not those that the preview showed"
        )));
    }
    let targets = found.bans.iter().map(|ban| ban.command.target).collect();
    // It goes on even if the one who asked does not wait.
    let lifted = tokio::spawn(async move { api.lift_all(targets, (actor, note), lifting).await });
    Ok(Json(lifted.await.map_err(anyhow::Error::from)?))
}

/// The bans that a request means, as many as it lifts.
async fn meant(
    api: &Api,
    filter: Option<BanFilter>,
    targets: &[String],
    all: bool,
) -> Result<BanQuery, Failure> {
    let filter = filter.filter(|filter| !filter.is_empty());
    if !targets.is_empty() && (all || filter.is_some()) {
        return Err(bad_request(
            "targets",
            "say either `targets`, or `filter` or `all`",
        ));
    }
    let query = match filter {
        Some(filter) => filter.query(api).await?,
        None if all => BanQuery::default(),
        None if targets.is_empty() => {
            return Err(bad_request(
                "filter",
                "it takes all bans: say `all` if these are meant",
            ));
        }
        None => BanQuery {
            targets: Some(named(targets)?),
            ..BanQuery::default()
        },
    };
    Ok(BanQuery {
        limit: Some(MAX_LIFTED),
        ..query
    })
}

fn named(targets: &[String]) -> Result<BTreeSet<Prefix>, Failure> {
    let named = targets.iter().enumerate().map(|(index, target)| {
        let target = target.parse::<Prefix>();
        target.map_err(|error| bad_request(&format!("targets[{index}]"), error))
    });
    named.collect()
}

/// 128 bits of the SHA-256 over each ban's target and id, in hexadecimal digits.
fn digest(bans: &[ActiveBan]) -> String {
    let mut hash = Context::new(&SHA256);
    for ActiveBan { command, .. } in bans {
        hash.update(format!("{} {}\n", command.target, command.id).as_bytes());
    }
    let hash = hash.finish();
    let digits = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Returns the failure for bans that are not those of the preview any more.
fn changed(how: &str) -> Failure {
    Failure::new(StatusCode::CONFLICT, format!("{how}: look at them again")).with_code("changed")
}

impl Api {
    /// Lifts the bans of `targets`, for an actor and the reason that it gave.
    async fn lift_all(
        self,
        targets: Vec<Prefix>,
        (actor, note): (String, String),
        mut lifting: Lifting,
    ) -> Lifting {
        let list = Uuid::now_v7();
        let asked = targets.len();
        let api = &self;
        let orders = targets.into_iter().map(|target| {
            let unban = Unban {
                target,
                actor: actor.clone(),
                note: note.clone(),
                list: Some(list),
            };
            async move {
                let answer = api.ask(|reply| Input::Unban { unban, reply }).await;
                (target, answer.and_then(|answer| answer.map_err(failure)))
            }
        });
        let mut bans = Vec::new();
        let mut answers = stream::iter(orders).buffer_unordered(AT_A_TIME);
        while let Some((target, answer)) = answers.next().await {
            match answer {
                Ok(ban) => bans.extend(ban),
                Err(why) if lifting.failed.len() < NAMED => lifting.failed.push(NotLifted {
                    target: target.to_string(),
                    why: why.detail().to_owned(),
                }),
                Err(_) => {}
            }
        }
        drop(answers);
        lifting.lifted = bans.len();
        lifting.unrecorded = !self.is_recorded().await;
        if !bans.is_empty() {
            let record = List {
                id: list,
                what: ListUse::Unban,
                digest: None,
                format: "api".to_owned(),
                name: String::new(),
                note,
                new: bans.len() as u64,
                longer: 0,
                unchanged: (asked - bans.len()) as u64,
                left_out: 0,
                complete: lifting.failed.is_empty(),
            };
            self.were_wrong(bans);
            if let Err(failure) = self.record_list(record, actor).await {
                warn!(%list, "bans were lifted, and the audit has no record of their list: {}", failure.detail());
            }
        }
        lifting
    }
}

/// The bans in force that a filter selects, as a file. Bans that only some edges enforce are left out.
#[utoipa::path(
    get, path = "/api/v1/bans/export", params(ExportRequest),
    responses((status = OK, content((Vec<BanEntry> = "application/json"), (String = "text/csv"), (String = "text/plain")), description = "With another `format`, a text"))
)]
async fn export(State(api): State<Api>, Query(request): Query<ExportRequest>) -> Result<Response, Failure> {
    let format = request.format.as_deref().unwrap_or("json");
    let layout = Layout::from_str(format, false).map_err(|_| {
        bad_request(
            "format",
            format!("invalid format `{format}`: expected one of json, csv, list, ipset, nft, nginx, haproxy"),
        )
    })?;
    let filter = BanFilter {
        reason: request.reason,
        issuer: request.issuer,
        within: request.within,
        text: request.text,
        edge: request.edge,
        label: request.label,
        newer_than: request.newer_than,
        older_than: request.older_than,
        ..BanFilter::default()
    };
    let query = BanQuery {
        limit: Some(MAX_PAGE),
        ..filter.query(&api).await?
    };
    let written = Shared::default();
    let pages = Pages {
        writer: Some(Writer::new(written.clone(), layout, now_ms())),
        written,
        query,
        api,
    };
    let (media, extension) = match layout {
        Layout::Json => ("application/json", "json"),
        Layout::Csv => ("text/csv; charset=utf-8", "csv"),
        _ => ("text/plain; charset=utf-8", "txt"),
    };
    let head = [
        (CONTENT_TYPE, media.to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"secbeat-bans.{extension}\""),
        ),
    ];
    let body = stream::unfold(pages, |mut pages| async move {
        let bytes = pages.next().await?;
        Some((Ok::<_, Infallible>(bytes), pages))
    });
    Ok((head, Body::from_stream(body)).into_response())
}

/// What is written until it is sent.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A page of bans at a time, written.
struct Pages {
    api: Api,
    query: BanQuery,
    writer: Option<Writer<Shared>>,
    written: Shared,
}

impl Pages {
    /// The bytes of the next page. A file that breaks off has no end: JSON then cannot be read.
    async fn next(&mut self) -> Option<Bytes> {
        let mut writer = self.writer.take()?;
        let query = self.query.clone();
        let page = self.api.ask(|reply| Input::List { query, reply }).await.ok()?;
        let now_ms = now_ms();
        for ban in page.bans.iter().filter(|ban| ban.command.scope.edges().is_none()) {
            writer
                .write(&BanEntry::from(&BanView::new(ban, &self.api.geo, now_ms)))
                .ok()?;
        }
        match page.next {
            Some(place) => {
                self.query.after = Some(place);
                self.writer = Some(writer);
            }
            None => drop(writer.finish().ok()?),
        }
        Some(std::mem::take(&mut *self.written.0.lock()).into())
    }
}
