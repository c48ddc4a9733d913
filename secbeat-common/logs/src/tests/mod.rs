//! Every format, by literal lines, by the logs in `fixtures` and by made-up ones.

mod attack;
mod cases;
mod corpus;
mod cut_off;
mod docs;
mod json;
mod named;
mod pattern;
mod peer;
mod percent;
mod random;
mod raw;
mod referer;
mod snapshots;
mod text;
mod wrapped;

use super::{Format, LogError, LogLine};

/// Client, status, method and path of a line of 21 November 2026, 10:06:56; the status is 0 of what is unreadable.
pub(crate) fn answered(parsed: Result<LogLine<'_>, LogError>) -> String {
    match parsed {
        Ok(line) => {
            assert_eq!(line.at_ms, 1_795_255_616_000);
            assert!(!line.unreadable || line.status == 0);
            let text = |text: &[u8]| text.escape_ascii().to_string();
            format!(
                "{} {} {} {}",
                line.client,
                line.status,
                text(&line.method),
                text(&line.path)
            )
        }
        Err(error) => error.to_string(),
    }
}

/// What a line is understood as, in the order of `explain`; `–` for what there is not.
fn shown(line: &LogLine<'_>) -> String {
    let text = |text: &[u8]| text.escape_ascii().to_string();
    let or_dash =
        |value: &Option<std::borrow::Cow<'_, [u8]>>| value.as_deref().map_or_else(|| "–".to_owned(), text);
    let at = jiff::Timestamp::from_millisecond(line.at_ms).unwrap();
    format!(
        "{} {at} {} {} {} host={} agent={}",
        line.client,
        line.status,
        if line.method.is_empty() {
            "–".to_owned()
        } else {
            text(&line.method)
        },
        text(&line.path),
        or_dash(&line.host),
        or_dash(&line.user_agent),
    )
}

/// What `format` understands, or why it does not.
fn understood(format: &Format, line: &[u8]) -> String {
    format
        .parse(line)
        .map_or_else(|error: LogError| format!("! {error}"), |line| shown(&line))
}

fn named(name: &str) -> Format {
    name.parse().unwrap()
}
