//! Entries of `journalctl --output=json`.

use memchr::memmem;
use serde::{Deserialize, de::IgnoredAny};

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "MESSAGE")]
    message: Message,
    /// Every entry has it, and no other program's object.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    _time: IgnoredAny,
}

/// Text, or bytes where it is not UTF-8.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

/// The message of an entry.
pub(super) fn unwrap(line: &[u8]) -> Option<Vec<u8>> {
    memmem::find(line, b"\"__REALTIME_TIMESTAMP\"")?;
    let entry: Entry = serde_json::from_slice(line).ok()?;
    Some(match entry.message {
        Message::Text(text) => text.into_bytes(),
        Message::Bytes(bytes) => bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_text_or_bytes() {
        for (line, expected) in [
            (
                r#"{"__REALTIME_TIMESTAMP":"1","_PID":"1","MESSAGE":"a \"b\"","X":[1,"y"]}"#,
                Some(&b"a \"b\""[..]),
            ),
            (
                r#"{"MESSAGE":[97,255],"__REALTIME_TIMESTAMP":"1"}"#,
                Some(b"a\xff"),
            ),
            (r#"{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1"}"#, None),
            (r#"{"MESSAGE":"a"}"#, None),
            (r#"{"x":{"MESSAGE":"a","__REALTIME_TIMESTAMP":"1"}}"#, None),
            (r#"{"MESSAGE":"a","__REALTIME_TIMESTAMP":"1""#, None),
        ] {
            assert_eq!(unwrap(line.as_bytes()).as_deref(), expected, "{line}");
        }
    }
}
