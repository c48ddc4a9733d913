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
use tokio::time::{Interval, interval};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, peer::MayRead};
use crate::{
    engine::Happening,
    events::{NextEvent, Reader},
    overview::RECHECK,
    view::EventView,
};

/// Interval at which a comment shows that a silent stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The request header by which a client that comes back says what it has seen.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// The data of a `lagged` event.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Lagged {
    /// Number of events that were missed; `None` if the daemon has started again since.
    pub missed: Option<u64>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Server-sent events: `finding`, `ban`, `unban`, `allow`, `disallow`, `edge-up`, `edge-down`, `edge-drifts`, `edge-agrees`. A client
/// that missed events gets `lagged`.
#[utoipa::path(
    get, path = "/api/v1/events",
    params(("Last-Event-ID" = Option<String>, Header, description = "Resume after this event; without it, the next event is the first")),
    responses((status = OK, body = EventView, content_type = "text/event-stream",
        description = "Each event's data, except for `lagged`, whose data is a `Lagged`"))
)]
async fn events(
    State(api): State<Api>,
    may_read: MayRead,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Failure> {
    let after = headers
        .get(LAST_EVENT_ID)
        .map(|id| id.to_str().unwrap_or_default().parse())
        .transpose()
        .map_err(|error: String| bad_request(LAST_EVENT_ID, error))?;
    let following = Following {
        reader: api.events.follow(after),
        recheck: interval(RECHECK),
        may_read,
    };
    let told = stream::unfold(following, |mut following| async move {
        let sent = following.next().await?;
        Some((Ok(sent), following))
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One client that follows.
struct Following {
    reader: Reader<Happening>,
    recheck: Interval,
    may_read: MayRead,
}

impl Following {
    /// Returns what it is sent next; `None` at the daemon's end, and once it may not read any more.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            let next = tokio::select! {
                biased;
                told = self.reader.next() => sent(&told?),
                _ = self.recheck.tick() => None,
            };
            if !self.may_read.holds() {
                return None;
            }
            if next.is_some() {
                return next;
            }
        }
    }
}

/// `None` for what changes nothing.
fn sent(told: &NextEvent<Happening>) -> Option<Sent> {
    match told {
        NextEvent::Event(event) => EventView::new(event).as_ref().map(of),
        NextEvent::Lagged(missed) => {
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
