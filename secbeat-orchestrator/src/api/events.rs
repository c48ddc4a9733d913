//! `/api/v1/events`: what happens, as server-sent events (HTML Living Standard, section 9.2).

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event as Sent, KeepAlive, Sse},
};
use futures::{Stream, stream};
use secbeat_daemon::api::bad_request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{engine::Happening, events::Told, view::EventView};

/// How often a comment shows that a silent stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The request header by which a client that comes back says what it has seen.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// The data of a `lagged` event.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Lagged {
    /// How many events came and went unseen; `None` if the daemon has started again since.
    pub missed: Option<u64>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Server-sent events `finding`, `ban`, `unban`, `edge-up` and `edge-down`. A client that has missed events gets `lagged`.
#[utoipa::path(
    get, path = "/api/v1/events",
    params(("Last-Event-ID" = Option<String>, Header, description = "Resume after this event; without it, the next event is the first")),
    responses((status = OK, body = EventView, content_type = "text/event-stream",
        description = "Each event's data, but for `lagged`, whose data is a `Lagged`"))
)]
async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Failure> {
    let after = headers
        .get(LAST_EVENT_ID)
        .map(|id| id.to_str().unwrap_or_default().parse())
        .transpose()
        .map_err(|error: String| bad_request(LAST_EVENT_ID, error))?;
    let told = stream::unfold(api.events.follow(after), |mut reader| async move {
        loop {
            if let Some(sent) = sent(&reader.next().await?) {
                return Some((Ok(sent), reader));
            }
        }
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// `None` for what changes nothing.
fn sent(told: &Told<Happening>) -> Option<Sent> {
    match told {
        Told::Event(event) => EventView::new(event).as_ref().map(of),
        Told::Lagged(missed) => {
            let lagged = Lagged { missed: *missed };
            Some(Sent::default().event("lagged").data(json(&lagged)))
        }
    }
}

fn of(event: &EventView) -> Sent {
    Sent::default()
        .id(&event.id)
        .event(event.change.kind())
        .data(json(event))
}

/// Our own types always have a JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
