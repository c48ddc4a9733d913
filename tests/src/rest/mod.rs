//! The reference of the orchestrator's REST API among the docs, written of the document that it serves, with examples for curl.

mod examples;
mod objects;

use std::fmt::Write as _;

use serde_json::Value;

pub use self::examples::{Shown, shown};
use self::examples::{path_value, query_and_body};

/// The page of operations, below `docs`.
pub const OPERATIONS: &str = "rest-api.md";
/// The page of what they take and answer with, below `docs`.
pub const OBJECTS: &str = "rest-objects.md";
/// Where the examples find the daemon.
pub const SOCKET: &str = "/run/secbeat-orchestrator/api.sock";

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];
const HEAD: &str = "<!-- Written by `cargo xtask docs --reference`. -->\n";

/// The pages below `docs`, by their names.
///
/// # Panics
///
/// When an operation lacks an example, or the document says what a reader would not understand.
#[must_use]
pub fn pages() -> [(&'static str, String); 2] {
    let document = secbeat_orchestrator::api::description().expect("a description of the API");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    [
        (OPERATIONS, operations(&document)),
        (OBJECTS, objects::page(&document)),
    ]
}

fn operations(document: &Value) -> String {
    let mut page = format!(
        "{HEAD}\n# REST API\n\nEvery operation of the orchestrator's API, as `GET /api/v1/openapi.json` describes it. What they take \
         and return is in [Objects](rest-objects.md). Who may do what, tokens and errors: [The API](orchestrator.md#the-api).\n\n\
         The examples run on the orchestrator's host, as root or as a member of the group `secbeat`. From elsewhere, replace \
         `--unix-socket {SOCKET} http://localhost` with the API's address, and add `-H \"Authorization: Bearer $TOKEN\"` with a token \
         of at least the role that the operation needs. Operations on sessions are for browsers: they take a cookie, a token of \
         yours, or the id of a session that is there.\n"
    );
    for (path, item) in members(&document["paths"]) {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                write_operation(method, path, operation, &mut page);
            }
        }
    }
    page
}

fn write_operation(method: &str, path: &str, operation: &Value, page: &mut String) {
    let summary = text(&operation["summary"]);
    let role = match operation["security"][0]["bearer"][0].as_str() {
        Some(role) => format!("Role: `{role}`."),
        None => "No role needed.".to_owned(),
    };
    let name = method.to_uppercase();
    let _ = write!(page, "\n## `{name} {path}`\n\n{summary} {role}\n");
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        page.push_str("\n| parameter | in | type | description |\n|---|---|---|---|\n");
    }
    for parameter in parameters {
        let _ = writeln!(
            page,
            "| `{}` | {}{} | {} | {} |",
            plain(&parameter["name"]),
            plain(&parameter["in"]),
            if parameter["required"] == true {
                ", required"
            } else {
                ""
            },
            objects::kind(&parameter["schema"]),
            text(&parameter["description"])
        );
    }
    if let Some(content) = operation["requestBody"].get("content") {
        let _ = write!(page, "\nBody: {}.\n", contents(content));
    }
    page.push_str("\n| status | body | description |\n|---|---|---|\n");
    for (status, answer) in members(&operation["responses"]) {
        let (status, body, described) = match status.as_str() {
            "default" => (
                "else",
                "`application/problem+json`: [Problem](rest-objects.md#problem)".to_owned(),
                "The request failed.".to_owned(),
            ),
            status => (status, contents(&answer["content"]), text(&answer["description"])),
        };
        // The summary has said it.
        let described = if described == "As asked" {
            ""
        } else {
            described.as_str()
        };
        let _ = writeln!(page, "| {status} | {body} | {described} |");
    }
    let _ = write!(page, "\n{}", curl(method, path, operation));
}

/// The types of a body and what they hold.
fn contents(content: &Value) -> String {
    let each =
        members(content).map(
            |(media, content)| match (media.as_str(), objects::kind(&content["schema"])) {
                (media @ "application/json", kind) => format!("`{media}`: {kind}"),
                ("text/event-stream", kind) => format!("`text/event-stream`, with {kind} as data"),
                (media, _) => format!("`{media}`"),
            },
        );
    each.collect::<Vec<_>>().join(", or ")
}

/// An example as a block of code.
fn curl(method: &str, path: &str, operation: &Value) -> String {
    let (query, body) = query_and_body(method, path);
    let needs_body = operation["requestBody"]["required"] == true;
    assert_eq!(
        needs_body,
        !body.is_empty(),
        "tests/src/rest/examples.rs: {method} {path}"
    );
    let path: String = path
        .split_inclusive('}')
        .map(|part| match part.split_once('{') {
            Some((before, name)) => format!("{before}{}", path_value(name.trim_end_matches('}'))),
            None => part.to_owned(),
        })
        .collect();
    let url = match query {
        "" => format!("http://localhost{path}"),
        query => format!("'http://localhost{path}?{query}'"),
    };
    let endless = if operation["responses"]["200"]["content"]
        .get("text/event-stream")
        .is_some()
    {
        " -N -m 2"
    } else {
        ""
    };
    let mut example = format!("    sudo curl -s{endless} --unix-socket {SOCKET} {url}");
    if method != "get" {
        let _ = write!(example, " \\\n        -X {}", method.to_uppercase());
    }
    if !body.is_empty() {
        let _ = write!(example, " -H 'Content-Type: application/json' -d '{body}'");
    }
    example.push('\n');
    example
}

/// An object's members, in its order.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description as a cell of a table: without line breaks, and without links into the code.
fn text(value: &Value) -> String {
    let words = plain(value).split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut text, mut rest) = (String::new(), &*words);
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let (name, after) = link.split_once(']').unwrap_or((link, ""));
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        match target.filter(|(target, _)| target.contains("::")) {
            Some((_, after)) => {
                text.push_str(name);
                rest = after;
            }
            None if name.starts_with('`') => {
                text.push_str(name);
                rest = after;
            }
            None => {
                text.push('[');
                rest = link;
            }
        }
    }
    text.push_str(rest);
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_into_the_code_become_names() {
        let described = json!(
            "Cut by [`cut`](super::cut),\nor [`Span`] a|b; [sum](super::a) of `[[feed]]`, [page](a.md)."
        );
        let expected = "Cut by `cut`, or `Span` a\\|b; sum of `[[feed]]`, [page](a.md).";
        assert_eq!(text(&described), expected);
    }

    #[test]
    fn every_operation_of_the_document_has_an_example_that_is_found_again() {
        let [(_, page), _] = pages();
        let shown = shown(&page);
        assert_eq!(shown.len(), page.matches("\n## `").count());
        for one in shown {
            assert!(one.arguments.contains(&SOCKET.to_owned()), "{one:?}");
            assert!((200..300).contains(&one.status), "{one:?}");
        }
    }
}
