//! Opens log files in folders that other users may write.
//!
//! The reader may read every file of the host, and the folder of a log often belongs to an application. So the path is
//! walked step by step: nothing but a regular file is opened, a link is followed only if root or the file's owner made it,
//! and what was checked is what is opened.

use std::{
    ffi::OsString,
    fmt,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat, readlinkat},
    sys::stat::Mode,
    unistd::{User, geteuid},
};

/// Links followed at most, as the kernel has it.
const MAX_LINKS: usize = 40;
/// Finds out what a name stands for. Opening a pipe waits for its writer, and opening a device may do something.
const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Opens a regular file, and does not wait if something else has taken its name meanwhile.
const READ: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// A log file, open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) metadata: Metadata,
    /// Where it lies, without links.
    pub(super) path: PathBuf,
}

/// The reason why a file is not opened.
#[derive(Debug)]
pub(super) enum OpenError {
    Io(io::Error),
    Folder,
    /// It is not a regular file but this.
    Kind(&'static str),
    /// This link leads to what a program has open, as `/dev/stdout` does.
    Descriptor(PathBuf),
    Link(ForeignLink),
}

/// A link of a user who does not own the file.
#[derive(Debug)]
pub(super) struct ForeignLink {
    link: PathBuf,
    link_owner: u32,
    file: PathBuf,
    file_owner: u32,
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl OpenError {
    /// Whether there is nothing by this name, now.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Io(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let uid = geteuid();
                let user = User::from_uid(uid).ok().flatten();
                let user = user.map_or_else(|| uid.to_string(), |user| user.name);
                write!(
                    f,
                    "{error}; `setfacl -m u:{user}:r` lets the edge's user read it (its folders need rx)"
                )
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::Folder => write!(f, "it is a folder; a pattern such as *.log names its files"),
            Self::Kind(kind) => write!(
                f,
                "it is {kind}, and only regular files can be followed; let the server log to a file"
            ),
            Self::Descriptor(link) => write!(
                f,
                "{} leads to the output of whichever program opens it; let the server log to a file",
                link.display()
            ),
            Self::Link(foreign) => write!(
                f,
                "the link {} belongs to uid {}, and the file {} to uid {}; a link must belong to root or to the \
                 file's owner (chown -h)",
                foreign.link.display(),
                foreign.link_owner,
                foreign.file.display(),
                foreign.file_owner
            ),
        }
    }
}

/// # Errors
///
/// What it is, if that is not a regular file.
fn check_kind(metadata: &Metadata) -> Result<(), OpenError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(OpenError::Folder)
    } else if kind.is_fifo() {
        Err(OpenError::Kind("a named pipe"))
    } else if kind.is_socket() {
        Err(OpenError::Kind("a socket"))
    } else {
        Err(OpenError::Kind("a device"))
    }
}

/// Opens the regular file to which an absolute path leads.
///
/// # Errors
///
/// [`OpenError`].
pub(super) fn open_log(path: &Path) -> Result<Opened, OpenError> {
    let root = || open("/", LOOK | OFlag::O_DIRECTORY, Mode::empty()).map(File::from);
    let (mut folder, mut place) = (root()?, PathBuf::from("/"));
    let mut links: Vec<(PathBuf, u32)> = Vec::new();
    let mut ahead = steps(path);
    while let Some(step) = ahead.pop() {
        let name = match step {
            Step::Root => {
                (folder, place) = (root()?, PathBuf::from("/"));
                continue;
            }
            Step::Up => {
                folder = openat(&folder, "..", LOOK | OFlag::O_DIRECTORY, Mode::empty())?.into();
                place.pop();
                continue;
            }
            Step::Into(name) => name,
        };
        let found = File::from(openat(&folder, name.as_os_str(), LOOK, Mode::empty())?);
        let found_at = place.join(&name);
        let metadata = found.metadata()?;
        if metadata.is_symlink() {
            if place.starts_with("/proc") {
                // What such a link says is not a path.
                let link = links.first().map_or(found_at, |(link, _)| link.clone());
                return Err(OpenError::Descriptor(link));
            }
            if links.len() == MAX_LINKS {
                return Err(Errno::ELOOP.into());
            }
            links.push((found_at, metadata.uid()));
            ahead.extend(steps(Path::new(&readlinkat(&found, "")?)));
        } else if ahead.is_empty() {
            let opened = open_regular(&folder, &name, &metadata, found_at)?;
            return match foreign_link(links, &opened) {
                None => Ok(opened),
                Some(foreign) => Err(OpenError::Link(foreign)),
            };
        } else {
            if !metadata.is_dir() {
                return Err(Errno::ENOTDIR.into());
            }
            (folder, place) = (found, found_at);
        }
    }
    Err(OpenError::Folder)
}

