//! Logs of one folder on this host, for those who have no shell here.

use std::{
    fs::{self, DirEntry, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::libc::{ELOOP, O_NOFOLLOW, O_NONBLOCK};
use secbeat_daemon::compressed::decompressed;

use super::Input;

/// Files that are listed.
const MAX_LOGS: usize = 1_000;
/// Text that is read of a file, decompressed, in bytes.
const MAX_LOG_TEXT: u64 = 256 * 1024 * 1024;

/// A file of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub name: String,
    pub bytes: u64,
    /// Milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// The files of `folder` itself, the latest first: no folders, no links, no names that begin with a dot.
///
/// # Errors
///
/// Returns the errors of reading the folder.
pub(crate) fn list_logs(folder: &Path) -> io::Result<Vec<LogFile>> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| log_file(&entry.ok()?))
        .collect();
    files.sort_by(|one, other| (other.modified_ms, &one.name).cmp(&(one.modified_ms, &other.name)));
    files.truncate(MAX_LOGS);
    Ok(files)
}

fn log_file(entry: &DirEntry) -> Option<LogFile> {
    let name = entry.file_name().into_string().ok()?;
    // That of a link itself.
    let metadata = entry.metadata().ok()?;
    (is_name(&name) && metadata.is_file()).then(|| LogFile {
        name,
        bytes: metadata.size(),
        modified_ms: metadata.mtime() * 1_000 + metadata.mtime_nsec() / 1_000_000,
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0'])
}

/// Opens the file `name` of `folder`, of which 256 MiB are read at most.
///
/// # Errors
///
/// Returns an error if it is not a name, when there is no such file, when it is a link or not a file, and when this user may not
/// read it.
pub(crate) fn open_log(folder: &Path, name: &str) -> io::Result<Input> {
    let wrong = |why: &str| io::Error::new(ErrorKind::InvalidInput, why);
    if !is_name(name) {
        return Err(wrong("expected the name of a file in the folder of `api.logs`"));
    }
    // Only the last part of the path can be a link now; and a pipe does not wait for who writes to it.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(folder.join(name))
        .map_err(|error| match error.raw_os_error() {
            Some(ELOOP) => wrong("it is a link, which is not followed"),
            _ => error,
        })?;
    if !file.metadata()?.is_file() {
        return Err(wrong("it is not a file"));
    }
    let text = decompressed(file)?;
    Ok(Input::Stream(Box::new(Bounded {
        text,
        rest: MAX_LOG_TEXT,
    })))
}

/// A text that may not be longer than so many bytes.
struct Bounded {
    text: Box<dyn Read + Send>,
    rest: u64,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(into)?;
        match self.rest.checked_sub(read as u64) {
            Some(rest) => self.rest = rest,
            None => {
                return Err(io::Error::other(format!(
                    "it has more than {} MiB of text: use `replay --diff` on the host",
                    MAX_LOG_TEXT >> 20
                )));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use indicatif::ProgressBar;

    use super::*;

    fn text(folder: &Path, name: &str) -> Result<String, String> {
        let input = open_log(folder, name).map_err(|error| error.to_string())?;
        let mut text = String::new();
        let mut log = input.open(&ProgressBar::hidden()).unwrap();
        log.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn files_of_the_folder_are_read_and_nothing_else_is() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let logs = tempfile::tempdir().unwrap();
        let folder = logs.path();
        fs::write(folder.join("access.log"), "a line").unwrap();
        fs::write(folder.join(".hidden"), "hidden").unwrap();
        fs::create_dir(folder.join("old")).unwrap();
        fs::write(folder.join("old/access.log"), "old").unwrap();
        symlink(outside.path().join("secret"), folder.join("link.log")).unwrap();
        symlink(outside.path(), folder.join("way")).unwrap();
        let names: Vec<_> = list_logs(folder)
            .unwrap()
            .into_iter()
            .map(|log| (log.name, log.bytes))
            .collect();
        assert_eq!(names, [("access.log".to_owned(), 6)]);
        assert_eq!(text(folder, "access.log"), Ok("a line".to_owned()));
        let secret = outside.path().join("secret");
        for (name, expected) in [
            ("link.log", "it is a link"),
            ("way/secret", "expected the name"),
            ("old/access.log", "expected the name"),
            ("../secret", "expected the name"),
            ("..", "expected the name"),
            (".hidden", "expected the name"),
            ("", "expected the name"),
            ("access.log\0", "expected the name"),
            (secret.to_str().unwrap(), "expected the name"),
            ("old", "it is not a file"),
            ("absent.log", "No such file"),
        ] {
            let error = text(folder, name).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
        assert!(list_logs(&folder.join("absent")).is_err());
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_and_not_cut() {
        let bounded = |rest| Bounded {
            text: Box::new("abcd".as_bytes()),
            rest,
        };
        let mut text = String::new();
        assert_eq!(bounded(4).read_to_string(&mut text).unwrap(), 4);
        let error = bounded(3).read_to_string(&mut text).unwrap_err().to_string();
        assert!(error.contains("256 MiB"), "{error}");
    }
}
