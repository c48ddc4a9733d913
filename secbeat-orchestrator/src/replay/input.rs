//! Inputs of a log: files and pipes, compressed or not.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use secbeat_daemon::compressed::decompressed;

/// Place of a log.
pub(crate) enum Input {
    /// Can be opened again.
    File(PathBuf),
    /// A pipe: what was read of it is gone.
    Stream(Box<dyn Read + Send>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Input {
    /// The input at `path`; `-` is standard input. Also returns how many bytes it has, if that is known.
    ///
    /// # Errors
    ///
    /// Returns the errors of opening it.
    pub(crate) fn at(path: &Path) -> io::Result<(Self, Option<u64>)> {
        if path == Path::new("-") {
            return Ok((Self::Stream(Box::new(io::stdin())), None));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok(if metadata.is_file() {
            (Self::File(path.to_owned()), Some(metadata.len()))
        } else {
            (Self::Stream(Box::new(file)), None)
        })
    }

    /// The bytes of the log, decompressed if they are gzip or Zstandard. What is read of it moves `progress`.
    pub(super) fn open(self, progress: &ProgressBar) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::File(path) => decompressed(progress.wrap_read(File::open(path)?)),
            Self::Stream(stream) => decompressed(progress.wrap_read(stream)),
        }
    }
}
