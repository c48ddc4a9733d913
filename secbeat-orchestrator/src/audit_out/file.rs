//! A file of JSON lines.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::PathBuf,
};

use anyhow::Context as _;

/// Who may read a new file, whatever the unit's mask.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    open: Option<File>,
}

impl LineFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Appends whole lines, which are on the disk afterwards, or none of them.
    pub(super) fn append(&mut self, lines: &str) -> anyhow::Result<()> {
        let shown = self.path.display().to_string();
        if !self.is_in_place() {
            self.open = None;
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let file = open(&self.path).with_context(|| format!("opening {shown}"))?;
                self.open.insert(file)
            }
        };
        let written = write(file, lines.as_bytes());
        if written.is_err() {
            self.open = None;
        }
        written.with_context(|| format!("writing {shown}"))
    }

    /// Whether the open file is still the one at its path: logrotate renames it.
    fn is_in_place(&self) -> bool {
        let place = fs::metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        let open = self.open.as_ref().and_then(|file| file.metadata().ok());
        open.map(|file| (file.dev(), file.ino())) == place
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    let is_new = !path.exists();
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)?;
    if is_new {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    // A host that lost its power may have left half a line.
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn write(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // A full disk took a part.
        let _ = file.set_len(before);
    }
    written
}
