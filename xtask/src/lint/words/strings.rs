//! The texts in a program's code: string literals and doc comments, but for those of tests.

use super::{Kind, Text, markdown::without_code};
use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::LitStr;

/// Attributes whose strings only developers read.
const OF_DEVELOPERS: [&str; 5] = ["allow", "cfg", "cfg_attr", "deny", "expect"];

pub(super) fn texts(code: &str) -> Result<Vec<Text>> {
    let tokens: TokenStream = code.parse().map_err(|error| anyhow!("{error}"))?;
    let mut found = Vec::new();
    collect(tokens, Kind::Message, &mut found);
    Ok(found)
}

fn collect(tokens: TokenStream, kind: Kind, found: &mut Vec<Text>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                // That of a module itself has another mark.
                let _ =
                    tokens.next_if(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == '!'));
                let Some(TokenTree::Group(attribute)) = tokens.next_if(is_attribute) else {
                    continue;
                };
                if is_test(&attribute.stream()) {
                    // Up to the end of the item.
                    while tokens.next().is_some_and(|token| !ends_item(&token)) {}
                } else if is_named(&attribute.stream(), &["doc"]) {
                    collect(attribute.stream(), Kind::Doc, found);
                } else if !is_named(&attribute.stream(), &OF_DEVELOPERS) {
                    collect(attribute.stream(), Kind::Message, found);
                }
            }
            TokenTree::Group(group) => collect(group.stream(), kind, found),
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) {
                    found.push(Text {
                        line: literal.span().start().line,
                        words: match kind {
                            Kind::Doc => without_code(&text.value()),
                            Kind::Message | Kind::Prose => text.value(),
                        },
                        kind,
                    });
                }
            }
            TokenTree::Punct(_) | TokenTree::Ident(_) => {}
        }
    }
}

fn is_attribute(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
}

fn is_test(attribute: &TokenStream) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn is_named(attribute: &TokenStream, names: &[&str]) -> bool {
    let first = attribute.clone().into_iter().next();
    matches!(first, Some(TokenTree::Ident(name)) if names.iter().any(|of| name == of))
}

fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_doc_comments_are_texts_and_tests_and_comments_are_not() {
        let code = r##"
            //! Module.
            /// Doc of `it`.
            #[error("an error")]
            #[expect(clippy::x, reason = "a reason")]
            struct X;
            // A comment.
            fn f() { bail!("a {} message", r#"raw"#); let c = 'c'; let b = b"bytes"; }
            #[cfg(test)]
            mod tests { fn f() { g("of a test"); } }
            #[cfg(test)]
            mod others;
            const AFTER: &str = "after";
        "##;
        let found: Vec<_> = texts(code)
            .unwrap()
            .into_iter()
            .map(|text| (text.kind, text.words))
            .collect();
        let expected = [
            (Kind::Doc, " Module."),
            (Kind::Doc, " Doc of `code`."),
            (Kind::Message, "an error"),
            (Kind::Message, "a {} message"),
            (Kind::Message, "raw"),
            (Kind::Message, "after"),
        ];
        assert_eq!(found, expected.map(|(kind, words)| (kind, words.to_owned())));
    }
}
