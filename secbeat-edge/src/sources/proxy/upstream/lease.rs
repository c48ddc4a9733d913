//! Connections that carry a request.

use std::{sync::Arc, task::Context};

use super::{http1::Http1, server::Server};

/// A connection in use, to be given back. Dropped before, it is closed.
pub(in super::super) struct Lease {
    connection: Box<Http1>,
    server: Arc<Server>,
}

impl Lease {
    pub(in super::super) fn new(connection: Box<Http1>, server: Arc<Server>) -> Self {
        Self { connection, server }
    }

    /// Moves bytes.
    pub(in super::super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.connection.drive(cx);
    }

    /// Keeps the connection for another request, if it can carry one.
    pub(in super::super) fn give_back(mut self) {
        if self.connection.is_ready() {
            self.server.keep(self.connection);
        }
    }
}
