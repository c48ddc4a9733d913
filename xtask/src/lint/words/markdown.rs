//! Pages into paragraphs.

use super::{GENERATED, Kind, Text};

/// The paragraphs, list items and cells of a page, without code. Of a page that a program wrote, every line: its code blocks are
/// the help and the comments of configs.
pub(super) fn texts(page: &str) -> Vec<Text> {
    if page.starts_with(GENERATED) {
        let lines = page.lines().enumerate();
        return lines
            .map(|(index, line)| Text {
                line: index + 1,
                words: without_code(line),
                kind: Kind::Message,
            })
            .collect();
    }
    let mut paragraphs = Paragraphs::default();
    let mut is_fenced = false;
    for (index, line) in page.lines().enumerate() {
        let text = line.trim();
        if text.starts_with("```") {
            is_fenced = !is_fenced;
            paragraphs.end();
        } else if is_fenced || line.starts_with("    ") || text.is_empty() || text.starts_with("<!--") {
            paragraphs.end();
        } else if text.starts_with(['#', '|']) {
            paragraphs.end();
            for cell in without_code(text).split('|') {
                paragraphs.add(index + 1, cell.trim());
                paragraphs.end();
            }
        } else {
            if is_item(text) {
                paragraphs.end();
            }
            paragraphs.add(index + 1, text);
        }
    }
    paragraphs.end();
    paragraphs.texts
}

#[derive(Default)]
struct Paragraphs {
    texts: Vec<Text>,
    /// The lines of the one that has begun.
    open: Option<Text>,
}

impl Paragraphs {
    fn add(&mut self, line: usize, words: &str) {
        match &mut self.open {
            Some(open) => {
                open.words.push(' ');
                open.words.push_str(words);
            }
            None if words.is_empty() => {}
            None => {
                self.open = Some(Text {
                    line,
                    words: words.to_owned(),
                    kind: Kind::Prose,
                });
            }
        }
    }

    fn end(&mut self) {
        if let Some(mut text) = self.open.take() {
            text.words = without_code(&text.words);
            self.texts.push(text);
        }
    }
}

/// Whether a line begins an item of a list.
fn is_item(line: &str) -> bool {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with("- ")
        || line.starts_with("* ")
        || (number.len() < line.len() && number.starts_with(". "))
}

/// Returns `text` with one word in place of what stands in backticks.
pub(super) fn without_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(index, part)| if index % 2 == 0 { part } else { "`code`" });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_items_and_cells_are_texts_and_code_is_not() {
        let page = "# Head\n\nOne `x  y`\ntwo.\n- item\n  goes on\n2. other\n\n    code\n\n```\nfenced\n```\n| a | `b` |\n";
        let found: Vec<_> = texts(page)
            .into_iter()
            .map(|text| (text.line, text.words))
            .collect();
        let expected = [
            (1, "# Head"),
            (3, "One `code` two."),
            (5, "- item goes on"),
            (7, "2. other"),
            (14, "a"),
            (14, "`code`"),
        ];
        assert_eq!(found, expected.map(|(line, words)| (line, words.to_owned())));
    }

    #[test]
    fn of_a_generated_page_each_line_is_a_text() {
        let page = "<!-- Written by `x`. -->\n```text\nRuns  the edge\n```\n";
        let found = texts(page);
        assert_eq!(found[2].words, "Runs  the edge");
        assert!(found.iter().all(|text| text.kind == Kind::Message));
    }
}
