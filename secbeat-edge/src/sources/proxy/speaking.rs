//! HTTP towards clients.

use std::{sync::Arc, time::Duration};

use hyper::server::conn::{http1, http2};
use hyper_util::{rt::TokioTimer, server::conn::auto};

use super::{
    MAX_FIELDS, MAX_HEAD,
    hearing::{Hearing, STREAMS},
    taking::Streams,
};

/// Bytes that an HTTP/2 client may send ahead, on one stream and on all of them.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// The same on all streams of a trusted proxy: the uploads of one client, which a server does not read, leave room for all others'.
const SHARED_WINDOW: u32 = STREAMS * WINDOWS.0;
/// Bytes of each answer that wait for an HTTP/2 client which takes them slowly.
const AHEAD: usize = 128 * 1024;
/// Largest list of headers in HTTP/2, in bytes (RFC 9113 §6.5.2).
const HEADER_LIST: u32 = 32 * 1024;
/// An HTTP/2 client is pinged after this long without a byte, and cut off without an answer in the same time.
const PING: Duration = Duration::from_secs(20);

/// Without time limits: [`ClientStream`](super::heard::ClientStream) sees to those of heads.
pub(super) fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD);
    builder
}

/// Bytes that a client may send ahead on all streams of its connection.
const fn window(is_trusted: bool) -> u32 {
    match is_trusted {
        true => SHARED_WINDOW,
        false => WINDOWS.1,
    }
}

/// For the connection that `hearing` knows of, which may be one of many clients.
pub(super) fn http2(hearing: Arc<Hearing>, is_trusted: bool) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams(hearing));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(window(is_trusted))
        .max_send_buf_size(AHEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Either, by the client's first bytes (RFC 9113 §3.4).
pub(super) fn either(hearing: Arc<Hearing>, is_trusted: bool) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams(hearing));
    builder.http1().max_headers(MAX_FIELDS).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(window(is_trusted))
        .max_send_buf_size(AHEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
