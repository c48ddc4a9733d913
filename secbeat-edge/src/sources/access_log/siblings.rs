//! Earlier generations of a log: files beside it whose names begin with its own.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, Metadata},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    file::{Birth, FileId},
    mark::Print,
    open::{Opened, open_log},
};

/// A file that may be an earlier generation, or a copy, of a log.
#[derive(Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

impl Sibling {
    /// Returns what lies at `path` itself, if that is a file.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(Metadata::is_file)?;
        Some(Self {
            path: path.to_owned(),
            metadata,
        })
    }

    pub(super) fn id(&self) -> FileId {
        (&self.metadata).into()
    }

    pub(super) fn birth(&self) -> Birth {
        (self.id(), self.metadata.created().ok())
    }

    /// Opens it if it is still the same file.
    pub(super) fn open(&self) -> Option<Opened> {
        let opened = open_log(&self.path).ok()?;
        (FileId::from(&opened.metadata) == self.id()).then_some(opened)
    }

    /// Opens it if it begins with `head`.
    pub(super) fn open_copy(&self, head: &Print) -> Option<Opened> {
        let opened = self.open()?;
        (!head.is_empty() && head.begins(&opened.file).unwrap_or(false)).then_some(opened)
    }
}

/// The regular files beside `path` whose names begin with its name, or have a generation before its extension (`access.1.log`), without
/// itself; none if its folder is not there.
pub(super) fn of(path: &Path) -> Vec<Sibling> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let other = entry.file_name();
            let (other, name) = (other.as_bytes(), name.as_bytes());
            other != name && (other.starts_with(name) || has_generation_within(other, name))
        })
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
            Some(Sibling {
                path: entry.path(),
                metadata,
            })
        })
        .collect()
}

/// Whether a name is that of `log` with a number or a date before its extension, as logrotate's `extension` makes it.
fn has_generation_within(name: &[u8], log: &[u8]) -> bool {
    let Some(dot) = log.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
        return false;
    };
    let (stem, extension) = log.split_at(dot);
    let generation = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension));
    generation.is_some_and(|generation| {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b".-_:T".contains(byte);
        generation.iter().any(u8::is_ascii_digit) && generation.iter().all(is_part)
    })
}

/// The regular files beside `paths` that are called as logrotate and its like call what they move away or copy:
/// `access.log.1`, `access.log-20261121`. One look per folder, however many logs are in it.
pub(super) fn generations<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<Sibling> {
    let mut folders: HashMap<&Path, HashSet<&[u8]>> = HashMap::new();
    for path in paths {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
            folders.entry(folder).or_default().insert(name.as_bytes());
        }
    }
    let mut generations = Vec::new();
    for (folder, logs) in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !without_generation(name.as_bytes()).any(|log| logs.contains(log)) {
                continue;
            }
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                generations.push(Sibling {
                    path: entry.path(),
                    metadata,
                });
            }
        }
    }
    generations.sort_by_key(|sibling| sibling.metadata.modified().ok());
    generations
}

/// The names of the logs that a file of this name can be a generation of.
fn without_generation(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let generation = name
        .iter()
        .rposition(|byte| !byte.is_ascii_digit() && !b".-_:T".contains(byte))
        .map_or(0, |last| last + 1);
    (generation..name.len().saturating_sub(1))
        .filter(|at| b".-_".contains(&name[*at]) && name[at + 1].is_ascii_digit())
        .map(|at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_may_stand_before_the_extension() {
        for (name, log, expected) in [
            ("access.1.log", "access.log", true),
            ("access-20261121.log", "access.log", true),
            ("access-admin.log", "access.log", false),
            ("access..log", "access.log", false),
            ("access.log", "access.log", false),
            ("1.log", ".log", false),
        ] {
            let has = has_generation_within(name.as_bytes(), log.as_bytes());
            assert_eq!(has, expected, "{name}");
        }
    }

    #[test]
    fn a_generation_is_a_number_or_a_date_behind_a_name() {
        for (name, logs) in [
            ("access.log.1", &["access.log"][..]),
            ("access.log-20261121", &["access.log"]),
            (
                "access.log.2026-11-21T10:00",
                &["access.log", "access.log.2026", "access.log.2026-11"],
            ),
            ("access.log.1.gz", &[]),
            ("access.log", &[]),
            ("access.log_ssl", &[]),
            ("access.log.", &[]),
        ] {
            let found: Vec<_> = without_generation(name.as_bytes()).collect();
            let logs: Vec<_> = logs.iter().map(|log| log.as_bytes()).collect();
            assert_eq!(found, logs, "{name}");
        }
    }
}
