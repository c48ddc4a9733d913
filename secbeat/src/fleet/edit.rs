//! Changes of the config file that leave the rest of it as it is, comments included.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// What stands before each entry that [`join`] adds, by which [`leave`] finds it.
const ADDED: &str = "# Taken along from this host's allowlist.\n";

/// An entry of this host's allowlist, as its API has it.
#[derive(Debug, Deserialize)]
pub(super) struct Allowed {
    pub(super) network: String,
    #[serde(default)]
    pub(super) comment: String,
    /// RFC 3339.
    pub(super) until: Option<String>,
}

/// The file at `path`, to be changed.
///
/// # Errors
///
/// Returns an error if it cannot be read, or is not TOML.
pub(crate) fn read(path: &Path) -> anyhow::Result<DocumentMut> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().with_context(|| format!("{}", path.display()))
}

/// Adds `[fleet]`, and what is allowlisted to `[[protect.allow]]`.
///
/// # Errors
///
/// Returns an error if `[protect]` is written in a way to which nothing can be added.
pub(super) fn join(document: &mut DocumentMut, credentials: &str, allowed: &[Allowed]) -> anyhow::Result<()> {
    if !allowed.is_empty() {
        let protect = document.entry("protect").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let list = protect.as_table_mut().map(|protect| {
            protect
                .entry("allow")
                .or_insert(Item::ArrayOfTables(ArrayOfTables::new()))
        });
        let list = list.and_then(Item::as_array_of_tables_mut);
        let list =
            list.context("protect: write it as a table `[protect]` with tables `[[protect.allow]]`")?;
        for entry in allowed {
            let mut table = Table::new();
            table.decor_mut().set_prefix(format!("\n{ADDED}"));
            table["network"] = value(entry.network.as_str());
            if !entry.comment.is_empty() {
                table["comment"] = value(entry.comment.as_str());
            }
            if let Some(until) = &entry.until {
                let until: toml_edit::Datetime = until
                    .parse()
                    .with_context(|| format!("the end of {}", entry.network))?;
                table["until"] = value(until);
            }
            list.push(table);
        }
    }
    let mut fleet = Table::new();
    fleet
        .decor_mut()
        .set_prefix("\n# This host is an edge of a fleet; `secbeat leave` takes this out again.\n");
    fleet["credentials"] = value(credentials);
    ensure!(
        document.insert("fleet", Item::Table(fleet)).is_none(),
        "there is a table [fleet] already"
    );
    Ok(())
}

/// Has `new`, a config that `setup` proposes, keep the networks of proxies and those that are never banned of the config `old`. Returns
/// which keys these are.
pub(crate) fn keep_networks(new: &mut DocumentMut, old: &DocumentMut) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let is_filled = |item: &&Item| item.as_array().is_some_and(|networks| !networks.is_empty());
    if let Some(networks) = old.get("trusted_proxies").filter(is_filled) {
        new["trusted_proxies"] = networks.clone();
        kept.push("trusted_proxies");
    }
    let Some(protect) = old.get("protect").and_then(Item::as_table_like) else {
        return kept;
    };
    for (key, name) in [
        ("networks", "networks of [protect]"),
        ("allow", "[[protect.allow]]"),
    ] {
        let Some(found) = protect
            .get(key)
            .filter(|item| item.is_array_of_tables() || is_filled(item))
        else {
            continue;
        };
        let mut found = found.clone();
        let proposed = new["protect"].get(key).and_then(Item::as_array).cloned();
        if let (Some(list), Some(proposed)) = (found.as_array_mut(), proposed) {
            let is_new =
                |network: &toml_edit::Value| !list.iter().any(|held| held.as_str() == network.as_str());
            let more: Vec<_> = proposed
                .iter()
                .filter(|network| is_new(network))
                .cloned()
                .collect();
            more.into_iter().for_each(|network| list.push(network));
        }
        new["protect"][key] = found;
        kept.push(name);
    }
    kept
}

