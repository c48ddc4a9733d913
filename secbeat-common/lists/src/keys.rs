//! What names of keys and lists say of what is in them.

/// Whether a list with this name is of clients that are not to be banned.
pub(super) fn lets_in(key: &str) -> bool {
    const NAMES: [&str; 14] = [
        "allow",
        "allowed",
        "allowlist",
        "allowlisted",
        "whitelist",
        "whitelisted",
        "safelist",
        "except",
        "exceptions",
        "exclude",
        "excluded",
        "deleted",
        "removed",
        "unbanned",
    ];
    NAMES.contains(&plain(key).as_str())
}

/// Whether an object with these keys is what a server answered to a request, as access logs in JSON have it.
pub(super) fn are_of_answer<'a>(keys: impl Iterator<Item = &'a str>) -> bool {
    const ANSWER: [&str; 5] = [
        "status",
        "statuscode",
        "responsecode",
        "downstreamstatus",
        "originstatus",
    ];
    const REQUEST: [&str; 9] = [
        "request",
        "requesturi",
        "requestmethod",
        "requestpath",
        "method",
        "uri",
        "url",
        "path",
        "verb",
    ];
    let names: Vec<_> = keys.map(plain).collect();
    let has = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    has(&ANSWER) && has(&REQUEST)
}

/// A key without what different spellings of it differ by.
fn plain(key: &str) -> String {
    let letters = key.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}
