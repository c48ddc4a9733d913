//! Names of logs that were rotated.

use std::path::{Path, PathBuf};

/// Returns the log that a rotated one was: `access.log` of `access.log.2.gz`, of `access.log-20261121` and of `access-20261121.log`.
#[must_use]
pub fn unrotated(path: &Path) -> PathBuf {
    let Some(name) = path.file_name() else {
        return path.to_owned();
    };
    let name = name.to_string_lossy();
    let bare = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(*end));
    let bare = bare.unwrap_or(&name);
    let within = || {
        let (stem, extension) = bare.rsplit_once('.')?;
        Some(format!("{}.{extension}", without_number(stem)?))
    };
    let whole = without_number(bare).map(str::to_owned).or_else(within);
    path.with_file_name(whole.as_deref().unwrap_or(bare))
}

/// Returns the first of `entries` that covers `file`, or else the log that it was before it was rotated.
pub fn entry_of<'a, T>(entries: &'a [T], file: &Path, covers: impl Fn(&T, &Path) -> bool) -> Option<&'a T> {
    let paths = [std::path::absolute(file).ok(), file.canonicalize().ok()];
    let paths: Vec<_> = paths.into_iter().flatten().collect();
    let before: Vec<_> = paths.iter().map(|path| unrotated(path)).collect();
    // A number at the end of a name may be its own.
    [&paths, &before].into_iter().find_map(|paths| {
        let mut entries = entries.iter();
        entries.find(|entry| paths.iter().any(|path| covers(entry, path)))
    })
}

/// Returns what stands before the number or the day that a name ends with.
fn without_number(name: &str) -> Option<&str> {
    let rest = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let is_numbered = rest.len() < name.len();
    let rest = rest.strip_suffix('.').or_else(|| rest.strip_suffix('-'))?;
    (is_numbered && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_log_is_the_one_that_it_was() {
        for (path, log) in [
            ("/a/access.log", "/a/access.log"),
            ("/a/access.log.1", "/a/access.log"),
            ("/a/access.log.gz", "/a/access.log"),
            ("/a/access.log.2.gz", "/a/access.log"),
            ("/a/access.log-20261121", "/a/access.log"),
            ("/a/access.log-20261121.zst", "/a/access.log"),
            ("/a/access-20261121.log", "/a/access.log"),
            ("/a/access.1.log.gz", "/a/access.log"),
            ("/a/123", "/a/123"),
            ("/a/site2", "/a/site2"),
            ("/", "/"),
            ("-", "-"),
        ] {
            assert_eq!(unrotated(Path::new(path)), Path::new(log), "{path}");
        }
    }
}
