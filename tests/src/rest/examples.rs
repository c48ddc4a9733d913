//! The examples: what they ask for, and how a page shows them.

/// Values of an example: method, path, query, body.
const VALUES: [(&str, &str, &str, &str); 16] = [
    (
        "post",
        "/api/v1/allowlist",
        "",
        r#"{"network": "203.0.113.0/24", "comment": "office"}"#,
    ),
    ("get", "/api/v1/audit", "since=24h&limit=10", ""),
    ("get", "/api/v1/bans", "sort=-issued&limit=10", ""),
    (
        "post",
        "/api/v1/bans",
        "",
        r#"{"target": "192.0.2.7", "duration": "1h", "note": "scanner"}"#,
    ),
    ("get", "/api/v1/bans/export", "format=csv", ""),
    (
        "post",
        "/api/v1/bans/import",
        "",
        r#"{"bans": [{"target": "192.0.2.9", "duration": "1h"}]}"#,
    ),
    (
        "post",
        "/api/v1/bans/lift",
        "",
        r#"{"filter": {"reason": "manual"}, "dry_run": true}"#,
    ),
    ("post", "/api/v1/feeds/{name}/update", "", "{}"),
    ("get", "/api/v1/findings", "limit=10", ""),
    (
        "post",
        "/api/v1/lists",
        "",
        r#"{"id": "00000000-0000-0000-0000-000000000001", "what": "ban", "format": "plain", "new": 1, "longer": 0, "unchanged": 0, "left_out": 0, "complete": true}"#,
    ),
    ("get", "/api/v1/reports", "period=week", ""),
    (
        "post",
        "/api/v1/rules/try",
        "",
        r#"{"log": "192.0.2.7 - - [29/Nov/2026:12:00:00 +0000] \"GET /x HTTP/1.1\" 404 0 \"-\" \"-\"", "format": "combined", "rules": [{"name": "error-flood", "threshold": 20}]}"#,
    ),
    ("post", "/api/v1/session", "", r#"{"token": "secbeat_TOKEN"}"#),
    (
        "post",
        "/api/v1/signatures/disable",
        "",
        r#"{"ids": ["env-file"], "note": "false positives"}"#,
    ),
    (
        "post",
        "/api/v1/signatures/enable",
        "",
        r#"{"ids": ["env-file"]}"#,
    ),
    (
        "put",
        "/api/v1/signatures/published",
        "",
        r#"{"files": [], "dry_run": true}"#,
    ),
];

pub(super) fn query_and_body(method: &str, path: &str) -> (&'static str, &'static str) {
    let found = VALUES.iter().find(|(of, at, ..)| (*of, *at) == (method, path));
    found.map_or(("", ""), |&(.., query, body)| (query, body))
}

/// A value for a part of a path.
pub(super) fn path_value(name: &str) -> &'static str {
    match name {
        "target" | "address" => "192.0.2.7",
        "network" => "203.0.113.0/24",
        "name" => "drop",
        "id" => "00000000-0000-0000-0000-000000000001",
        _ => panic!("tests/src/rest/examples.rs: no value for {{{name}}}"),
    }
}

/// An example as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// As `GET /api/v1/bans`.
    pub operation: String,
    /// Those of curl.
    pub arguments: Vec<String>,
    /// The status that the page promises.
    pub status: u16,
}

/// The examples of `page`, in its order.
///
/// # Panics
///
/// When an operation has no example, no status, or an example that no shell reads.
#[must_use]
pub fn shown(page: &str) -> Vec<Shown> {
    let sections = page.split("\n## `").skip(1);
    let shown = sections.map(|section| {
        let (operation, rest) = section.split_once('`').expect("the name of an operation");
        let (_, statuses) = rest.split_once("| status | body |").expect("a table of statuses");
        let status = statuses.lines().nth(2).and_then(|row| row.split('|').nth(1));
        let status = status.and_then(|cell| cell.trim().parse().ok());
        let code = statuses.lines().filter(|line| line.starts_with("    "));
        let code: Vec<_> = code.map(|line| line.trim_end_matches('\\')).collect();
        let words = shlex::split(&code.join(" ")).unwrap_or_default();
        let Some((program, arguments)) = words
            .strip_prefix(&["sudo".to_owned()])
            .and_then(<[_]>::split_first)
        else {
            panic!("{operation} has no example");
        };
        assert_eq!(program, "curl", "{operation}");
        Shown {
            operation: operation.to_owned(),
            arguments: arguments.to_vec(),
            status: status.unwrap_or_else(|| panic!("{operation} has no status")),
        }
    });
    shown.collect()
}
