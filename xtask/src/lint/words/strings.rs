//! The texts in a program's code: string literals, but for those of tests.

use super::Text;
use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::LitStr;

/// Attributes whose strings only developers read.
const OF_DEVELOPERS: [&str; 6] = ["allow", "cfg", "cfg_attr", "deny", "doc", "expect"];

pub(super) fn texts(code: &str) -> Result<Vec<Text>> {
    let tokens: TokenStream = code.parse().map_err(|error| anyhow!("{error}"))?;
    let mut found = Vec::new();
    collect(tokens, &mut found);
    Ok(found)
}

fn collect(tokens: TokenStream, found: &mut Vec<Text>) {
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
                } else if !is_of_developers(&attribute.stream()) {
                    collect(attribute.stream(), found);
                }
            }
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) {
                    found.push(Text {
                        line: literal.span().start().line,
                        words: text.value(),
                        is_prose: false,
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

fn is_of_developers(attribute: &TokenStream) -> bool {
    let first = attribute.clone().into_iter().next();
    matches!(first, Some(TokenTree::Ident(name)) if OF_DEVELOPERS.iter().any(|of| name == of))
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
    fn strings_are_texts_and_comments_and_tests_are_not() {
        let code = r##"
            //! Module.
            /// Doc.
            #[error("an error")]
            #[expect(clippy::x, reason = "a reason")]
            struct X;
            fn f() { bail!("a {} message", r#"raw"#); let c = 'c'; let b = b"bytes"; }
            #[cfg(test)]
            mod tests { fn f() { g("of a test"); } }
            #[cfg(test)]
            mod others;
            const AFTER: &str = "after";
        "##;
        let found: Vec<_> = texts(code).unwrap().into_iter().map(|text| text.words).collect();
        assert_eq!(found, ["an error", "a {} message", "raw", "after"]);
    }
}
