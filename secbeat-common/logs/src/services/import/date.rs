//! The `datepattern` of a filter, which says what stands before a message.

use super::TIME;

/// The head that a pattern of dates describes; `None` if it is one of fail2ban's own, or says something else than how a line begins.
pub(super) fn head(pattern: &str) -> Option<String> {
    let pattern = pattern.trim();
    let pattern = pattern
        .strip_prefix("{^LN-BEG}")
        .or_else(|| pattern.strip_prefix('^'))?;
    let pattern = pattern
        .replace("(?P<_sep>[-/.])", "[-/.]")
        .replace("(?P=_sep)", "[-/.]");
    // Where it has a group, fail2ban takes only that out of the line.
    let is_plain = pattern
        .match_indices('(')
        .all(|(at, _)| pattern[at..].starts_with("(?:"));
    if !is_plain {
        return None;
    }
    let (mut head, mut first, mut last) = (String::new(), None, 0);
    let mut rest = pattern.as_str();
    while let Some(c) = rest.chars().next() {
        let (token, len) = match c {
            '%' => token(rest)?,
            '{' if rest.starts_with("{DATE}") => (time(), "{DATE}".len()),
            'E' if rest == "Epoch" || rest == "EPOCH" => (r"\d{10}(?:\.\d+)?", rest.len()),
            _ => ("", c.len_utf8()),
        };
        if token.is_empty() {
            head.push(c);
        } else {
            first.get_or_insert(head.len());
            head.push_str(token);
            last = head.len();
        }
        rest = &rest[len..];
    }
    let first = first?;
    // Groups that hold the first and the last token stay whole.
    let is_open = |text: &str| text.matches('(').count() > text.matches(')').count();
    let first = match is_open(&head[..first]) {
        true => 0,
        false => first,
    };
    while is_open(&head[first..last]) {
        last += 1 + head[last..].find(')')?;
        last += usize::from(head[last..].starts_with('?'));
    }
    let (before, time, behind) = (&head[..first], &head[first..last], &head[last..]);
    Some(format!("{before}(?P<time>{time}){behind}"))
}

/// Whether a pattern asks for what is a head at any rate: a usual date where the line begins.
pub(super) fn is_usual(pattern: &str) -> bool {
    matches!(pattern.trim(), "" | "{^LN-BEG}" | "{^LN-BEG}{DATE}" | "^{DATE}")
}

/// Returns what [`TIME`] holds, without its name.
fn time() -> &'static str {
    TIME.strip_prefix("(?P<time>")
        .and_then(|time| time.strip_suffix(')'))
        .unwrap_or(TIME)
}

/// Returns what the token that `text` begins with stands for, and its length.
fn token(text: &str) -> Option<(&'static str, usize)> {
    // `%ExY` is a year of this century, and so on.
    let (name, len) = match text.strip_prefix("%Ex") {
        Some(rest) => (rest.chars().next()?, "%ExY".len()),
        None => (text[1..].chars().next()?, "%Y".len()),
    };
    let token = match name {
        'Y' => r"\d{4}",
        'm' | 'd' | 'H' | 'I' | 'M' | 'S' => r"\d{1,2}",
        'y' => r"\d\d",
        'b' | 'h' | 'a' => r"\w{3}",
        'B' | 'A' => r"\w+",
        'f' => r"\d+",
        'p' => "[AaPp][Mm]",
        'j' => r"\d{3}",
        's' => r"\d{10}",
        'z' => r"(?:Z|[+-]\d\d:?\d\d)",
        'Z' => "[A-Z]{2,5}",
        _ => return None,
    };
    Some((token, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_dates_is_a_head() {
        for (pattern, expected) in [
            ("{^LN-BEG}", None),
            (
                "^t=%Y-%m-%dT%H:%M:%S%z",
                Some(r"t=(?P<time>\d{4}-\d{1,2}-\d{1,2}T\d{1,2}:\d{1,2}:\d{1,2}(?:Z|[+-]\d\d:?\d\d))"),
            ),
            ("{^LN-BEG}Epoch", Some(r"(?P<time>\d{10}(?:\.\d+)?)")),
            (
                r"{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d %H:%M:%S(?:[.,]%f)?x",
                Some(r"(?P<time>\d{4}[-/.]\d{1,2}[-/.]\d{1,2} \d{1,2}:\d{1,2}:\d{1,2}(?:[.,]\d+)?)x"),
            ),
            (r"^\[%d/%b/%Y\]", Some(r"\[(?P<time>\d{1,2}/\w{3}/\d{4})\]")),
            (
                "{^LN-BEG}(?:%a )?%b %d",
                Some(r"(?P<time>(?:\w{3} )?\w{3} \d{1,2})"),
            ),
            (r"^[^\[]*\[({DATE})", None),
            ("%d/%b/%Y", None),
            ("^x", None),
            ("^%Q", None),
        ] {
            assert_eq!(head(pattern).as_deref(), expected, "{pattern}");
        }
        let murmur = head("^<W>{DATE}").unwrap();
        assert!(murmur.starts_with(r"<W>(?P<time>\d{4}[-/]"), "{murmur}");
        assert_eq!(murmur.matches("(?P<time>").count(), 1);
    }
}
