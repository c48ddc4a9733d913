//! Output of `fail2ban-client -d`: a Python list a line.

/// A value of such a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Text(String),
    /// A number, `True`, `False` or `None`, as it stands.
    Word(String),
    List(Vec<Item>),
}

impl Item {
    /// Returns what it says, but for a list.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Word(text) => text,
            Self::List(_) => "",
        }
    }
}

/// The list in `line`; `None` if that is none.
pub(super) fn list(line: &str) -> Option<Vec<Item>> {
    let mut rest = line.trim();
    match item(&mut rest)? {
        Item::List(items) if rest.is_empty() => Some(items),
        _ => None,
    }
}

fn item(rest: &mut &str) -> Option<Item> {
    let first = rest.chars().next()?;
    match first {
        '[' | '(' => items(rest),
        '\'' | '"' => quoted(rest, first),
        _ => {
            let end = rest.find([',', ']', ')']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            *rest = behind;
            Some(Item::Word(word.trim().to_owned()))
        }
    }
}

fn items(rest: &mut &str) -> Option<Item> {
    *rest = rest[1..].trim_start();
    let mut items = Vec::new();
    loop {
        if let Some(behind) = rest.strip_prefix([']', ')']) {
            *rest = behind.trim_start();
            return Some(Item::List(items));
        }
        items.push(item(rest)?);
        *rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix(',') {
            *rest = behind.trim_start();
        } else if !rest.starts_with([']', ')']) {
            return None;
        }
    }
}

fn quoted(rest: &mut &str, quote: char) -> Option<Item> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => text.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                // What else Python escapes is in no name, number or address.
                other => other,
            }),
            end if end == quote => {
                *rest = &rest[at + end.len_utf8()..];
                return Some(Item::Text(text));
            }
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_python_prints_them() {
        let text = |text: &str| Item::Text(text.to_owned());
        assert_eq!(
            list(r#"['set', 'sshd', 'maxretry', 5]"#),
            Some(vec![
                text("set"),
                text("sshd"),
                text("maxretry"),
                Item::Word("5".to_owned())
            ])
        );
        assert_eq!(
            list(r#"['a', "it's", 'x\'y\\', [['n', True]], []]"#),
            Some(vec![
                text("a"),
                text("it's"),
                text("x'y\\"),
                Item::List(vec![Item::List(vec![text("n"), Item::Word("True".to_owned())])]),
                Item::List(Vec::new()),
            ])
        );
        for broken in ["", "x", "['a'", "['a' 'b']", "['a']x", "'a'", "['a"] {
            assert_eq!(list(broken), None, "{broken}");
        }
    }
}
