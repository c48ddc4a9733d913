//! Client of a forwarding header: the walk over the proxies that a request passed.
//!
//! Each proxy appends whom it got the request from, so the chain is read from the right, over the trusted proxies, to the
//! first address that is none. What lies left of that one was written by the client itself and is not even parsed: it must
//! neither lead to somebody else nor, by being malformed, hide who wrote it. (Parsers that take in the whole field first,
//! such as parse-net's, let a client do the latter.)

use std::{iter, net::IpAddr};

/// Grammar of a forwarding header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// `X-Forwarded-For` and its like: addresses, separated by commas.
    Addresses,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The reason why a client cannot be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unattributed {
    /// A trusted proxy named no client, as in a request of its own.
    #[error("the trusted proxy sent no client address")]
    Missing,
    /// What the last trusted proxy wrote is not an address.
    #[error("the client address is malformed")]
    Malformed,
    /// It is `unknown`, or an obfuscated identifier (RFC 7239 §6.2 and §6.3).
    #[error("the trusted proxy does not tell the client address")]
    Hidden,
    /// All addresses are those of trusted proxies.
    #[error("only trusted proxies are named")]
    OnlyProxies,
    /// The PROXY protocol says `LOCAL` or `UNKNOWN`, or names no IP address.
    #[error("the PROXY header names no client")]
    Local,
}

/// The right-most address of a header's `lines` that is not a trusted proxy's, in canonical form.
///
/// # Errors
///
/// Returns an error if there is none.
pub(super) fn client<'a>(
    grammar: Grammar,
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Result<IpAddr, Unattributed> {
    let mut unattributed = Unattributed::Missing;
    for element in lines.rev().flat_map(|line| elements_from_right(grammar, line)) {
        let element = element?;
        // A list may have empty elements (RFC 9110 §5.6.1.2).
        if element.is_empty() {
            continue;
        }
        let address = match grammar {
            Grammar::Addresses => node(element)?,
            Grammar::Forwarded => forwarded_for(element)?,
        };
        if !is_trusted(address) {
            return Ok(address);
        }
        unattributed = Unattributed::OnlyProxies;
    }
    Err(unattributed)
}

/// The elements of a line, the last one first, without the space around them.
fn elements_from_right(grammar: Grammar, line: &[u8]) -> impl Iterator<Item = Result<&[u8], Unattributed>> {
    let mut rest = Some(line);
    iter::from_fn(move || {
        let line = rest.take()?;
        let comma = match grammar {
            Grammar::Addresses => line.iter().rposition(|byte| *byte == b','),
            Grammar::Forwarded => match last_unquoted(line, b',') {
                Ok(comma) => comma,
                Err(unbalanced) => return Some(Err(unbalanced)),
            },
        };
        let (before, element) = match comma {
            Some(comma) => (Some(&line[..comma]), &line[comma + 1..]),
            None => (None, line),
        };
        rest = before;
        Some(Ok(element.trim_ascii()))
    })
}

/// Returns where the last `separator` outside quoted strings is.
///
/// Quotes are paired from the right: whatever stands further left, the text that a proxy appended is read as that proxy
/// wrote it, and no quote that a client left open can swallow it.
///
/// # Errors
///
/// Returns an error if a quoted string does not begin.
fn last_unquoted(text: &[u8], separator: u8) -> Result<Option<usize>, Unattributed> {
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' if quoted => {
                let backslashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\');
                quoted = backslashes.count() % 2 == 1;
            }
            b'"' => quoted = true,
            byte if *byte == separator && !quoted => return Ok(Some(at)),
            _ => {}
        }
    }
    if quoted {
        return Err(Unattributed::Malformed);
    }
    Ok(None)
}

/// The node of an element's `for` parameter (RFC 7239 §4).
fn forwarded_for(mut element: &[u8]) -> Result<IpAddr, Unattributed> {
    let mut found = None;
    loop {
        let semicolon = last_unquoted(element, b';')?;
        let pair = semicolon.map_or(element, |at| &element[at + 1..]).trim_ascii();
        if !pair.is_empty() {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = equals
                .map(|at| (&pair[..at], &pair[at + 1..]))
                .ok_or(Unattributed::Malformed)?;
            // Each parameter occurs at most once.
            if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
                return Err(Unattributed::Malformed);
            }
        }
        match semicolon {
            Some(at) => element = &element[..at],
            None => break,
        }
    }
    let value = found.ok_or(Unattributed::Hidden)?;
    let Some(quoted) = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) else {
        return node(value);
    };
    if !quoted.contains(&b'\\') {
        return node(quoted);
    }
    let mut escaped = false;
    let unescaped: Vec<u8> = quoted
        .iter()
        .copied()
        .filter(|byte| {
            escaped = !escaped && *byte == b'\\';
            !escaped
        })
        .collect();
    node(&unescaped)
}

/// A node (RFC 7239 §6), and what `X-Forwarded-For` has in its place: an address, that of IPv6 in brackets or not, with a
/// zone or not, with a port or not.
fn node(text: &[u8]) -> Result<IpAddr, Unattributed> {
    let text = str::from_utf8(text).map_err(|_| Unattributed::Malformed)?;
    let (name, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (name, rest) = bracketed.split_once(']').ok_or(Unattributed::Malformed)?;
        if !name.contains(':') {
            return Err(Unattributed::Malformed);
        }
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or(Unattributed::Malformed)?),
        };
        (name, port)
    } else {
        match text.split_once(':') {
            // IPv6 without brackets, and so without a port.
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    if !port.is_none_or(is_port) {
        return Err(Unattributed::Malformed);
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Err(Unattributed::Hidden);
    }
    let address = match name.split_once('%') {
        // A zone (RFC 4007 §11) means something on the proxy's host alone.
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        Some(_) => return Err(Unattributed::Malformed),
        None => name,
    };
    let address: IpAddr = address.parse().map_err(|_| Unattributed::Malformed)?;
    Ok(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && text.parse::<u16>().is_ok()) || is_obfuscated(text)
}

fn is_obfuscated(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}
