//! Documents in JSON that are known by their keys, and what in JSON is not a list.

use super::{keys::plain, list::Purpose, logs, values::Fields};

/// A document that somebody publishes.
pub(super) struct Document {
    /// What it is called.
    pub what: &'static str,
    /// Whose servers have the addresses.
    pub provider: Option<&'static str>,
    /// Whether it names attackers.
    pub keeps_out: bool,
    /// Keys that it has at its top.
    pub keys: &'static [&'static str],
    /// Where its entries are, in keys; arrays on the way are gone through.
    pub paths: &'static [&'static [&'static str]],
}

pub(super) const DOCUMENTS: &[Document] = &[
    Document {
        what: "ranges of AWS (ip-ranges.json)",
        provider: Some("Amazon Web Services"),
        keeps_out: false,
        keys: &["prefixes", "createDate"],
        paths: &[&["prefixes"], &["ipv6_prefixes"]],
    },
    Document {
        what: "ranges as Google publishes them (goog.json, cloud.json, crawlers)",
        provider: Some("a cloud or a crawler, such as Google's"),
        keeps_out: false,
        keys: &["prefixes", "creationTime"],
        paths: &[&["prefixes"]],
    },
    Document {
        what: "ranges of Cloudflare (/client/v4/ips)",
        provider: Some("Cloudflare"),
        keeps_out: false,
        keys: &["result", "success"],
        paths: &[&["result", "ipv4_cidrs"], &["result", "ipv6_cidrs"]],
    },
    Document {
        what: "service tags of Azure",
        provider: Some("Microsoft Azure"),
        keeps_out: false,
        keys: &["values", "changeNumber"],
        paths: &[&["values", "properties", "addressPrefixes"]],
    },
    Document {
        what: "ranges of Fastly (public-ip-list)",
        provider: Some("Fastly"),
        keeps_out: false,
        keys: &["addresses", "ipv6_addresses"],
        paths: &[&["addresses"], &["ipv6_addresses"]],
    },
    Document {
        what: "ranges of Oracle Cloud",
        provider: Some("Oracle Cloud"),
        keeps_out: false,
        keys: &["regions", "last_updated_timestamp"],
        paths: &[&["regions", "cidrs"]],
    },
    Document {
        what: "ranges of Atlassian (ip-ranges.atlassian.com)",
        provider: Some("Atlassian"),
        keeps_out: false,
        keys: &["items", "syncToken"],
        paths: &[&["items"]],
    },
    Document {
        what: "blacklist of AbuseIPDB",
        provider: None,
        keeps_out: true,
        keys: &["meta", "data"],
        paths: &[&["data"]],
    },
    Document {
        what: "STIX",
        provider: None,
        keeps_out: true,
        keys: &["type", "objects"],
        paths: &[&["objects"]],
    },
    Document {
        what: "STIX over TAXII",
        provider: None,
        keeps_out: true,
        keys: &["more", "objects"],
        paths: &[&["objects"]],
    },
    Document {
        what: "stream of CrowdSec's decisions",
        provider: None,
        keeps_out: true,
        keys: &["new", "deleted"],
        paths: &[&["new"]],
    },
];

/// Returns whose servers the addresses in an object are, which has its arrays at its top.
pub(super) fn provider(fields: &Fields<'_>) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 5] = [
        ("verifiable_password_authentication", "GitHub"),
        ("ssh_key_fingerprints", "GitHub"),
        ("ssh_keys", "GitHub"),
        ("CLOUDFRONT_GLOBAL_IP_LIST", "Amazon CloudFront"),
        ("serviceArea", "Microsoft 365"),
    ];
    let known = KNOWN.iter().find(|(key, _)| fields.contains_key(*key));
    known.map(|(_, provider)| *provider)
}

/// Returns why an object at the top of a list is none, if that is known.
pub(super) fn no_list(fields: &Fields<'_>, purpose: Purpose) -> Option<&'static str> {
    let value = |names: &[&str]| {
        let mut named = fields
            .iter()
            .filter(|(key, _)| names.contains(&plain(key).as_str()));
        named.next().map(|(_, value)| value.get().trim_matches('"'))
    };
    const ERRORS: [&str; 3] = ["error", "errors", "errormessage"];
    let is_error =
        value(&ERRORS).is_some_and(|error| !matches!(error, "null" | "false" | "[]" | "{}" | "" | "0"));
    let is_status = |status: &str| {
        matches!(status.parse(), Ok(400..=599_u16))
            || ["err", "fail"]
                .iter()
                .any(|word| status.to_lowercase().contains(word))
    };
    let is_message = value(&["message", "detail", "title"]).is_some()
        && value(&["status", "statuscode", "code"]).is_some_and(is_status);
    let holds_others = || {
        let mut others = fields
            .iter()
            .filter(|(key, _)| !ERRORS.contains(&plain(key).as_str()));
        others.any(|(_, value)| value.get().starts_with('['))
    };
    if (is_error || is_message) && !holds_others() {
        return Some("it looks like an error message of a server, and no list");
    }
    if purpose == Purpose::Bans
        && ["matching_attributes", "list"]
            .iter()
            .all(|key| fields.contains_key(*key))
    {
        return Some("a warninglist of MISP: it names well-known services, which are not to be banned");
    }
    None
}

/// Whether it is an allowlist of CrowdSec, with clients in `items`.
pub(super) fn is_allowlist(fields: &Fields<'_>) -> bool {
    ["items", "console_managed"]
        .iter()
        .all(|key| fields.contains_key(*key))
}

/// Returns why an object with an address is not an entry, if that is known.
pub(super) fn no_entry(fields: &Fields<'_>, purpose: Purpose) -> Option<&'static str> {
    let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
    if logs::are_of_log(fields.keys().map(|key| &**key)) || has(&["event_type", "src_ip"]) {
        return Some(logs::LOG);
    }
    if has(&["auth_type"]) || has(&["machineId"]) {
        return Some("a machine or a bouncer of CrowdSec, which is a host of yours");
    }
    if purpose == Purpose::Bans && is_allowlist(fields) {
        return Some(
            "an allowlist of CrowdSec: it names clients that are not to be banned; `allowlist import` takes it",
        );
    }
    if purpose == Purpose::Bans && has(&["network", "added_by"]) {
        return Some("an entry of an allowlist of SecBeat; `allowlist import` takes it");
    }
    None
}
