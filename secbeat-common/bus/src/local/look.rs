//! Whether a daemon could open a store, found out without opening it as one.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use rusqlite::{Connection, OpenFlags};

use super::schema::VERSION;

/// What each file of SQLite begins with: <https://www.sqlite.org/fileformat2.html>.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The header, and the first byte of the page of the schema.
const HEAD: usize = 101;

/// Why a daemon could not open the store at `path`, or would find nothing in it. Of one that `is_in_use` only the head is read. Only for
/// other processes than the daemon: to close the file takes the locks away that it holds.
///
/// # Errors
///
/// In words.
pub fn look_at_store(path: &Path, is_in_use: bool) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if found.len() == 0 {
        return Err(
            "it is empty: what it held is lost, and the next start takes over what the kernel holds"
                .to_owned(),
        );
    }
    let file = File::open(path).map_err(|error| format!("it cannot be opened: {error}"))?;
    let mut head = [0; HEAD];
    let mut reader = &file;
    let damaged = |what: &str| format!("it is damaged ({what}): move it away to begin with an empty one");
    reader
        .read_exact(&mut head)
        .map_err(|_| damaged("it ends in its header"))?;
    if !head.starts_with(MAGIC) || !matches!(head[100], 5 | 13) {
        return Err(damaged("it does not begin as a database does"));
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let version = i64::from(number(60));
    if version > VERSION {
        return Err(format!(
            "a newer SecBeat made it: its format is {version}, and this one knows up to {VERSION}"
        ));
    }
    if is_in_use {
        return Ok(());
    }
    // The number of pages holds if it was written with the latest change.
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    if number(24) == number(92) && found.len() < u64::from(number(28)) * page {
        return Err(damaged("its end is missing"));
    }
    check(path).map_err(|error| damaged(&error))
}

/// Reads all pages, without locks and without the write-ahead log: nothing is written.
fn check(path: &Path) -> Result<(), String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let shown = path.to_str().ok_or("its path is not UTF-8")?;
    let escaped = shown.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let said = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .and_then(|db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)));
    match said {
        Ok(said) if said == "ok" => Ok(()),
        Ok(said) => Err(said.replace('\n', " ")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::LocalServer, *};

    #[test]
    fn a_store_that_no_daemon_could_open_is_told_from_one_that_it_could() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a store?.db");
        LocalServer::open(&path).unwrap().close();
        assert_eq!(look_at_store(&path, false), Ok(()));
        assert_eq!(look_at_store(&path, true), Ok(()));
        let whole = fs::read(&path).unwrap();
        let said = |bytes: &[u8], is_in_use| {
            fs::write(&path, bytes).unwrap();
            look_at_store(&path, is_in_use).unwrap_err()
        };
        let mut newer = whole.clone();
        newer[60..64].copy_from_slice(&2_u32.to_be_bytes());
        let mut garbled = whole.clone();
        garbled[100..].fill(7);
        let mut inside = whole.clone();
        inside[4096..].fill(7);
        for (bytes, part) in [
            (&b""[..], "empty"),
            (b"text", "ends in its header"),
            (&[b'x'; 9000], "does not begin as a database"),
            (&newer, "a newer SecBeat made it: its format is 2"),
            (&garbled, "does not begin as a database"),
        ] {
            for is_in_use in [false, true] {
                let said = said(bytes, is_in_use);
                assert!(said.contains(part), "{said}");
            }
        }
        for bytes in [&whole[..whole.len() - 4096], &inside] {
            let said = said(bytes, false);
            assert!(said.contains("damaged"), "{said}");
        }
        assert_eq!(VERSION, 1, "the format of the test's newer one is that after it");
        assert!(
            look_at_store(folder.path(), false)
                .unwrap_err()
                .contains("regular file")
        );
    }
}
