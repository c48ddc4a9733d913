//! Problems of a signature or a file.

use std::fmt;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// From 1 on; `None` where it is about the whole file.
    pub line: Option<usize>,
    /// The signature's id, as far as it has one.
    pub id: Option<String>,
    pub message: String,
}

impl fmt::Display for Problem {
    /// `web.toml:12: signature my-shell: no condition`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(id) = &self.id {
            write!(f, ": signature {id}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}
