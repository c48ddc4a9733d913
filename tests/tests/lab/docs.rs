//! The docs say what is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use secbeat_common::{maps, wire::MAX_ALLOWED};
use secbeat_tests::{
    commands,
    lab::paths::workspace,
    reference::{FEEDS, LISTS, MIGRATING, Reference, with_formats, with_presets, with_words},
    rest,
};

/// Documents by their path, as their readers find them.
type View = BTreeMap<PathBuf, String>;

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
    let code = code();
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
fn figures_and_versions_in_the_readme_are_those_of_the_pages_behind_them() {
    let read = |name: &str| fs::read_to_string(workspace().join(name)).unwrap();
    let (readme, measured, compared) = (
        read("README.md"),
        read("docs/performance.md"),
        read("docs/comparison.md"),
    );
    let (summary, _) = measured.split_once("The rest of this page").unwrap();
    let (_, figures) = readme.split_once("Three figures").unwrap();
    let (figures, _) = figures.split_once("## ").unwrap();
    let words: Vec<_> = figures
        .split_whitespace()
        .map(|word| word.trim_matches(['(', ')', ',', ';', '.']))
        .collect();
    let is_figure = |pair: &&[&str]| {
        pair[0].starts_with(|c: char| c.is_ascii_digit()) && matches!(pair[1], "ns" | "ms" | "s")
    };
    let figures: Vec<_> = words
        .windows(2)
        .filter(is_figure)
        .map(|pair| pair.join(" "))
        .collect();
    assert!(figures.len() >= 3, "{figures:?}");
    let missing = figures.iter().filter(|figure| !summary.contains(*figure));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
    let head = readme.lines().find(|line| line.contains("| SecBeat |")).unwrap();
    let versions: Vec<_> = head
        .split([' ', ','])
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(versions.len(), 3, "{head}");
    let missing = versions
        .into_iter()
        .filter(|version| !compared.contains(*version));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn links_lead_somewhere_in_the_repository_in_the_book_and_in_the_packages() {
    let pages = pages();
    let mut views = vec![("the repository", repository(&pages)), ("the book", book(&pages))];
    for package in ["secbeat-edge", "secbeat-orchestrator"] {
        views.push((package, packaged(package)));
    }
    for (name, view) in views {
        assert!(view.len() > 20, "{name}: {view:?}");
        assert_eq!(broken_links(&view), [""; 0], "in {name}");
    }
}

#[test]
fn the_book_has_every_page_and_no_page_needs_mdbook() {
    let pages = pages();
    let listed: BTreeSet<_> = links(&pages[Path::new("docs/SUMMARY.md")])
        .map(|link| Path::new("docs").join(link))
        .collect();
    let all = pages.keys().filter(|path| path.starts_with("docs"));
    let all: BTreeSet<_> = all
        .filter(|path| !path.ends_with("SUMMARY.md"))
        .cloned()
        .collect();
    assert_eq!(listed, all);
    for (path, text) in pages {
        assert!(
            !text.contains("{{#"),
            "{}: only mdBook reads this",
            path.display()
        );
    }
}

#[test]
fn metrics_have_the_labels_that_the_docs_name() {
    let code = code();
    let documented = fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let rows = documented.lines().filter(|line| line.starts_with("| `secbeat_"));
    let metrics: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert!(metrics.len() > 60, "{metrics:?}");
    for metric in metrics {
        let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
        let labels: BTreeSet<_> = labels.trim_end_matches('}').split(',').collect();
        let labels: BTreeSet<_> = labels.into_iter().filter(|label| !label.is_empty()).collect();
        let exported = labels_of(&code, name).unwrap_or_else(|| panic!("{name} is not exported"));
        assert_eq!(labels, exported, "{name}");
    }
}

#[test]
fn streams_buckets_subjects_and_variables_exist() {
    let subjects = fs::read_to_string(workspace().join("secbeat-common/src/subjects.rs")).unwrap();
    let code = code();
    for (path, text) in pages() {
        let is_in = |haystack: &str, needle: &str| {
            assert!(
                haystack.contains(needle),
                "{}: no {needle} in the code",
                path.display()
            );
        };
        for word in ["stream `", "bucket `", "buckets `"] {
            for name in text.split(word).skip(1).filter_map(|rest| rest.split('`').next()) {
                is_in(&subjects, &format!("\"{name}\""));
            }
        }
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_of = |letters: fn(char) -> bool| quoted.chars().all(|c| letters(c) || c == '_');
            if quoted.starts_with("SECBEAT_") && is_of(|c| c.is_ascii_uppercase()) {
                is_in(&code, &format!("\"{quoted}\""));
            }
            let is_metric =
                quoted.starts_with("secbeat_edge_") || quoted.starts_with("secbeat_orchestrator_");
            if quoted.starts_with("secbeat_") && !is_metric && is_of(|c| c.is_ascii_lowercase()) {
                is_in(&subjects, &format!("\"{quoted}\""));
            }
            if quoted.starts_with("secbeat.") {
                let literal = quoted
                    .split(|c: char| c.is_ascii_uppercase() || "<>*".contains(c))
                    .next();
                // What follows a prefix may be put together elsewhere.
                is_in(
                    &subjects,
                    &format!("\"{}", literal.unwrap().trim_end_matches('.')),
                );
            }
        }
    }
}

