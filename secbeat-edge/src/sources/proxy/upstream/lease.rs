//! Connections that carry a request.

use std::{sync::Arc, task::Context};

use super::{http1::Http1, http2::Http2Stream, server::Server};

/// A connection in use, to be given back. Dropped before, it is closed, or its stream is.
pub(in super::super) enum Lease {
    Http1(Box<Http1>, Arc<Server>),
    /// Another task drives it.
    Http2 {
        /// Held until the answer is over.
        _stream: Http2Stream,
    },
}

impl Lease {
    /// Moves bytes.
    pub(in super::super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Self::Http1(connection, _) = self {
            connection.drive(cx);
        }
    }

    /// Keeps the connection for another request, if it can carry one.
    pub(in super::super) fn give_back(self) {
        if let Self::Http1(mut connection, server) = self
            && connection.is_ready()
        {
            server.keep(connection);
        }
    }
}
