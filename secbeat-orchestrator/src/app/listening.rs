//! Listeners of the API, and its sessions.

use anyhow::Context as _;
use secbeat_daemon::{api::LocalSocket, time::wall_us, tls::ServerTls};
use tokio::net::TcpListener;

use crate::{
    clock::boot_ms,
    config::{ApiConfig, PROGRAM},
    sessions::Sessions,
};

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

/// The sessions of the web page. They are kept beside the API's socket, in a folder that ends with the host.
pub(super) fn sessions(socket: Option<&LocalSocket>) -> Sessions {
    let now_ms = boot_ms();
    match socket {
        Some(socket) => {
            let file = socket.path().with_extension("sessions");
            Sessions::kept_in(file, wall_us() / 1000 - now_ms, now_ms)
        }
        None => Sessions::default(),
    }
}
