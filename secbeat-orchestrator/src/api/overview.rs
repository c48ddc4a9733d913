//! `/api/v1/overview` and `/api/v1/stream`: what the web page shows as it happens.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, events::LAST_EVENT_ID, peer::MayRead};
use crate::{events::EventId, overview::Happened, view::Overview};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(stream))
}

/// What happens right now, on one screen; at most two seconds old.
#[utoipa::path(get, path = "/api/v1/overview", responses((status = OK, body = Overview)))]
async fn overview(State(api): State<Api>) -> Result<Json<Overview>, Failure> {
    let overview = api.hub.overview();
    if overview.at.is_empty() {
        let why = "there is no data yet: the daemon has just started";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why).with_code("starting"));
    }
    Ok(Json(Overview::clone(&overview)))
}

/// The same as server-sent events: `overview` once a second while something changes and every 10 s otherwise; `finding`, `ban`,
/// `unban`, `allow`, `disallow`, `edge-up`, `edge-down`, `edge-drifts`, `edge-agrees` and `alarm`, each with an id; and `reset`
/// for a client that has missed events for good.
#[utoipa::path(
    get, path = "/api/v1/stream",
    params(("Last-Event-ID" = Option<String>, Header, description = "Resume after this event; without it, the next event is the first")),
    responses(
        (status = OK, body = Happened, content_type = "text/event-stream",
            description = "Each event's data, but for `overview` (an `Overview`), `alarm` (an `AlarmChange`) and `reset` (a `Watched`)"),
    )
)]
async fn stream(State(api): State<Api>, may_read: MayRead, headers: HeaderMap) -> Result<Response, Failure> {
    let after = headers
        .get(LAST_EVENT_ID)
        .map(|id| id.to_str().unwrap_or_default().parse::<EventId>());
    // What is not an id is one of another process, whose events are gone.
    let after = after.map(|id| id.unwrap_or_default());
    let Some(frames) = api.hub.follow(after, move || may_read.holds()) else {
        let why = "too many clients follow the stream (64): close a page, or try again later";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why).with_code("too_many_streams"));
    };
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((head, Body::from_stream(frames)).into_response())
}
