//! Client of a line's request.

use std::net::IpAddr;

use memchr::{memchr, memchr2};

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
        let is_other = is_of_other_layout(before);
        return find_client_of_list(before).unwrap_or(Err(match (first, second) {
            (UNIX, _) => LogError::Client,
            // A header that the client did not send, or a name that the server looked up. Where a host stands first, the client
            // is second.
            (_, b"-") if is_other => LogError::NoAddress,
            _ if is_other => LogError::OtherLayout(1),
            _ => LogError::NotFirst(1),
        }));
    };
    // nginx, and Apache without identd, write `-`. Anything else may be a field of another layout.
    if doubt == Doubt::Yes || !matches!(second, b"-" | b"") {
        let two_readings = |field| match doubt == Doubt::Yes || is_of_other_layout(before) {
            true => LogError::TwoReadings(1, field),
            false => LogError::UserReadsTwice(1, field),
        };
        if second.starts_with(UNIX) || is_name(second) && names_user_again(user) {
            return Err(two_readings(2));
        }
        if address::parse_with_port(second).is_some() {
            return Err(two_readings(2));
        }
        if let Some(field) = find_address(user) {
            return Err(two_readings(3 + field));
        }
    }
    Ok(Client::single(address))
}

/// Whether what stands before the time is a request of another layout, from the line's first byte to the time: a name in place
/// of the client, a host or an address and an address or a name, or a list of addresses, and no user name. Clients write no such line into a log
/// of another kind: they choose neither how it begins nor that it has no text of theirs.
pub(crate) fn is_of_other_layout(before: &[u8]) -> bool {
    let Some(names) = before.strip_suffix(b" - - ") else {
        return false;
    };
    if address::is_list(names) {
        return names
            .split(|byte| *byte == b',')
            .all(|entry| is_entry(entry.trim_ascii()));
    }
    let (host, address) = split_field(names);
    let is_of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
    let is_host = !host.is_empty() && !host.ends_with(b":") && host.iter().all(is_of_host);
    (is_host || address::parse_with_port(host).is_some())
        && (names.len() == host.len()
            || address == UNIX
            || is_name(address) && address.iter().all(is_of_host)
            || address::parse_with_port(address).is_some())
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

/// The client at the end of a list that the line begins with; `None` if it begins with none. All entries must be addresses: a
/// client may write anything, and an address at its end, into a line of another kind, as an error log's. Clients choose all
/// entries but the last, and the user name: it may have no address, since it may be a part of an entry.
fn find_client_of_list(before: &[u8]) -> Option<Result<Client<'_>, LogError>> {
    let list = &before[..list_end(before)?];
    let user = before[list.len()..].strip_prefix(b" - ")?;
    let address = address::parse_last(list).filter(|_| address::is_list(list))?;
    let last = count_fields(before, list.len());
    Some(match find_address(user) {
        Some(field) => Err(LogError::TwoReadings(last, last + 2 + field)),
        None => Ok(Client {
            address,
            forwarded: Some(list),
            host: None,
        }),
    })
}

/// The end of the entries with commas between them that a text begins with, if all are [entries](is_entry) and a space follows.
fn list_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let len = memchr2(b',', b' ', rest).filter(|len| is_entry(&rest[..*len]))?;
        if rest[len] == b' ' {
            return Some(at + len);
        }
        let spaces = rest[len + 1..].iter().take_while(|byte| **byte == b' ').count();
        at += len + 1 + spaces;
    }
}

/// Whether a text is an entry of `X-Forwarded-For` that a proxy writes.
fn is_entry(text: &[u8]) -> bool {
    text == b"-" || text.eq_ignore_ascii_case(b"unknown") || address::parse_with_port(text).is_some()
}

/// The client of `HOST CLIENT - USER `. A host has no space in it; since nginx before 1.21.1 takes one that has, a user name
/// that reads `… ADDRESS - …` makes two readings.
pub(super) fn find_client_after_host(before: &[u8], doubt: Doubt) -> Result<Client<'_>, LogError> {
    let (host, rest) = split_field(before);
    let (client, rest) = split_field(rest);
    let not_second = || match is_of_other_layout(before) {
        true => LogError::OtherLayout(2),
        false => LogError::NotFirst(2),
    };
    // A path that a program writes is not a host.
    let is_host = !host.is_empty() && memchr2(b'/', b'"', host).is_none();
    let address = address::parse_with_port(client).filter(|_| is_host);
    let address = address.ok_or_else(not_second)?;
    let (ident, user) = split_field(rest);
    if ident != b"-" || user.is_empty() {
        return Err(not_second());
    }
    let rival = match doubt {
        Doubt::No => find_address_before_dash(user).map(|field| LogError::UserReadsTwice(2, 4 + field)),
        Doubt::Yes => find_address(user).map(|field| LogError::TwoReadings(2, 4 + field)),
    };
    if let Some(error) = rival {
        return Err(error);
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
