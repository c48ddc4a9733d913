//! Licences of the npm packages that the web page is made of and with: those that `deny.toml` allows. It asks no registry: the lock file
//! has them.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Tools that the page is built or tested with, and what their licences are beside those of `deny.toml`. Nothing of them is in the page.
const TOOLS: [(&str, &str); 2] = [("argparse", "Python-2.0"), ("axe-core", "MPL-2.0")];

/// Fails if a package has another licence.
pub(super) fn run() -> Result<()> {
    let allowed = allowed(&read(&workspace::root().join("deny.toml"))?);
    ensure!(
        !allowed.is_empty(),
        "deny.toml: expected licences under `allow` of [licenses]"
    );
    let file = workspace::dashboard().join("package-lock.json");
    let lock =
        serde_json::from_str(&read(&file)?).with_context(|| format!("invalid JSON in {}", file.display()))?;
    let wrong = wrong(&lock, &allowed);
    ensure!(wrong.is_empty(), "{}: {}", file.display(), wrong.join("; "));
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The texts of `allow` under `[licenses]`.
fn allowed(deny: &str) -> BTreeSet<String> {
    let lines = deny
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let section = lines
        .skip_while(|line| *line != "[licenses]")
        .skip(1)
        .take_while(|line| !(line.starts_with('[') && line.ends_with(']')));
    let mut list = String::new();
    for line in section.skip_while(|line| !line.starts_with("allow ") && !line.starts_with("allow=")) {
        list.push_str(line);
        if line.ends_with(']') {
            break;
        }
    }
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is wrong with the packages of a lock file.
fn wrong(lock: &Value, allowed: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<_> = TOOLS.into();
    let packages = lock["packages"].as_object();
    for (path, package) in packages.into_iter().flatten() {
        let name = path.rsplit("node_modules/").next().unwrap_or_default();
        let name = if name.is_empty() { "the page itself" } else { name };
        let Some(licence) = package["license"].as_str() else {
            wrong.push(format!("{name}: the lock file names no licence"));
            continue;
        };
        let is_tool = package["dev"] == true && TOOLS.contains(&(name, licence));
        if is_tool {
            unused.remove(&(name, licence));
        } else if !Expression(licence).is_met_by(allowed) {
            wrong.push(format!(
                "{name}: deny.toml does not allow its licence, `{licence}`"
            ));
        }
    }
    if packages.is_none_or(|packages| packages.len() < 2) {
        wrong.push("it names no package".to_owned());
    }
    wrong.extend(
        unused.into_iter().map(|(name, licence)| {
            format!("{name} under {licence} is gone: remove its row in npm_licences.rs")
        }),
    );
    wrong
}

/// A licence expression (SPDX 2.3, annex D), as far as npm packages use it: names, `AND`, `OR` and brackets.
struct Expression<'a>(&'a str);

impl Expression<'_> {
    fn is_met_by(&self, allowed: &BTreeSet<String>) -> bool {
        let spaced = self.0.replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace();
        let met = any(&mut words, allowed);
        met == Some(true) && words.next().is_none()
    }
}

/// Whether one of the alternatives up to a bracket or the end is met; `None` for what is no expression.
fn any<'a>(words: &mut impl Iterator<Item = &'a str>, allowed: &BTreeSet<String>) -> Option<bool> {
    // `AND` binds more tightly: all of the alternative at hand, and whether one before it was met.
    let (mut all, mut one) = (true, false);
    loop {
        let is_met = match words.next()? {
            "(" => any(words, allowed)?,
            ")" | "AND" | "OR" => return None,
            name => allowed.contains(name),
        };
        all &= is_met;
        match words.next() {
            None | Some(")") => return Some(one || all),
            Some("AND") => {}
            Some("OR") => {
                one |= all;
                all = true;
            }
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn licences(names: &[&str]) -> BTreeSet<String> {
        names.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn the_list_of_deny_toml_is_read() {
        let deny = "[graph]\nallow = [\"x\"]\n[licenses]\n# allow = [\"GPL\"]\nallow = [\n  \"MIT\", # \"no\"\n  \"ISC\",\n]\nother = [\"y\"]\n";
        assert_eq!(allowed(deny), licences(&["ISC", "MIT"]));
        assert_eq!(
            allowed("[licenses]\nallow = [\"MIT\"]\n[bans]\nallow = [\"z\"]"),
            licences(&["MIT"])
        );
        let ours = allowed(&read(&workspace::root().join("deny.toml")).unwrap());
        assert!(ours.contains("MIT") && ours.contains("Zlib"), "{ours:?}");
    }

    #[test]
    fn expressions_are_met_by_what_they_let_choose() {
        let allowed = licences(&["MIT", "Apache-2.0"]);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only)", true),
            ("GPL-3.0-only OR MIT AND Apache-2.0", true),
            ("MIT AND (GPL-3.0-only OR Apache-2.0)", true),
            ("MIT AND GPL-3.0-only", false),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("MIT OR", false),
            ("(MIT) MIT", false),
            ("SEE LICENSE IN LICENSE.md", false),
        ] {
            assert_eq!(
                Expression(expression).is_met_by(&allowed),
                expected,
                "{expression}"
            );
        }
    }

    #[test]
    fn packages_of_other_licences_are_named_and_tools_may_not_get_into_the_page() {
        let allowed = licences(&["MIT"]);
        let lock = |more: Value| {
            let mut packages = json!({
                "": { "license": "MIT" },
                "node_modules/argparse": { "license": "Python-2.0", "dev": true },
                "node_modules/axe-core": { "license": "MPL-2.0", "dev": true },
            });
            for (path, package) in more.as_object().unwrap() {
                packages[path] = package.clone();
            }
            json!({ "packages": packages })
        };
        assert_eq!(wrong(&lock(json!({})), &allowed), Vec::<String>::new());
        let found = wrong(
            &lock(json!({
                "node_modules/a/node_modules/@b/c": { "license": "GPL-3.0-only" },
                "node_modules/d": {},
                "node_modules/axe-core": { "license": "MPL-2.0" },
            })),
            &allowed,
        );
        let expected = [
            "@b/c: deny.toml does not allow its licence, `GPL-3.0-only`",
            "axe-core: deny.toml does not allow its licence, `MPL-2.0`",
            "d: the lock file names no licence",
            "axe-core under MPL-2.0 is gone: remove its row in npm_licences.rs",
        ];
        assert_eq!(found, expected);
    }
}
