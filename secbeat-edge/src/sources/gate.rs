//! Decision about a request before it is served.

use tokio::sync::watch;

use super::client_address::Client;

/// Knows who is banned.
pub(crate) trait Gate: Send + Sync {
    /// Asked on every request, of every connection.
    fn admission(&self, client: Client) -> Admission;

    /// Whether a request would be refused now. Nothing is counted.
    fn refuses(&self, client: Client) -> bool;

    /// Told whenever somebody may be refused who was not before.
    fn changes(&self) -> watch::Receiver<()>;
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Served,
    /// Its client is banned, and the request is not reported.
    Refused,
    /// Its client is banned at the HTTP layer alone, and yet here on a connection of its own, which the kernel could
    /// refuse. The request is reported, so that it comes to that if the client goes on.
    RefusedAsPeer,
}
