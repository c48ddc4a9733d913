//! A source is asked: over HTTP, or a file is read.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use secbeat_daemon::{
    compressed::decompressed,
    http::{Getter, Got, Validators},
};
use secbeat_lists::MAX_LIST_BYTES;

use super::entry::{FeedEntry, Place};

/// Asks the source of `entry`, which may have what had these validators. Blocks.
///
/// # Errors
///
/// Why nothing came.
pub(super) fn fetch(entry: &FeedEntry, known: &Validators) -> Result<Got, String> {
    match entry.place() {
        Place::Url(url) => {
            let getter = Getter::new(entry.ca_file.as_deref(), entry.timeout.0, entry.insecure);
            let getter = getter.map_err(|error| format!("{error:#}"))?;
            getter.get(url.reveal(), known, entry.max_bytes)
        }
        Place::File(path) => read(&path, known, entry.max_bytes).map_err(|error| error.to_string()),
    }
}

/// A file is told from another one by its time and its length.
fn read(path: &Path, known: &Validators, max_bytes: u64) -> std::io::Result<Got> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let since = metadata
        .modified()
        .unwrap_or(SystemTime::UNIX_EPOCH)
        .duration_since(UNIX_EPOCH);
    let validators = Validators {
        etag: Some(format!(
            "{}-{}",
            since.unwrap_or_default().as_nanos(),
            metadata.len()
        )),
        last_modified: None,
    };
    if validators == *known {
        return Ok(Got::Unchanged);
    }
    let mut body = Vec::new();
    file.by_ref()
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut body)?;
    match body.len() as u64 > max_bytes {
        true => Err(std::io::Error::other(format!(
            "it has more than {max_bytes} bytes"
        ))),
        false => Ok(Got::New { body, validators }),
    }
}

/// The list in `body`, unpacked if it is compressed.
///
/// # Errors
///
/// Returns an error if it breaks off, or is too much.
pub(super) fn unpacked(body: Vec<u8>) -> Result<Vec<u8>, String> {
    let broken = |error: std::io::Error| format!("it cannot be unpacked: {error}");
    let plain = decompressed(std::io::Cursor::new(body)).map_err(broken)?;
    let mut list = Vec::new();
    plain
        .take(MAX_LIST_BYTES + 1)
        .read_to_end(&mut list)
        .map_err(broken)?;
    match list.len() as u64 > MAX_LIST_BYTES {
        true => Err(format!("it unpacks to more than {MAX_LIST_BYTES} bytes")),
        false => Ok(list),
    }
}