/// Takes out what [`join`] added.
pub(super) fn leave(document: &mut DocumentMut) {
    document.remove("fleet");
    let Some(protect) = document.get_mut("protect").and_then(Item::as_table_mut) else {
        return;
    };
    let Some(list) = protect.get_mut("allow").and_then(Item::as_array_of_tables_mut) else {
        return;
    };
    list.retain(|table| {
        let prefix = table.decor().prefix().and_then(|prefix| prefix.as_str());
        !prefix.is_some_and(|prefix| prefix.ends_with(ADDED))
    });
    if list.is_empty() {
        protect.remove("allow");
    }
    if protect.is_implicit() && protect.is_empty() {
        document.remove("protect");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# Written by hand.\nstate_dir = \"/var/lib/x\" # here\n\n[protect]\nnetworks = [\"192.0.2.0/24\"]\n\n\
        # The office.\n[[protect.allow]]\nnetwork = \"203.0.113.1\"\n\n[ban]\nduration = \"5m\"\n";

    fn allowed() -> Vec<Allowed> {
        let entry = |network: &str, comment: &str, until: Option<&str>| Allowed {
            network: network.to_owned(),
            comment: comment.to_owned(),
            until: until.map(str::to_owned),
        };
        vec![
            entry("198.51.100.0/24", "a \"guest\"", Some("2099-01-01T00:00:00Z")),
            entry("2001:db8::/32", "", None),
        ]
    }

    #[test]
    fn leaving_takes_out_what_joining_added_and_nothing_else() {
        for before in [BEFORE, "", "[ban]\nduration = \"5m\"\n"] {
            let mut document: DocumentMut = before.parse().unwrap();
            join(&mut document, "edge.credentials", &allowed()).unwrap();
            let joined = document.to_string();
            let table: toml::Table = joined.parse().unwrap();
            assert_eq!(table["fleet"]["credentials"].as_str(), Some("edge.credentials"));
            let list = table["protect"]["allow"].as_array().unwrap();
            let added = &list[list.len() - 2];
            assert_eq!(added["comment"].as_str(), Some("a \"guest\""));
            assert_eq!(added["until"].to_string(), "2099-01-01T00:00:00Z");
            for line in before.lines().filter(|line| !line.is_empty()) {
                assert!(joined.contains(line), "{line} is not in {joined}");
            }
            // As another process finds it.
            let mut document: DocumentMut = joined.parse().unwrap();
            leave(&mut document);
            assert_eq!(document.to_string(), before);
        }
    }

    #[test]
    fn what_cannot_be_added_to_is_named() {
        let mut document: DocumentMut = "protect = { networks = [] }\n".parse().unwrap();
        let error = join(&mut document, "x", &allowed()).unwrap_err();
        assert!(error.to_string().starts_with("protect: "), "{error}");
        let mut document: DocumentMut = "[fleet]\ncredentials = \"y\"\n".parse().unwrap();
        assert!(join(&mut document, "x", &[]).is_err());
    }

    #[test]
    fn a_new_config_keeps_whom_the_old_one_spares() {
        let old = "trusted_proxies = [\"192.0.2.1\"]\n[protect]\nnetworks = [\"198.51.100.0/24\"]\n[[protect.allow]]\nnetwork = \"203.0.113.9\"\n";
        let mut new: DocumentMut = "trusted_proxies = []\n\n[protect]\n# From where this was set up.\nnetworks = [\"203.0.113.7\"]\n"
            .parse()
            .unwrap();
        let kept = keep_networks(&mut new, &old.parse().unwrap());
        assert_eq!(kept.len(), 3, "{kept:?}");
        let new: toml::Table = new.to_string().parse().unwrap();
        assert_eq!(new["trusted_proxies"][0].as_str(), Some("192.0.2.1"));
        assert_eq!(new["protect"]["networks"].as_array().unwrap().len(), 2);
        assert_eq!(
            new["protect"]["allow"][0]["network"].as_str(),
            Some("203.0.113.9")
        );
        let untouched = "trusted_proxies = []\n[protect]\nnetworks = []\n";
        let mut same: DocumentMut = untouched.parse().unwrap();
        assert!(keep_networks(&mut same, &untouched.parse().unwrap()).is_empty());
        assert_eq!(same.to_string(), untouched);
    }
}
