//! Fields that only a proxy may set about a client.

use std::borrow::Cow;

use hyper::{HeaderMap, header::HeaderName};

use crate::sources::proxy::config::{HeaderRules, spelling};

/// Takes out what only a proxy may say: who a client is, and how it came. Of a trusted one stay the field in which it names clients, and
/// `X-Forwarded-…`: what else there is, it may have passed on as it came. Other spellings go in any case, those of the owner's fields,
/// too: servers may take them for the same (RFC 3875 §4.1.18), and no proxy writes them.
pub(super) fn strip_claims(headers: &mut HeaderMap, named_in: Option<&HeaderName>, rules: &HeaderRules) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|field| match spelling(field.as_str()) {
            Cow::Owned(spelled) => is_claim(&spelled) || is_of_hop(&spelled) || rules.names(&spelled),
            Cow::Borrowed(name) => rules.names(name) || (is_claim(name) && !is_of_trusted(field, named_in)),
        })
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Whether a trusted proxy says this of a client, which it names in the field `named_in`; never, where that is `None`.
pub(super) fn is_of_trusted(field: &HeaderName, named_in: Option<&HeaderName>) -> bool {
    named_in.is_some_and(|named_in| named_in == field || field.as_str().starts_with("x-forwarded-"))
}

/// Takes out other spellings of a field.
pub(in crate::sources::proxy) fn strip_spellings(headers: &mut HeaderMap, of: &HeaderName) {
    let is_other =
        |field: &&HeaderName| matches!(spelling(field.as_str()), Cow::Owned(name) if name == of.as_str());
    let others: Vec<HeaderName> = headers.keys().filter(is_other).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

/// Whether a field with a hyphen says how a message is framed, or is for one hop. The proxy ignores other spellings of it, but a server
/// may not.
fn is_of_hop(name: &str) -> bool {
    matches!(
        name,
        "content-length" | "keep-alive" | "proxy-connection" | "transfer-encoding"
    )
}

/// Whether a field says who a client is or how it came. `Proxy` becomes the variable `HTTP_PROXY` of a CGI program
/// (CVE-2016-5385).
pub(super) fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-original-forwarded-for"
                | "x-envoy-external-address"
                | "true-client-ip"
                | "forwarded-for"
                | "x-remote-ip"
                | "x-remote-addr"
                | "x-forward-for"
                | "x-true-client-ip"
                | "x-appengine-user-ip"
                | "x-nf-client-connection-ip"
                | "x-vercel-forwarded-for"
                | "x-scheme"
                | "x-url-scheme"
                | "remote-addr"
                | "cf-pseudo-ipv4"
                | "ali-cdn-real-ip"
                | "cdn-src-ip"
                | "cloudfront-forwarded-proto"
                | "cloudfront-viewer-address"
                | "do-connecting-ip"
                | "incap-client-ip"
                | "wl-proxy-ssl"
                | "x-appengine-remote-addr"
                | "x-arr-ssl"
                | "x-azure-socketip"
                | "x-host"
                | "x-http-host-override"
                | "x-sucuri-clientip"
                | "x-azure-clientip"
                | "fly-client-ip"
                | "front-end-https"
                | "client-ip"
                | "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "fastly-client-ip"
                | "proxy-client-ip"
                | "wl-proxy-client-ip"
                | "x-originating-ip"
                | "x-proxyuser-ip"
                | "proxy"
        )
}
