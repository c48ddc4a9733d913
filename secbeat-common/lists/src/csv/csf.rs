//! Temporary entries of csf: `csf.tempban`, and `csf.tempallow`, which looks the same.

use jiff::Timestamp;

use super::Record;
use crate::{
    list::{About, End, Found},
    target,
};

/// Whether all of `records` are `began|address|port|direction|seconds|message`.
pub(super) fn are_temporary(records: &[Record]) -> bool {
    let is_entry = |(_, fields): &Record| match &fields[..] {
        [began, address, _, direction, length, _, ..] => {
            seconds(began).is_some()
                && seconds(length).is_some()
                && target::is_network(address)
                && ["in", "out", "inout"].contains(&direction.as_str())
        }
        _ => false,
    };
    !records.is_empty() && records.iter().all(is_entry)
}

/// Takes those that are about all packets of a client.
pub(super) fn read(records: &[Record], found: &mut Found) {
    (found.is_certain, found.what) = (true, Some("temporary entries of csf".to_owned()));
    for (line, fields) in records {
        let [began, address, ports, direction, length, note @ ..] = &fields[..] else {
            continue;
        };
        if direction == "out" {
            found.pass_over("entries about packets that go out");
        } else if !matches!(ports.as_str(), "*" | "") {
            found.pass_over("entries about single ports");
        } else {
            let sum = seconds(began).zip(seconds(length));
            let end = sum.and_then(|(began, length)| Timestamp::from_second(began.checked_add(length)?).ok());
            match end {
                Some(end) => {
                    let about = About {
                        end: Some(End::At(end)),
                        ..About::noting(note.join("|"))
                    };
                    found.take(*line, address, about);
                }
                None => found.bad(*line, format!("invalid end `{began}` + `{length}` seconds")),
            }
        }
    }
}

fn seconds(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}
