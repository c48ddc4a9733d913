//! Who sent the request of a line.

use std::net::IpAddr;

use memchr::{memchr, memrchr2};

use super::{
    super::{LogError, address, quoted::some_text},
    Doubt,
};

/// What servers write in place of the client of a Unix socket.
pub(crate) const UNIX: &[u8] = b"unix:";

/// The client, the list that it was read from, and a virtual host.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) address: IpAddr,
    pub(super) forwarded: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
}

impl Client<'_> {
    pub(super) const fn single(address: IpAddr) -> Self {
        Self {
            address,
            forwarded: None,
            host: None,
        }
    }
}

/// The client of `CLIENT IDENT USER `, or of `A, B, CLIENT - USER `, as logs have it whose first field is
/// `X-Forwarded-For`.
pub(super) fn find_client(before: &[u8], doubt: Doubt) -> Result<Client<'_>, LogError> {
    let (first, rest) = split_field(before);
    let (second, user) = split_field(rest);
    let Some(address) = address::parse_with_port(first).filter(|_| !second.ends_with(b",")) else {
        return find_client_of_list(before).map_err(|error| match error {
            LogError::OtherLayout(_) if first == UNIX => LogError::Client,
            // A header that the client did not send, or a name that the server looked up. Where a host stands first, the client is
            // second.
            LogError::OtherLayout(_) if second == b"-" => LogError::NoAddress,
            error => error,
        });
    };
    // nginx, and Apache without identd, write `-`. Anything else may be a field of another layout.
    if doubt == Doubt::Yes || !matches!(second, b"-" | b"") {
        if second.starts_with(UNIX) || is_name(second) && names_user_again(user) {
            return Err(LogError::TwoReadings(1, 2));
        }
        if address::parse_with_port(second).is_some() {
            return Err(LogError::TwoReadings(1, 2));
        }
        if let Some(field) = find_address(user) {
            return Err(LogError::TwoReadings(1, 3 + field));
        }
    }
    Ok(Client::single(address))
}

/// Whether a field may be a client's name that its server looked up, and no number or word of another kind.
fn is_name(field: &[u8]) -> bool {
    field.contains(&b'.') && field.iter().any(u8::is_ascii_alphabetic)
}

/// Whether what should be a user name begins with another ident: the field before it is the client of a layout in which a host
/// stands first, which a client may have written as an address.
fn names_user_again(user: &[u8]) -> bool {
    user.strip_prefix(b"- ").is_some_and(|user| !user.is_empty())
}

/// The client at the end of a list, if there is exactly one place where the list can end and no other address that `-`
/// follows, as the client of another layout: clients choose all entries but the last, and the user name.
fn find_client_of_list(before: &[u8]) -> Result<Client<'_>, LogError> {
    let ends_with_address = |end: &usize| {
        let word = memrchr2(b' ', b',', &before[..*end]).map_or(0, |at| at + 1);
        address::parse_with_port(&before[word..*end]).is_some()
    };
    let mut ends = find_overlapping(before, b" - ").filter(ends_with_address);
    let end = ends.next().ok_or(LogError::OtherLayout(1))?;
    let list = &before[..end];
    let last = count_fields(before, end);
    if let Some(other) = ends.next() {
        return Err(LogError::TwoReadings(last, count_fields(before, other)));
    }
    if let Some(field) = find_address(&before[end + 3..]) {
        return Err(LogError::TwoReadings(last, last + 2 + field));
    }
    let address = Some(list).filter(|list| address::is_list(list));
    let address = address
        .and_then(address::parse_last)
        .ok_or(LogError::OtherLayout(1))?;
    Ok(Client {
        address,
        forwarded: Some(list),
        host: None,
    })
}

/// The client of `HOST CLIENT - USER `. A host has no space in it; since nginx before 1.21.1 takes one that has, a user name
/// that reads `… ADDRESS - …` makes two readings.
pub(super) fn find_client_after_host(before: &[u8], doubt: Doubt) -> Result<Client<'_>, LogError> {
    let (host, rest) = split_field(before);
    let (client, rest) = split_field(rest);
    let address = address::parse_with_port(client).ok_or(LogError::OtherLayout(2))?;
    let (ident, user) = split_field(rest);
    if ident != b"-" || host.is_empty() || user.is_empty() {
        return Err(LogError::OtherLayout(2));
    }
    let rival = match doubt {
        Doubt::No => find_address_before_dash(user),
        Doubt::Yes => find_address(user),
    };
    if let Some(field) = rival {
        return Err(LogError::TwoReadings(2, 4 + field));
    }
    Ok(Client {
        address,
        forwarded: None,
        host: some_text(host),
    })
}

/// Splits at the first space, which belongs to neither part.
fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    memchr(b' ', text).map_or((text, b""), |at| (&text[..at], &text[at + 1..]))
}

/// The place, from 0, of the first field that is or ends with an address.
fn find_address(text: &[u8]) -> Option<usize> {
    let mut fields = text.split(|byte| *byte == b' ');
    fields.position(|field| {
        let mut entries = field.split(|byte| *byte == b',');
        entries.any(|entry| address::parse_with_port(entry).is_some())
    })
}

/// As [`find_address`], of an address that `-` follows.
fn find_address_before_dash(text: &[u8]) -> Option<usize> {
    let fields: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    fields
        .windows(2)
        .position(|fields| fields[1] == b"-" && address::parse_with_port(fields[0]).is_some())
}

/// Fields up to `end`.
fn count_fields(text: &[u8], end: usize) -> usize {
    1 + memchr::memchr_iter(b' ', &text[..end]).count()
}

/// Where a text occurs, overlaps included.
fn find_overlapping<'a>(text: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(what.len())
        .enumerate()
        .filter(move |(_, window)| *window == what)
        .map(|(at, _)| at)
}
