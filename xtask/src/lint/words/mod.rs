//! Checks of the words that people read: the docs, the comments of configs, what the programs say, and doc comments.

mod markdown;
mod rules;
mod strings;

use crate::process::output;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The first line of pages that are written by a program. Their words come from its code.
const GENERATED: &str = "<!-- Written by";
/// The packages that people meet.
const PROGRAMS: [&str; 4] = [
    "secbeat/",
    "secbeat-common/",
    "secbeat-edge/",
    "secbeat-orchestrator/",
];

/// A text that people read in one go.
#[derive(Debug, PartialEq, Eq)]
struct Text {
    /// Where it begins, counted from 1.
    line: usize,
    words: String,
    kind: Kind,
}

/// Kinds of texts. Each has its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whole sentences of a page.
    Prose,
    /// A message, a help text, a comment of a config, or a line of a generated page.
    Message,
    /// A line of a doc comment.
    Doc,
}

/// Checks the repository, and prints what breaks a rule.
pub(super) fn run() -> Result<()> {
    let names = output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace::root()),
    )?;
    let mut count = 0;
    for name in names.lines() {
        for broken in check(workspace::root(), name)? {
            eprintln!("lint: {broken}");
            count += 1;
        }
    }
    ensure!(count == 0, "{count} violations of xtask/src/lint/words/rules.rs");
    Ok(())
}

/// Returns what breaks a rule in a file of the repository.
fn check(root: &Path, name: &str) -> Result<Vec<String>> {
    let Some(texts) = reader(name) else {
        return Ok(Vec::new());
    };
    let path = root.join(name);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
    let texts = texts(&text).with_context(|| format!("cannot read {name}"))?;
    let broken = texts.iter().flat_map(|text| {
        let broken = rules::broken(text);
        broken
            .into_iter()
            .map(move |rule| format!("{name}:{}: {rule}", text.line))
    });
    Ok(broken.collect())
}

/// A function that finds the texts in a file's content.
type Reader = fn(&str) -> Result<Vec<Text>>;

/// Returns the reader of a file; `None` if people do not read the file.
fn reader(name: &str) -> Option<Reader> {
    let path = Path::new(name);
    let is = |kind: &str| path.extension().is_some_and(|extension| extension == kind);
    let is_page = !name.contains('/') || name.starts_with("docs/");
    if is("md") && is_page {
        return Some(|text| Ok(markdown::texts(text)));
    }
    if name.starts_with("packaging/") {
        if is("toml") || is("service") || is("yaml") || name.ends_with("/postinst") {
            return Some(|text| Ok(comments(text)));
        }
        if is("yml") || is("json") {
            return Some(|text| Ok(comments(text).into_iter().chain(told(text)).collect()));
        }
    }
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path
            .file_stem()
            .is_some_and(|stem| stem == "tests" || stem == "samples");
    let is_program = PROGRAMS.iter().any(|program| name.starts_with(program));
    if is("rs") && is_program && !is_test && name.contains("/src/") {
        return Some(strings::texts);
    }
    None
}

/// Returns what alerts and panels say.
fn told(text: &str) -> impl Iterator<Item = Text> {
    const KEYS: [&str; 3] = ["summary: ", "\"title\": ", "\"description\": "];
    text.lines().enumerate().filter_map(|(index, line)| {
        let words = KEYS.iter().find_map(|key| line.trim().strip_prefix(key))?;
        Some(Text {
            line: index + 1,
            words: words.to_owned(),
            kind: Kind::Message,
        })
    })
}

/// The comments of a file in which lines with `#` are such.
fn comments(text: &str) -> Vec<Text> {
    let lines = text.lines().enumerate();
    let comments = lines.filter_map(|(index, line)| {
        Some(Text {
            line: index + 1,
            words: line.trim_start().strip_prefix('#')?.trim().to_owned(),
            kind: Kind::Message,
        })
    });
    comments.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_people_read_is_checked() {
        for name in [
            "README.md",
            "docs/rules.md",
            "packaging/edge.toml",
            "packaging/systemd/secbeat.service",
            "packaging/debian/secbeat/postinst",
            "packaging/prometheus/alerts.yml",
            "packaging/grafana/secbeat.json",
            "secbeat-edge/src/config.rs",
            "secbeat-common/logs/src/error.rs",
        ] {
            assert!(reader(name).is_some(), "{name}");
        }
        for name in [
            "docs/images/a.png",
            "xtask/src/main.rs",
            "secbeat-edge/src/sources/proxy/config/tests.rs",
            "secbeat-edge/src/tests/mod.rs",
            "secbeat-edge/build.rs",
            "Cargo.toml",
        ] {
            assert!(reader(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_broken_rule_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), "# A\n\nGood.\n\nThis is no list.\n").unwrap();
        let broken = check(folder.path(), "a.md").unwrap();
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with("a.md:5: \"is no list.\":"), "{broken:?}");
    }

    #[test]
    fn what_an_alert_says_is_a_text() {
        let found: Vec<_> = told("- alert: A\n    summary: An edge is down.\n").collect();
        assert_eq!(
            (found.len(), found[0].line, &*found[0].words),
            (1, 2, "An edge is down.")
        );
    }

    #[test]
    fn comments_are_texts_and_values_are_not() {
        let text = "# One.\nkey = \"# no\"\n#key = 1\n";
        let found: Vec<_> = comments(text)
            .into_iter()
            .map(|text| (text.line, text.words))
            .collect();
        assert_eq!(found, [(1, "One.".to_owned()), (3, "key = 1".to_owned())]);
    }
}
