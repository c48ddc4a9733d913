//! Labels of edges, and bans that are meant for some labels.

use std::collections::BTreeMap;

/// Labels of an edge: keys with values.
pub type Labels = BTreeMap<String, String>;

/// Labels that an edge can have, and that a ban can ask for.
pub const MAX_LABELS: usize = 16;
/// Longest key and longest value of a label, in characters.
const MAX_LEN: usize = 63;

/// Checks labels as an operator wrote them.
///
/// # Errors
///
/// There are more than [`MAX_LABELS`], or a key or a value is not a plain word.
pub fn check_labels(labels: &Labels) -> Result<(), String> {
    if labels.len() > MAX_LABELS {
        return Err(format!("{} labels, {MAX_LABELS} at most", labels.len()));
    }
    let mut texts = labels.iter().flat_map(|(key, value)| [key, value]);
    texts.find(|text| !is_word(text)).map_or(Ok(()), |wrong| {
        Err(format!(
            "invalid label `{wrong}`: use 1 to {MAX_LEN} letters, digits, `-`, `_` or `.` for keys and values"
        ))
    })
}

/// Reads a label as `role=web`.
///
/// # Errors
///
/// It has no `=`, or one of its sides is not a plain word.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("invalid label `{text}`: expected one such as role=web"))?;
    let label = (key.trim().to_owned(), value.trim().to_owned());
    check_labels(&Labels::from([label.clone()]))?;
    Ok(label)
}

/// Reads labels as `role=web,site=eu`.
///
/// # Errors
///
/// One of them is invalid, or a key is there twice.
pub fn parse_labels(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for label in text.split(',') {
        let (key, value) = parse_label(label)?;
        if labels.insert(key, value).is_some() {
            return Err(format!(
                "invalid labels `{text}`: an edge has one value of each key"
            ));
        }
    }
    check_labels(&labels)?;
    Ok(labels)
}

/// Whether an edge with `labels` has all that are `meant`.
#[must_use]
pub fn have_all(labels: &Labels, meant: &Labels) -> bool {
    meant.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Labels as people write them: `role=web,site=eu`.
#[must_use]
pub fn tell_labels(labels: &Labels) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// Labels of an edge without those that no config would take: an edge could have written anything.
pub(super) fn bounded(labels: Labels) -> Labels {
    let plain = labels
        .into_iter()
        .filter(|(key, value)| is_word(key) && is_word(value));
    plain.take(MAX_LABELS).collect()
}

fn is_word(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_LEN).contains(&text.len()) && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written() {
        let labels = parse_labels("site=eu, role=web").unwrap();
        assert_eq!(tell_labels(&labels), "role=web,site=eu");
        for (wrong, said) in [
            ("web", "invalid label `web`: expected one such as role=web"),
            (
                "role=",
                "invalid label ``: use 1 to 63 letters, digits, `-`, `_` or `.` for keys and values",
            ),
            (
                "role=web,role=mail",
                "invalid labels `role=web,role=mail`: an edge has one value of each key",
            ),
        ] {
            assert_eq!(parse_labels(wrong).unwrap_err(), said);
        }
    }

    #[test]
    fn an_edge_needs_all_labels_that_are_meant() {
        let edge = parse_labels("role=web,site=eu").unwrap();
        for (meant, expected) in [
            ("role=web", true),
            ("role=web,site=eu", true),
            ("role=web,site=us", false),
            ("rack=7", false),
        ] {
            assert_eq!(
                have_all(&edge, &parse_labels(meant).unwrap()),
                expected,
                "{meant}"
            );
        }
    }

    #[test]
    fn what_an_edge_says_of_itself_is_bounded() {
        let many = (0..20).map(|n| (format!("k{n:02}"), "v".to_owned()));
        let long = [
            ("\u{1b}[31m".to_owned(), "v".to_owned()),
            ("a".to_owned(), "v".repeat(64)),
        ];
        let kept = bounded(many.chain(long).collect());
        assert_eq!(kept.len(), MAX_LABELS);
        assert!(kept.keys().all(|key| key.starts_with('k')));
    }
}
