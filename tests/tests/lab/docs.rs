//! The docs say what is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use secbeat_tests::{lab::paths::workspace, reference::Reference};

fn files(folder: &Path, kind: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_built = path
            .file_name()
            .is_some_and(|name| name == "target" || name == ".git");
        if path.is_dir() && !is_built {
            files(&path, kind, found);
        } else if path.extension().is_some_and(|it| it == kind) {
            found.push(path);
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let mut sources = Vec::new();
    files(&workspace(), "rs", &mut sources);
    let code: String = sources
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let promises = fs::read_to_string(workspace().join("docs/promises.md")).unwrap();
    let quoted = promises.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| {
        name.matches('_').count() >= 2
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let tests: Vec<_> = quoted.filter(is_test).collect();
    assert!(tests.len() > 70, "{tests:?}");
    let missing: Vec<_> = tests
        .iter()
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn links_between_docs_lead_somewhere() {
    let mut pages = vec![
        workspace().join("README.md"),
        workspace().join("CONTRIBUTING.md"),
        workspace().join("SECURITY.md"),
    ];
    files(&workspace().join("docs"), "md", &mut pages);
    let mut broken = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            let to = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let to = match to.file_name().is_some_and(|name| name == "introduction.md") {
                true => workspace().join("README.md"),
                false => to,
            };
            let there = fs::read_to_string(&to).unwrap_or_default();
            let has = |line: &str| line.starts_with('#') && slug(line) == fragment;
            if !to.exists() || !(fragment.is_empty() || there.lines().any(has)) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_reference_of_the_configs_is_what_the_types_say() {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    for reference in Reference::all(|name| read(workspace().join("packaging").join(name))) {
        let page = workspace().join("docs").join(reference.page());
        let is_true = read(page.clone()) == reference.markdown();
        assert!(
            is_true,
            "{}: `cargo xtask docs --reference` writes it anew",
            page.display()
        );
    }
}

/// A heading's fragment, as mdBook and GitHub make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
