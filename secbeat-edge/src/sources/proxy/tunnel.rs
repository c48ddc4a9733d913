//! Upgraded connections (RFC 9110 §7.8), as of WebSocket: bytes both ways until one side ends or nothing moves.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional_with_sizes};

use super::stream::Stream;

/// Bytes buffered in each direction.
const BUFFER: usize = 16 * 1024;

/// Both ends of an upgraded connection.
pub(super) struct Tunnel {
    /// Resolves once the client has the answer that switches protocols.
    pub(super) client: OnUpgrade,
    pub(super) server: Stream,
    /// What the server said behind its answer.
    pub(super) ahead: Bytes,
    pub(super) idle: Duration,
}

impl Tunnel {
    /// Passes bytes until both sides have ended, or none moved for `idle`, give or take as much.
    pub(super) async fn run(self) -> io::Result<()> {
        let client = self.client.await.map_err(io::Error::other)?;
        let mut client = TokioIo::new(client);
        client.write_all(&self.ahead).await?;
        let moved = Arc::<AtomicBool>::default();
        let mut client = Watched {
            stream: client,
            moved: moved.clone(),
        };
        let mut server = Watched {
            stream: self.server,
            moved: moved.clone(),
        };
        let idle = async {
            loop {
                tokio::time::sleep(self.idle).await;
                if !moved.swap(false, Relaxed) {
                    return;
                }
            }
        };
        tokio::select! {
            copied = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER) => copied.map(drop),
            () = idle => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// A stream that notes when bytes come from it.
struct Watched<S> {
    stream: S,
    moved: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
