//! Reads the PROXY header off a connection.

use std::{io, net::IpAddr, time::Duration};

use secbeat_common::wire::LearnedFrom;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::{
    Attribution, Client, TrustedProxies,
    announced::{HeaderError, MAX_V1, V2_START, announced, v2_length},
};

/// The reason why a connection of a listener with `proxy_protocol` is closed unserved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyProtocolError {
    #[error("{0} is not a trusted proxy, so its PROXY header does not count")]
    Untrusted(IpAddr),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("no complete PROXY header in time")]
    TimedOut,
    #[error("reading the PROXY header")]
    Read(#[from] io::Error),
}

/// Takes the header, and nothing of what follows it, off a connection that `peer` has just made.
///
/// # Errors
///
/// Returns an error if the connection must not be served.
pub(crate) async fn proxied_client(
    stream: &mut TcpStream,
    peer: IpAddr,
    trusted: &TrustedProxies,
    patience: Duration,
) -> Result<Attribution, ProxyProtocolError> {
    if !trusted.contains(peer) {
        return Err(ProxyProtocolError::Untrusted(peer));
    }
    let header = tokio::time::timeout(patience, read(stream))
        .await
        .map_err(|_| ProxyProtocolError::TimedOut)??;
    let (named, _) = announced(&header)?;
    Ok(named.map(|address| Client {
        address,
        learned_from: LearnedFrom::ProxyProtocol,
    }))
}

async fn read(stream: &mut TcpStream) -> Result<Vec<u8>, ProxyProtocolError> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    match first {
        [b'P'] => read_line(stream).await,
        [b'\r'] => {
            let mut start = [0; V2_START];
            stream.read_exact(&mut start).await?;
            let mut header = start.to_vec();
            header.resize(v2_length(&start)?, 0);
            stream.read_exact(&mut header[V2_START..]).await?;
            Ok(header)
        }
        _ => Err(HeaderError::Malformed.into()),
    }
}

/// Reads up to the first line feed, by looking at what has come before taking it.
async fn read_line(stream: &mut TcpStream) -> Result<Vec<u8>, ProxyProtocolError> {
    let mut line = Vec::with_capacity(MAX_V1);
    loop {
        let mut ahead = [0; MAX_V1];
        let seen = stream.peek(&mut ahead[..MAX_V1 - line.len()]).await?;
        if seen == 0 {
            return Err(HeaderError::Malformed.into());
        }
        let end = ahead[..seen].iter().position(|byte| *byte == b'\n');
        let read = line.len();
        line.resize(read + end.map_or(seen, |end| end + 1), 0);
        stream.read_exact(&mut line[read..]).await?;
        match end {
            Some(_) => return Ok(line),
            None if line.len() >= MAX_V1 => return Err(HeaderError::Malformed.into()),
            None => {}
        }
    }
}
