//! Groups and alternatives of an expression.

/// Words that one expression may stand for.
const MAX_WORDS: usize = 32;

/// Calls `on` with each bracket and bar that is neither escaped nor in a class, and how many groups it is in.
fn structure(text: &str, mut on: impl FnMut(usize, u8, usize)) {
    let (mut depth, mut in_class, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match byte {
            b'\\' => is_escaped = true,
            b'[' if !in_class => in_class = true,
            b']' if in_class => in_class = false,
            b'(' if !in_class => {
                on(at, byte, depth);
                depth += 1;
            }
            b')' if !in_class => {
                depth = depth.saturating_sub(1);
                on(at, byte, depth);
            }
            b'|' if !in_class => on(at, byte, depth),
            _ => {}
        }
    }
}

/// Returns what bars outside of groups divide.
pub(super) fn branches(text: &str) -> Vec<&str> {
    let mut bars = Vec::new();
    structure(text, |at, byte, depth| {
        if byte == b'|' && depth == 0 {
            bars.push(at);
        }
    });
    let mut from = 0;
    let mut branches: Vec<_> = bars
        .into_iter()
        .map(|bar| {
            let branch = &text[from..bar];
            from = bar + 1;
            branch
        })
        .collect();
    branches.push(&text[from..]);
    branches
}

/// The brackets of the outermost group that `inner` is in.
pub(super) fn group_around(text: &str, inner: usize) -> Option<(usize, usize)> {
    let (mut open, mut found) = (None, None);
    structure(text, |at, byte, depth| match byte {
        b'(' if depth == 0 => open = Some(at),
        b')' if depth == 0 && found.is_none() => {
            found = open
                .filter(|open| *open < inner && inner < at)
                .map(|open| (open, at));
        }
        _ => {}
    });
    found
}

/// The bracket that closes the group that the bracket at `open` begins.
pub(super) fn close_of(text: &str, open: usize) -> Option<usize> {
    let (mut inside, mut found) = (None, None);
    structure(text, |at, byte, depth| match byte {
        b'(' if at == open => inside = Some(depth),
        b')' if inside == Some(depth) && found.is_none() => found = Some(at),
        _ => {}
    });
    found
}

/// The words that an expression of alternatives and optional parts stands for, `None` if it is more than that.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for branch in branches(text) {
        words.extend(words_of(branch)?);
    }
    words.sort();
    words.dedup();
    (words.len() <= MAX_WORDS).then_some(words)
}

fn words_of(branch: &str) -> Option<Vec<String>> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    let mut open = None;
    structure(branch, |at, byte, depth| match byte {
        b'(' if depth == 0 => open = Some(at),
        b')' if depth == 0 => parts.extend(open.map(|open| (open, at))),
        _ => {}
    });
    let (mut words, mut from) = (vec![String::new()], 0);
    let extend = |words: &mut Vec<String>, texts: &[String]| {
        let extended = words
            .iter()
            .flat_map(|word| texts.iter().map(move |text| format!("{word}{text}")));
        *words = extended.take(MAX_WORDS + 1).collect();
    };
    for (open, close) in parts {
        extend(&mut words, &[plain(&branch[from..open])?]);
        let inner = &branch[open + 1..close];
        let mut inner = self::words(inner.strip_prefix("?:").unwrap_or(inner))?;
        from = close + 1;
        if branch[from..].starts_with('?') {
            inner.push(String::new());
            from += 1;
        }
        extend(&mut words, &inner);
    }
    extend(&mut words, &[plain(&branch[from..])?]);
    Some(words)
}

/// A text that stands for itself, but for what may be anything.
fn plain(text: &str) -> Option<String> {
    let text = text
        .replace(r"\S*", "*")
        .replace(r"\S+", "*")
        .replace(r"\w+", "*")
        .replace(r"\d*", "*");
    let text = text.replace(r"\-", "-").replace(r"\.", ".");
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./*".contains(char);
    text.chars().all(is_plain).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_are_words() {
        assert_eq!(words("sshd(?:-session)?").unwrap(), ["sshd", "sshd-session"]);
        assert_eq!(
            words(r"(?:apache\d*|httpd(?:/\w+)?)").unwrap(),
            ["apache*", "httpd", "httpd/*"]
        );
        assert_eq!(words("[a-z]+"), None);
    }
}
