//! Lists in words.

use secbeat_common::wire::List;

/// Returns what a list is, and what became of it.
#[must_use]
pub fn list(list: &List) -> String {
    let mut text = match list.name.as_str() {
        "" => format!("{} (", list.id),
        name => format!("{name} ({}, ", list.id),
    };
    text += &list.format;
    if let Some(digest) = &list.digest {
        text += &format!(", {digest}");
    }
    text += &format!("), {} new", list.new);
    for (count, what) in [
        (list.longer, "longer than before"),
        (list.unchanged, "unchanged"),
        (list.left_out, "left out"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    if !list.complete {
        text += ", and it broke off";
    }
    if !list.note.is_empty() {
        text += &format!(": {}", list.note);
    }
    text
}
