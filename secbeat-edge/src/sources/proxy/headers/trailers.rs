//! Fields that have no place behind a body.

use hyper::{HeaderMap, header::HeaderName};

use super::{claims::is_claim, strip_hop_by_hop, trim};
use crate::sources::proxy::config::{HeaderRules, spelling};

/// Takes out of a client's trailers what has no place there (RFC 9110 §6.5.1), and what the owner's `rules` name: some servers take
/// trailers for fields of the head.
pub(in crate::sources::proxy) fn clean_trailers(trailers: &mut HeaderMap, rules: Option<&HeaderRules>) {
    strip_hop_by_hop(trailers);
    let of_heads: Vec<HeaderName> = trailers
        .keys()
        .filter(|field| {
            let name = spelling(field.as_str());
            is_claim(&name) || is_of_head(&name) || rules.is_some_and(|rules| rules.names(&name))
        })
        .cloned()
        .collect();
    for name in of_heads {
        trailers.remove(name);
    }
    trim(trailers);
}

/// Whether a field says how a message is framed or read, whom it is for, or who sends it.
fn is_of_head(name: &str) -> bool {
    // RFC 9530, section 2: a digest may follow what it is of.
    (name.starts_with("content-") && name != "content-digest")
        || name.starts_with("if-")
        || matches!(
            name,
            "authorization"
                | "cache-control"
                | "connection"
                | "cookie"
                | "expect"
                | "host"
                | "max-forwards"
                | "origin"
                | "pragma"
                | "proxy-authorization"
                | "range"
                | "referer"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "user-agent"
                | "via"
                | "x-request-id"
        )
}
