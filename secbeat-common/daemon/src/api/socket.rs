//! The Unix socket of an API: where it is, and how it is opened.

use std::{
    env,
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::peer::Trust;

/// Replaces `/run` in the default path of both daemons and their commands, for several of them on a host.
const RUNTIME_DIR: &str = "SECBEAT_RUNTIME_DIR";

/// The value of the config: an absolute path, or nothing for no socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketPath(Option<PathBuf>);

impl TryFrom<String> for SocketPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "" => Ok(Self(None)),
            path if path.starts_with('/') => Ok(Self(Some(path.into()))),
            path => Err(format!(
                "invalid socket `{path}`: expected an absolute path, or \"\" for none"
            )),
        }
    }
}

impl From<SocketPath> for String {
    fn from(SocketPath(path): SocketPath) -> Self {
        path.unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl SocketPath {
    /// The default of `program`.
    #[must_use]
    pub fn of(program: &str) -> Self {
        Self(Some(in_folder("/run", program)))
    }

    /// Returns where the socket of `program` may be, the likeliest place first: of a user's own daemon, among that user's.
    fn places(&self, program: &str) -> Vec<PathBuf> {
        if *self != Self::of(program) {
            return self.0.iter().cloned().collect();
        }
        let named = |name| env::var_os(name).filter(|folder| !folder.is_empty());
        if let Some(folder) = named(RUNTIME_DIR) {
            return vec![in_folder(folder, program)];
        }
        let own = (!geteuid().is_root()).then(|| named("XDG_RUNTIME_DIR")).flatten();
        let own = own.map(|folder| in_folder(folder, program));
        self.0.iter().cloned().chain(own).collect()
    }

    /// Returns where the socket of `program` is; `None` if there is none.
    #[must_use]
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.places(program).into_iter().find(|place| place.exists())
    }

    /// Returns what is now where the socket of `program` is, or would be made; `None` if the config wants none. Nothing is
    /// changed.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be looked at.
    pub fn look(&self, program: &str) -> io::Result<Option<(PathBuf, Occupant)>> {
        let place = self
            .find(program)
            .or_else(|| self.places(program).into_iter().next());
        place
            .map(|place| {
                let occupant = Occupant::of(&place)?;
                Ok((place, occupant))
            })
            .transpose()
    }

    /// Opens the socket of `program`, and makes its folder. A user who may not do so at the default path has one of their own, or
    /// none.
    ///
    /// # Errors
    ///
    /// Returns an error if another daemon listens there, or the path cannot be listened on.
    pub fn open(&self, program: &str) -> anyhow::Result<Option<LocalSocket>> {
        for place in self.places(program) {
            match LocalSocket::open(&place) {
                Ok(socket) => return Ok(Some(socket)),
                Err(error) if *self == Self::of(program) && is_not_allowed(&error) => {
                    warn!("the API has no socket there: {error:#}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn in_folder(folder: impl AsRef<Path>, program: &str) -> PathBuf {
    folder.as_ref().join(program).join("api.sock")
}

fn is_not_allowed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
        )
    })
}

/// Occupant of a socket's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    Nothing,
    /// What a daemon has left that did not end by itself.
    Leftover,
    Listener,
    /// No socket.
    Other,
}

impl Occupant {
    fn of(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(error),
            Ok(file) if !file.file_type().is_socket() => return Ok(Self::Other),
            Ok(_) => {}
        }
        match UnixStream::connect(path) {
            Ok(_) => Ok(Self::Listener),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Self::Leftover),
            Err(error) => Err(error),
        }
    }
}

/// A socket that is listened on. Everybody may connect; the kernel tells who does. Dropped, its file is removed.
#[derive(Debug)]
pub struct LocalSocket {
    pub(super) listener: UnixListener,
    pub(super) trust: Trust,
    file: SocketFile,
}

/// The name of a socket that is listened on.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Anyone who comes next replaces what stays behind.
        let _ = fs::remove_file(&self.0);
    }
}

impl LocalSocket {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let listening = || format!("listening on {}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            make_folder(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                remove_stale(path)?;
                UnixListener::bind(path)
            }
            other => other,
        };
        let listener = listener.with_context(listening)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, Permissions::from_mode(0o666)).with_context(listening)?;
        listener.set_nonblocking(true).with_context(listening)?;
        Ok(Self {
            listener,
            trust: Trust::here(),
            file,
        })
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.0
    }

    pub(super) fn split(self) -> (UnixListener, Trust, SocketFile) {
        (self.listener, self.trust, self.file)
    }
}

/// Makes a folder that everybody may enter, whatever the umask.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Removes what a daemon has left that did not end by itself.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match Occupant::of(path).with_context(|| format!("looking at {}", path.display()))? {
        Occupant::Other => bail!("{} exists, and is not a socket", path.display()),
        Occupant::Listener => bail!("another daemon listens on {}", path.display()),
        Occupant::Leftover => fs::remove_file(path).with_context(|| format!("removing {}", path.display())),
        Occupant::Nothing => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_socket_is_for_everybody_and_goes_with_its_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/api.sock");
        let socket = LocalSocket::open(&path).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o755, 0o666));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn only_what_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let first = LocalSocket::open(&path).unwrap();
        let second = LocalSocket::open(&path).unwrap_err().to_string();
        assert_eq!(second, format!("another daemon listens on {}", path.display()));
        UnixStream::connect(&path).unwrap();
        let looked = || SocketPath(Some(path.clone())).look("x").unwrap().unwrap().1;
        assert_eq!(looked(), Occupant::Listener);

        // As after a SIGKILL.
        let (listener, _, file) = first.split();
        drop(listener);
        std::mem::forget(file);
        assert_eq!(looked(), Occupant::Leftover);
        let again = LocalSocket::open(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(again);
        assert_eq!(looked(), Occupant::Nothing);

        fs::write(&path, "precious").unwrap();
        let refused = LocalSocket::open(&path).unwrap_err().to_string();
        assert!(refused.ends_with("exists, and is not a socket"), "{refused}");
        assert_eq!(looked(), Occupant::Other);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_path_is_absolute_or_none() {
        let parse = |text: &str| SocketPath::try_from(text.to_owned());
        assert_eq!(parse("").unwrap().places("x"), [""; 0].map(PathBuf::from));
        assert_eq!(parse("/a/b").unwrap().places("x"), [PathBuf::from("/a/b")]);
        assert_eq!(String::from(SocketPath::of("x")), "/run/x/api.sock");
        for wrong in ["api.sock", "./api.sock", "unix:/a", " /a"] {
            let error = parse(wrong).unwrap_err();
            assert!(
                error.starts_with(&format!("invalid socket `{wrong}`: ")),
                "{error}"
            );
        }
    }
}
