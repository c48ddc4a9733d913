//! The files of an operator's own signatures.

use std::{
    io,
    path::{Path, PathBuf},
};

use secbeat_signatures::{MAX_FILE, Problem, SignatureFile};

/// The files in `directory`, by name. There need not be such a folder.
pub(super) fn own_files(directory: &Path, problems: &mut Vec<Problem>) -> Vec<SignatureFile> {
    let mut paths = match toml_files(directory) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(unreadable(directory, &error));
            return Vec::new();
        }
    };
    paths.sort();
    let mut read = |path: &PathBuf| match read_file(path) {
        Ok(file) => Some(file),
        Err(error) => {
            problems.push(unreadable(path, &error));
            None
        }
    };
    paths.iter().filter_map(&mut read).collect()
}

fn toml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    paths.filter(|path| path.as_ref().map_or(true, is_toml)).collect()
}

/// The file at `path`, whose name is the whole path.
///
/// # Errors
///
/// Returns an error if it cannot be read as text, or is larger than a file of signatures may be.
pub(crate) fn read_file(path: &Path) -> io::Result<SignatureFile> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > MAX_FILE as u64 {
        return Err(io::Error::other(format!(
            "{bytes} bytes; a file has at most {MAX_FILE}"
        )));
    }
    Ok(SignatureFile {
        name: path.display().to_string(),
        text: std::fs::read_to_string(path)?,
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        file: path.display().to_string(),
        line: None,
        id: None,
        message: error.to_string(),
    }
}
