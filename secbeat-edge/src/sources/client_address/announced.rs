//! The header of the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::net::IpAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};

use super::chain::Unattributed;

/// Longest header of version 1 in bytes, its line feed included.
pub(super) const MAX_V1: usize = 107;
/// What a header of version 2 begins with, the length of the rest included.
pub(super) const V2_START: usize = 16;
/// Longest header taken, in bytes: those of version 2 may carry TLVs, certificates' names among them.
pub(super) const MAX_HEADER: usize = 4096;

/// The reason why the start of a connection is not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("no PROXY header")]
    Malformed,
    #[error("a PROXY header of {0} bytes, the limit is {MAX_HEADER}")]
    TooLong(usize),
}

/// Returns how many bytes a header of version 2 has in all.
///
/// # Errors
///
/// Returns an error if it has more than [`MAX_HEADER`].
pub(super) fn v2_length(start: &[u8; V2_START]) -> Result<usize, HeaderError> {
    let length = V2_START + usize::from(u16::from_be_bytes([start[14], start[15]]));
    match length {
        ..=MAX_HEADER => Ok(length),
        length => Err(HeaderError::TooLong(length)),
    }
}

/// Returns whom the header at the start of `bytes` names as the other end of the connection, in canonical form, and the header's
/// length. TLVs are not looked at.
///
/// # Errors
///
/// Returns an error if there is no complete header.
pub(super) fn announced(bytes: &[u8]) -> Result<(Result<IpAddr, Unattributed>, usize), HeaderError> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let is_v1 = bytes.starts_with(b"PROXY ");
    if !is_v1 {
        // The parser takes anything for the space.
        let start = bytes.first_chunk().filter(|start| start[0] == b'\r');
        v2_length(start.ok_or(HeaderError::Malformed)?)?;
    }
    let (header, length) = ProxyHeader::parse(bytes, config).map_err(|_| HeaderError::Malformed)?;
    if is_v1 && length > MAX_V1 {
        return Err(HeaderError::TooLong(length));
    }
    let address = header
        .proxied_address()
        .filter(|address| address.protocol == Protocol::Stream)
        .map(|address| address.source.ip().to_canonical());
    Ok((address.ok_or(Unattributed::Local), length))
}