/// Opens what was found in a folder by this name.
fn open_regular(
    folder: &File,
    name: &OsString,
    found: &Metadata,
    path: PathBuf,
) -> Result<Opened, OpenError> {
    check_kind(found)?;
    let file = File::from(openat(folder, name.as_os_str(), READ, Mode::empty())?);
    let metadata = file.metadata()?;
    if (metadata.dev(), metadata.ino()) != (found.dev(), found.ino()) {
        // Replaced meanwhile: the next look finds its successor.
        return Err(Errno::ENOENT.into());
    }
    Ok(Opened { file, metadata, path })
}

/// The first of these links that neither root nor the file's owner made.
fn foreign_link(links: Vec<(PathBuf, u32)>, opened: &Opened) -> Option<ForeignLink> {
    let file_owner = opened.metadata.uid();
    let (link, link_owner) = links
        .into_iter()
        .find(|(_, owner)| *owner != 0 && *owner != file_owner)?;
    Some(ForeignLink {
        link,
        link_owner,
        file: opened.path.clone(),
        file_owner,
    })
}

/// One component of a path.
enum Step {
    Root,
    Up,
    Into(OsString),
}

/// The components of a path, the last one first.
fn steps(path: &Path) -> Vec<Step> {
    let steps = path.components().rev().filter_map(|component| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{lchown, symlink},
        net::UnixListener,
    };

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    /// A user who is neither root nor the owner of a test's files.
    const STRANGER: u32 = 65_534;

    fn error(path: &Path) -> String {
        open_log(path).unwrap_err().to_string()
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifo(&path("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        symlink("pipe", path("to-pipe")).unwrap();
        symlink("/dev/stdout", path("to-stdout")).unwrap();
        symlink("loop", path("loop")).unwrap();
        for (path, told) in [
            (path("pipe"), "it is a named pipe, and only regular files"),
            (path("to-pipe"), "it is a named pipe, and only regular files"),
            (path("socket"), "it is a socket"),
            (PathBuf::from("/dev/null"), "it is a device"),
            (folder.path().to_owned(), "it is a folder"),
            (
                path("to-stdout"),
                "to-stdout leads to the output of whichever program opens it",
            ),
            (PathBuf::from("/proc/self/fd/0"), "/proc/self leads to the output"),
            (path("loop"), "Too many levels of symbolic links"),
        ] {
            let error = error(&path);
            assert!(error.contains(told), "{}: {error}", path.display());
        }
        assert!(open_log(&path("none/a.log")).unwrap_err().is_absence());
        assert!(open_log(&path("pipe/a.log")).unwrap_err().is_absence());
    }

    #[test]
    fn a_file_is_found_through_links_wherever_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("logs")).unwrap();
        std::fs::write(place.join("logs/monday"), "line\n").unwrap();
        symlink("logs/../logs", place.join("dir")).unwrap();
        symlink(place.join("dir/monday"), place.join("logs/today")).unwrap();
        let opened = open_log(&place.join("dir/./today")).unwrap();
        assert_eq!(opened.path, place.join("logs/monday"));
        assert_eq!(io::read_to_string(opened.file).unwrap(), "line\n");
    }

    #[test]
    fn a_link_of_a_stranger_to_somebody_elses_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, target: &Path| {
            let link = folder.path().join(name);
            symlink(target, &link).unwrap();
            if geteuid().is_root() {
                lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
            }
            (link.symlink_metadata().unwrap().uid(), link)
        };
        // The file itself, and a folder on the way to it.
        let (owner, file) = link("app.log", Path::new("/etc/passwd"));
        let (_, etc) = link("etc", Path::new("/etc"));
        for (link, path) in [(&file, file.clone()), (&etc, etc.join("passwd"))] {
            assert_eq!(
                error(&path),
                format!(
                    "the link {} belongs to uid {owner}, and the file /etc/passwd to uid 0; a link must belong to root \
                     or to the file's owner (chown -h)",
                    link.display()
                )
            );
        }
    }

    #[test]
    fn a_link_of_the_files_owner_or_of_root_is_followed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = open_log(file.path()).unwrap();
        let owner = opened.metadata.uid();
        let is_foreign = |owner| foreign_link(vec![(PathBuf::from("/link"), owner)], &opened).is_some();
        assert_eq!(
            (is_foreign(0), is_foreign(owner), is_foreign(STRANGER)),
            (false, false, true)
        );
    }
}
