//! `/api/v1/signatures`: what edges look for, what became of that, and what operators decided of it.

use axum::{Json, extract::State, http::StatusCode};
use secbeat_common::wire::{FleetSignatures, MAX_SIGNATURE_NOTE, SignatureText, is_signature_id};
use secbeat_daemon::api::bad_request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Caller, Failure};
use crate::{
    signatures::{Known, Refusal},
    view::{DisabledView, Origin, PublishedView, SignatureView},
};

/// Most signatures of one order.
const MAX_IDS: usize = 100;

/// `PUT /api/v1/signatures/published`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishRequest {
    /// All that the fleet shall have; none withdraws what it has.
    pub files: Vec<SignatureText>,
    /// Dry run: only checks them.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /api/v1/signatures/disable`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisableRequest {
    /// Ids of signatures.
    pub ids: Vec<String>,
    /// The reason, for later readers.
    #[serde(default)]
    pub note: String,
}

/// `POST /api/v1/signatures/enable`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnableRequest {
    /// Ids of signatures.
    pub ids: Vec<String>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Disconnected => (StatusCode::SERVICE_UNAVAILABLE, "nats_unreachable"),
            Refusal::Unacknowledged(_) => (StatusCode::SERVICE_UNAVAILABLE, "unacknowledged"),
            Refusal::Wrong(_) | Refusal::Bad(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_signatures"),
            Refusal::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_signature"),
            Refusal::NotDisabled(_) => (StatusCode::NOT_FOUND, "not_disabled"),
            Refusal::Contended => (StatusCode::CONFLICT, "contended"),
        };
        Self::new(status, refusal.to_string()).with_code(code)
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(published, publish))
        .routes(routes!(disable))
        .routes(routes!(enable))
}

/// The signatures of the fleet, sorted by id, with their hits, bans and lifted bans.
#[utoipa::path(get, path = "/api/v1/signatures", operation_id = "list_signatures", responses((status = OK, body = Vec<SignatureView>)))]
async fn list(State(api): State<Api>) -> Json<Vec<SignatureView>> {
    Json(api.signature_views().await)
}

/// The signatures that were published for the fleet, and those that are disabled.
#[utoipa::path(get, path = "/api/v1/signatures/published", responses((status = OK, body = PublishedView)))]
async fn published(State(api): State<Api>) -> Json<PublishedView> {
    let Known { set, catalogue } = api.signatures.known.borrow().clone();
    let signatures = catalogue.published();
    Json(set.map_or_else(PublishedView::default, |set| PublishedView::new(&set, signatures)))
}

/// Publish files of signatures for all edges. They replace those published before.
#[utoipa::path(
    put, path = "/api/v1/signatures/published", request_body = PublishRequest,
    responses((status = OK, description = "The files are stored, or would be", body = PublishedView))
)]
async fn publish(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<PublishRequest>,
) -> Result<Json<PublishedView>, Failure> {
    let PublishRequest { files, dry_run } = request;
    let signatures = api.signatures.check(files.clone()).await?;
    if dry_run {
        return Ok(Json(PublishedView {
            signatures,
            files,
            ..PublishedView::default()
        }));
    }
    let set = to_the_end(async move { api.signatures.publish(files, actor).await }).await?;
    Ok(Json(PublishedView::new(&set, signatures)))
}

/// Disable signatures on all edges at once.
#[utoipa::path(
    post, path = "/api/v1/signatures/disable", request_body = DisableRequest,
    responses((status = OK, description = "The change is stored", body = PublishedView))
)]
async fn disable(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<DisableRequest>,
) -> Result<Json<PublishedView>, Failure> {
    let DisableRequest { ids, note } = request;
    check(&ids)?;
    if note.len() > MAX_SIGNATURE_NOTE {
        let bytes = note.len();
        return Err(bad_request(
            "note",
            format!("{bytes} bytes, {MAX_SIGNATURE_NOTE} at most"),
        ));
    }
    let known = api.signature_views().await;
    let is_known = |id: &&String| known.iter().any(|known| known.id == **id);
    let unknown: Vec<_> = ids.iter().filter(|id| !is_known(id)).cloned().collect();
    if !unknown.is_empty() {
        return Err(Refusal::Unknown(unknown).into());
    }
    let published = api.signatures.known.borrow().catalogue.published();
    let set = to_the_end(async move { api.signatures.disable(ids, note, actor).await }).await?;
    Ok(Json(PublishedView::new(&set, published)))
}

/// Enable disabled signatures on all edges again.
#[utoipa::path(
    post, path = "/api/v1/signatures/enable", request_body = EnableRequest,
    responses((status = OK, description = "The change is stored", body = PublishedView))
)]
async fn enable(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<EnableRequest>,
) -> Result<Json<PublishedView>, Failure> {
    let EnableRequest { ids } = request;
    check(&ids)?;
    let published = api.signatures.known.borrow().catalogue.published();
    let set = to_the_end(async move { api.signatures.enable(ids, actor).await }).await?;
    Ok(Json(PublishedView::new(&set, published)))
}

fn check(ids: &[String]) -> Result<(), Failure> {
    if ids.is_empty() || ids.len() > MAX_IDS {
        let count = ids.len();
        return Err(bad_request("ids", format!("{count} ids; name 1 to {MAX_IDS}")));
    }
    match ids.iter().position(|id| !is_signature_id(id)) {
        None => Ok(()),
        Some(index) => Err(bad_request(
            &format!("ids[{index}]"),
            "use lower-case letters, digits and hyphens",
        )),
    }
}

impl Api {
    /// All signatures that are known, with their counts, by id.
    async fn signature_views(&self) -> Vec<SignatureView> {
        let mut counts = self.signature_counts.now().await;
        let Known { set, catalogue } = self.signatures.known.borrow().clone();
        let set = set.unwrap_or_default();
        let known = catalogue.all().map(|(signature, is_published)| {
            let count = counts.remove(&signature.id).unwrap_or_default();
            SignatureView {
                id: signature.id.clone(),
                origin: if is_published {
                    Origin::Fleet
                } else {
                    Origin::Shipped
                },
                title: signature.title.clone(),
                class: signature.class.to_string(),
                severity: signature.severity.to_string(),
                references: signature.references.clone(),
                hits: count.hits,
                bans: count.bans,
                lifted: count.lifted,
                disabled: DisabledView::of(&set, &signature.id),
            }
        });
        let mut views: Vec<_> = known.collect();
        views.extend(counts.into_iter().map(|(id, count)| SignatureView {
            hits: count.hits,
            bans: count.bans,
            lifted: count.lifted,
            disabled: DisabledView::of(&set, &id),
            ..SignatureView::unmet(id)
        }));
        views.sort_by(|one, other| one.id.cmp(&other.id));
        views
    }
}

/// What the bus has must be audited, even if the one who asked does not wait for the answer.
async fn to_the_end(
    change: impl Future<Output = Result<FleetSignatures, Refusal>> + Send + 'static,
) -> Result<FleetSignatures, Failure> {
    let changed = tokio::spawn(change).await.map_err(anyhow::Error::from)?;
    Ok(changed?)
}