#[test]
fn completions_are_for_the_shells_that_the_docs_name() {
    let help = "secbeat-orchestrator/src/cli/snapshots/secbeat_orchestrator__cli__tests__the_help_reads_as_it_did.snap";
    let help = fs::read_to_string(workspace().join(help)).unwrap();
    let shells = help.split("<SHELL>  [possible values: ").nth(1).unwrap();
    let shells = shells.split(']').next().unwrap().replace(", ", "|");
    let page = fs::read_to_string(workspace().join("docs/orchestrator.md")).unwrap();
    assert!(page.contains(&format!("`completions {shells}`")), "{shells}");
}

#[test]
fn limits_are_those_of_the_code() {
    let code = code();
    let page = fs::read_to_string(workspace().join("docs/limits.md")).unwrap();
    let mut checked = 0;
    for row in page.lines().filter(|line| line.ends_with("` |")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let [_, value, constant] = cells[..] else {
            panic!("{row}");
        };
        let constant = constant.trim_matches([' ', '|', '`']);
        let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
        let unit: u64 = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => panic!("{row}"),
        };
        let documented = number.parse::<u64>().unwrap() * unit;
        let actual = match constant {
            "MAX_BANNED_NETS" => vec![u64::from(maps::MAX_BANNED_NETS)],
            "MAX_ALLOWED" => vec![MAX_ALLOWED as u64],
            constants => constants.split("` times `").fold(vec![1], |products, constant| {
                let values = values_of(&code, constant);
                let times = |product: &u64| values.iter().map(|value| product * value).collect::<Vec<_>>();
                products.iter().flat_map(times).collect()
            }),
        };
        assert!(actual.contains(&documented), "{row}: {actual:?}");
        checked += 1;
    }
    assert!(checked > 25, "{checked}");
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

#[test]
fn the_reference_of_the_commands_is_what_they_print() {
    for (name, page) in commands::pages() {
        let there = fs::read_to_string(workspace().join("docs").join(&name)).unwrap();
        assert!(
            there == page,
            "{name}: `cargo xtask docs --reference` writes it anew"
        );
    }
}

#[test]
fn the_reference_of_the_rest_api_is_what_the_daemon_serves() {
    for (name, page) in rest::pages() {
        let there = fs::read_to_string(workspace().join("docs").join(name)).unwrap();
        assert!(
            there == page,
            "{name}: `cargo xtask docs --reference` writes it anew"
        );
    }
}

#[test]
fn commands_that_pages_name_are_commands() {
    // These have tables in which a program's name begins a line.
    let tables = ["performance.md", "architecture.md"];
    let generated = commands::pages().map(|(name, _)| name);
    let mut named = 0;
    let mut untrue = Vec::new();
    for (path, text) in pages() {
        let is_left_out = tables.iter().any(|name| path.ends_with(name));
        if is_left_out || generated.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let found = commands::named_in(&text);
        named += found.len();
        let of_page = |error: String| format!("{}: {error}", path.display());
        untrue.extend(found.iter().filter_map(commands::Named::untrue).map(of_page));
    }
    assert!(named > 200, "{named}");
    assert_eq!(untrue, [""; 0]);
}

#[test]
fn the_playbook_ends_after_the_batch_with_a_failed_host() {
    let playbook = workspace().join("packaging/ansible/site.yml");
    let playbook = fs::read_to_string(playbook).unwrap();
    let states = |key: &str| playbook.lines().any(|line| line.trim().starts_with(key));
    // Without it, Ansible goes on to the next batch unless a whole one failed.
    assert!(
        states("serial:") && states("any_errors_fatal: true"),
        "{playbook}"
    );
}

