//! What only a proxy may say of a client.

use hyper::{HeaderMap, header::HeaderName};

use crate::sources::proxy::config::HeaderRules;

/// Takes out what only a proxy may say: who a client is, and how it came. Of a trusted one stay the field in which it names clients, and
/// `X-Forwarded-…`: what else there is, it may have passed on as it came. Spellings with `_` go in any case, those of the owner's fields,
/// too: servers may take them for the same (RFC 3875 §4.1.18), and no proxy writes them.
pub(super) fn strip_claims(headers: &mut HeaderMap, named_in: Option<&HeaderName>, rules: &HeaderRules) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|field| {
            let name = field.as_str();
            if name.contains('_') {
                let spelled = name.replace('_', "-");
                return is_claim(&spelled) || rules.names(&spelled);
            }
            is_claim(name)
                && !named_in.is_some_and(|named_in| named_in == *field || name.starts_with("x-forwarded-"))
        })
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
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
