//! `combined` beside the crate `access_log_parser`, on the log of a public site.

use access_log_parser::{CombinedLogEntry, LogEntry, LogType, RequestResult};

use super::{
    Format,
    snapshots::{fixture, lines},
};

/// What both understand of a line: client, milliseconds, status, method and path, user agent.
type Common = (
    std::net::IpAddr,
    i64,
    u16,
    Option<(String, String)>,
    Option<String>,
);

fn theirs(line: &str) -> Option<Common> {
    let Ok(LogEntry::CombinedLog(entry)) = access_log_parser::parse(LogType::CombinedLog, line) else {
        return None;
    };
    let CombinedLogEntry {
        ip,
        timestamp,
        request,
        status_code,
        user_agent,
        ..
    } = entry;
    let request = match request {
        RequestResult::Valid(request) => Some((request.method().to_string(), request.uri().to_string())),
        _ => None,
    };
    Some((
        ip,
        timestamp.timestamp_millis(),
        status_code.as_u16(),
        request,
        user_agent.map(str::to_owned),
    ))
}

fn ours(line: &str) -> Common {
    let line = Format::COMBINED.parse(line.as_bytes()).unwrap();
    let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    let request = Some((text(&line.method), text(&line.path)));
    (
        line.client,
        line.at_ms,
        line.status,
        request,
        line.user_agent.as_deref().map(text),
    )
}

#[test]
fn combined_is_understood_as_another_parser_understands_it() {
    let mut compared = 0;
    for line in lines(&fixture("elastic-apache.log")) {
        let line = String::from_utf8(line).unwrap();
        let Some(theirs) = theirs(&line) else { continue };
        let mut ours = ours(&line);
        if theirs.3.is_none() {
            // A path that is no URI; they keep the whole line.
            ours.3 = None;
        }
        assert_eq!(ours, theirs, "{line}");
        compared += 1;
    }
    assert!(compared > 9000, "only {compared} lines that both understand");
}