#[test]
fn every_alert_has_a_runbook() {
    let alerts = workspace().join("packaging/prometheus/alerts.yml");
    let alerts = fs::read_to_string(alerts).unwrap();
    let lines = |key: &'static str| {
        alerts
            .lines()
            .filter_map(move |line| line.trim().strip_prefix(key))
    };
    let names: Vec<_> = lines("- alert: ").collect();
    let page = fs::read_to_string(workspace().join("docs/alerts.md")).unwrap();
    let runbooks: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(names, runbooks);
    let named = lines("runbook: ").map(|path| path.split_once("*/docs/alerts.md#").unwrap().1);
    let anchors = runbooks.iter().map(|heading| slug(heading));
    assert_eq!(named.collect::<Vec<_>>(), anchors.collect::<Vec<_>>());
}

#[test]
fn every_name_of_the_command_alerts_has_a_runbook() {
    let code = workspace().join("secbeat-orchestrator/src/view/alerts.rs");
    let code = fs::read_to_string(code).unwrap();
    let (code, _) = code.split_once("#[cfg(test)]").unwrap();
    let makers = ["here(", "alert(", "Some(("];
    let after = makers.iter().flat_map(|maker| code.split(maker).skip(1));
    let names: BTreeSet<_> = after
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let page = fs::read_to_string(workspace().join("docs/alerts.md")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let is_there = |name: &str| rows.iter().any(|row| row.contains(&format!("`{name}`")));
    let missing: Vec<_> = names.into_iter().filter(|name| !is_there(name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_route_of_the_edge_has_an_example() {
    let code = workspace().join("secbeat-edge/src/api/mod.rs");
    let code = fs::read_to_string(code).unwrap();
    let routes: Vec<_> = code
        .split(".route(\"")
        .skip(1)
        .map(|rest| rest.split(['"', '{']).next().unwrap())
        .collect();
    assert!(routes.len() > 8, "{routes:?}");
    let page = fs::read_to_string(workspace().join("docs/edge-api.md")).unwrap();
    let examples: Vec<_> = page.lines().filter(|line| line.contains("curl ")).collect();
    let missing = routes
        .into_iter()
        .filter(|route| !examples.iter().any(|line| line.contains(route)));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_table_of_formats_is_what_the_code_reads() {
    let page = fs::read_to_string(workspace().join("docs").join(LISTS)).unwrap();
    assert_eq!(
        page,
        with_formats(&page),
        "`cargo xtask docs --reference` writes it anew"
    );
}

#[test]
fn the_table_of_presets_is_what_the_code_has() {
    let page = fs::read_to_string(workspace().join("docs").join(FEEDS)).unwrap();
    assert_eq!(
        page,
        with_presets(&page),
        "`cargo xtask docs --reference` writes it anew"
    );
}

#[test]
fn the_words_of_other_programs_are_those_that_the_code_knows() {
    let page = fs::read_to_string(workspace().join("docs").join(MIGRATING)).unwrap();
    assert_eq!(
        page,
        with_words(&page),
        "`cargo xtask docs --reference` writes it anew"
    );
}

/// A heading's fragment, as mdBook and GitHub make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// All Rust code, one file after the other.
fn code() -> String {
    let mut sources = Vec::new();
    files(&workspace(), "rs", &mut sources);
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
    sources.iter().map(read).collect()
}

/// All pages, by their path in the repository.
fn pages() -> View {
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
        .map(|name| workspace().join(name))
        .into();
    files(&workspace().join("docs"), "md", &mut pages);
    let entry = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(workspace()).unwrap().to_owned(), text)
    };
    pages.into_iter().map(entry).collect()
}

/// What is in the repository, of which pages link to.
fn repository(pages: &View) -> View {
    let mut view = pages.clone();
    for licence in ["LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"] {
        assert!(workspace().join(licence).exists());
        view.insert(licence.into(), String::new());
    }
    view.extend(pictures());
    view
}

/// The pictures of the pages.
fn pictures() -> impl Iterator<Item = (PathBuf, String)> {
    let mut pictures = Vec::new();
    files(&workspace().join("docs/images"), "png", &mut pictures);
    let named = |path: PathBuf| (path.strip_prefix(workspace()).unwrap().to_owned(), String::new());
    pictures.into_iter().map(named)
}

/// The book has what is below `docs` and nothing else.
fn book(pages: &View) -> View {
    let in_docs = |(path, text): (PathBuf, String)| {
        let path = path.strip_prefix("docs").ok()?;
        Some((path.to_owned(), text))
    };
    pages
        .clone()
        .into_iter()
        .chain(pictures())
        .filter_map(in_docs)
        .collect()
}

/// What `package` installs of the repository's documents, below `/usr/share/doc`.
fn packaged(package: &str) -> View {
    let manifest = fs::read_to_string(workspace().join(package).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"]
        .as_array()
        .unwrap();
    let mut view = View::new();
    for asset in assets {
        let (source, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        let Some(source) = source.strip_prefix("../").filter(|it| !it.starts_with("target/")) else {
            continue;
        };
        let mut sources = Vec::new();
        match source.split_once("/*.") {
            Some((folder, kind)) => files(&workspace().join(folder), kind, &mut sources),
            None => sources.push(workspace().join(source)),
        }
        for path in sources.iter().filter(|_| to.starts_with("usr/share/doc/")) {
            let name = Path::new(to).join(path.file_name().unwrap());
            // Pictures are no text.
            view.insert(name, fs::read_to_string(path).unwrap_or_default());
        }
    }
    view
}

/// The targets of a page's links, but for addresses elsewhere.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

/// Links of pages in `view` to what is not in it, or to a heading that is not there.
fn broken_links(view: &View) -> Vec<String> {
    let mut broken = Vec::new();
    for (page, text) in view
        .iter()
        .filter(|(page, _)| page.extension().is_some_and(|it| it == "md"))
    {
        for target in links(text) {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let to = match path {
                "" => page.clone(),
                path => normal(&page.parent().unwrap().join(path)),
            };
            let there = view.get(&to);
            if !there.is_some_and(|there| fragment.is_empty() || headings(there).any(|it| it == fragment)) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    broken
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            component => normal.push(component),
        }
    }
    normal
}

/// The fragments of a page's headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let outside = text.split("```").step_by(2);
    let lines = outside.flat_map(str::lines);
    lines.filter(|line| line.starts_with('#')).map(slug)
}

/// The labels with which the code exports the metric `name`, or `None` if it does not: in a macro, `gauge!("name", "label" => …)`, or in
/// the calls that follow a declaration, `.count([("label", …)], …)`.
fn labels_of<'a>(code: &'a str, name: &str) -> Option<BTreeSet<&'a str>> {
    let quoted = format!("\"{name}\"");
    let mut found = None;
    for (at, _) in code.match_indices(&quoted) {
        let (before, after) = (code[..at].trim_end(), &code[at + quoted.len()..]);
        let labels: &mut BTreeSet<_> = found.get_or_insert_default();
        if before.ends_with("counter!(") || before.ends_with("gauge!(") {
            let arguments = &after[..closing(after)];
            let names = arguments.split("=>").filter_map(|part| part.rsplit('"').nth(1));
            labels.extend(names.take(arguments.matches("=>").count()));
            continue;
        }
        let statement = before.rsplit([';', '{', '}']).next().unwrap().trim_start();
        match statement
            .strip_prefix("let ")
            .and_then(|rest| rest.split(' ').next())
        {
            Some(variable) => {
                let again = format!("let {variable} ");
                let scope = after.split(&again).next().unwrap();
                let receiver = format!(" {variable}.");
                labels.extend(scope.split(&receiver).skip(1).flat_map(labels_of_call));
            }
            None if before.ends_with('(') => {
                let call = &after[closing(after) + 1..];
                let call = call.trim_start();
                labels.extend(call.strip_prefix('.').into_iter().flat_map(labels_of_call));
            }
            None => {}
        }
    }
    found
}

/// Where the parenthesis that was opened before `text` is closed.
fn closing(text: &str) -> usize {
    let mut open = 1_u32;
    let at = text.find(|c| {
        open = match c {
            '(' => open + 1,
            ')' => open - 1,
            _ => open,
        };
        open == 0
    });
    at.unwrap_or(text.len())
}

/// The labels in `count([("label", …)], …)`.
fn labels_of_call(call: &str) -> Vec<&str> {
    let list = call
        .split_once("([")
        .filter(|(method, _)| method.chars().all(char::is_alphabetic));
    let list = list
        .and_then(|(_, rest)| rest.split(']').next())
        .unwrap_or_default();
    list.split("(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// The values of the constants called `name` that are numbers or products of numbers.
fn values_of(code: &str, name: &str) -> Vec<u64> {
    let value = |rest: &str| {
        let expression = rest.split_once('=')?.1.split(';').next()?;
        let factor = |factor: &str| factor.trim().replace('_', "").parse::<u64>().ok();
        expression.split('*').map(factor).product::<Option<u64>>()
    };
    let declaration = format!("const {name}:");
    code.split(&declaration).skip(1).filter_map(value).collect()
}
