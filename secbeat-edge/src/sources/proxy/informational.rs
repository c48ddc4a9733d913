//! Interim responses of a server: to the client, and to its body.

use std::sync::Arc;

use hyper::{StatusCode, ext::on_informational};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{interim::Interims, upload::ClientBody};

/// Has interim answers to a request, which its extensions travel with, go to `client`; and its body `wait` for a 100, if the client
/// waits for one (RFC 9110 §10.1.1).
pub(super) fn pass_on(
    request: &mut hyper::http::request::Parts,
    body: &mut ClientBody,
    client: Arc<Interims>,
    waits: bool,
) {
    let go_on = match waits {
        true => {
            let (go_on, asked) = oneshot::channel();
            body.hold(asked);
            Some(go_on)
        }
        false => None,
    };
    let go_on = Mutex::new(go_on);
    let mut carrier = hyper::Request::new(());
    on_informational(&mut carrier, move |answer| match answer.status() {
        // Hyper's server says so itself, as soon as the body is asked for.
        StatusCode::CONTINUE => {
            if let Some(go_on) = go_on.lock().take() {
                let _ = go_on.send(());
            }
        }
        StatusCode::SWITCHING_PROTOCOLS => {}
        status => client.push(status, answer.headers()),
    });
    request
        .extensions
        .extend(std::mem::take(carrier.extensions_mut()));
}
