//! Active health checks: one task per server.

use std::{sync::Weak, time::Duration};

use hyper::{
    Method, Request, StatusCode, Uri,
    header::{self, HeaderValue},
};
use tokio::time::MissedTickBehavior;

use super::{ConnectError, Connection, ConnectionPolicy, Exchanged, Server};
use crate::sources::proxy::{
    config::HealthConfig,
    headers::{Trailers, for_http2},
    upload::ClientBody,
};

/// Asks `server` of upstream `name` for as long as it is in use.
pub(super) async fn watch(name: String, server: Weak<Server>, config: HealthConfig) {
    let mut tick = tokio::time::interval(config.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut good, mut bad) = (0_u32, 0_u32);
    loop {
        tick.tick().await;
        let Some(server) = server.upgrade() else {
            return;
        };
        let asked = tokio::time::timeout(config.timeout, ask(&server, &config)).await;
        let wrong = match asked {
            Ok(Ok(status)) if status.as_u16() < 400 => None,
            Ok(Ok(status)) => Some(format!("it answers {status}")),
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("no answer within {:?}", config.timeout)),
        };
        match wrong {
            None => (good, bad) = (good.saturating_add(1), 0),
            Some(_) => (good, bad) = (0, bad.saturating_add(1)),
        }
        let url = &server.url;
        if good >= config.pass.get() && server.set_healthy(true) {
            tracing::info!(upstream = name, server = %url, "a server is back");
        }
        if bad >= config.fail.get() && server.set_healthy(false) {
            let why = wrong.unwrap_or_default();
            tracing::warn!(upstream = name, server = %url, why, "a server is taken out");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Exchange(#[from] hyper::Error),
    #[error("no answer in time")]
    Late,
    #[error("its path has no place in HTTP/2")]
    Path,
}

/// Always on a connection of its own: an old one would say nothing of a server that accepts no more.
async fn ask(server: &Server, config: &HealthConfig) -> Result<StatusCode, CheckError> {
    const NEVER: Duration = Duration::from_secs(24 * 3600);
    let mut request = Request::new(ClientBody::Empty);
    *request.method_mut() = Method::GET;
    // The config takes nothing that is not a path.
    *request.uri_mut() = Uri::try_from(config.path.as_str()).unwrap_or_default();
    let host = HeaderValue::from_str(server.url.authority().as_str());
    if let Ok(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    let agent = HeaderValue::from_static("secbeat-health-check");
    request.headers_mut().insert(header::USER_AGENT, agent);
    let mut connection = match server.connection(ConnectionPolicy::Alone, None).await? {
        Connection::Http1(connection) => connection,
        Connection::Http2(stream) => {
            let scheme = server.url.scheme();
            let (mut head, body) = request.into_parts();
            let host = HeaderValue::from_static("");
            for_http2(
                &mut head,
                &host,
                Trailers::NotTaken,
                server.url.authority(),
                scheme,
            )
            .map_err(|_| CheckError::Path)?;
            let request = Request::from_parts(head, body);
            return Ok(stream.sender().send_request(request).await?.status());
        }
    };
    match connection.exchange(request, None, NEVER).await {
        Exchanged::Answered(response) | Exchanged::Switched(response, ..) => Ok(response.status()),
        Exchanged::Failed { error, .. } => Err(error.into()),
        Exchanged::Late => Err(CheckError::Late),
    }
}
