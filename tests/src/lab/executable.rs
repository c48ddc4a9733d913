//! What the lab can start: programs of the table that `cargo xtask setup` installs, and files that were built here. A string
//! is neither, so that no test starts a program which a fresh machine lacks.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub use secbeat_programs::{Program, TestFile, TestProgram};

/// A program that can be started.
pub trait Executable {
    /// Its file.
    ///
    /// # Panics
    ///
    /// When it is a program of the table and is not installed.
    fn file(&self) -> PathBuf;

    /// A command that starts it.
    ///
    /// # Panics
    ///
    /// As [`file`](Self::file).
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that starts programs")]
    fn command(&self) -> Command {
        Command::new(self.file())
    }
}

impl Executable for Program {
    fn file(&self) -> PathBuf {
        installed(self.row())
    }
}

impl Executable for TestProgram {
    fn file(&self) -> PathBuf {
        installed(self.row())
    }
}

impl Executable for Path {
    fn file(&self) -> PathBuf {
        assert!(self.is_absolute(), "{} is no absolute path", self.display());
        self.to_owned()
    }
}

impl Executable for PathBuf {
    fn file(&self) -> PathBuf {
        self.as_path().file()
    }
}

impl<T: Executable + ?Sized> Executable for &T {
    fn file(&self) -> PathBuf {
        (**self).file()
    }
}

/// Where a file of the table is.
///
/// # Panics
///
/// When it is not installed.
#[must_use]
pub fn file(file: TestFile) -> PathBuf {
    installed(file.row())
}

fn installed(row: secbeat_programs::Row) -> PathBuf {
    let (name, package) = (row.name, row.package);
    row.find().unwrap_or_else(|| {
        panic!("{name} of the package {package} is not installed: run `cargo xtask setup`")
    })
}
