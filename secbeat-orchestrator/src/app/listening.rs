//! Where the API listens.

use anyhow::Context as _;
use secbeat_daemon::{api::LocalSocket, tls::ServerTls};
use tokio::net::TcpListener;

use crate::config::{ApiConfig, PROGRAM};

/// Binds the API.
pub(super) async fn listen(
    api: &ApiConfig,
) -> anyhow::Result<(TcpListener, Option<LocalSocket>, Option<ServerTls>)> {
    let tls = api.tls.iter().cloned().collect::<Vec<_>>();
    let tls = match tls.as_slice() {
        [] => None,
        files => Some(ServerTls::new(files, &["http/1.1"]).context("api.tls")?),
    };
    let listener = TcpListener::bind(api.listen)
        .await
        .with_context(|| format!("api.listen: listening on {}", api.listen))?;
    let socket = api.socket.open(PROGRAM).context("api.socket")?;
    Ok((listener, socket, tls))
}
