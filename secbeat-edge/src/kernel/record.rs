//! Notes of the daemon about the maps that it has pinned: how their bans are laid out. The kernel would tell only those with
//! `CAP_SYS_ADMIN`, which the unit does not grant.

use std::{
    collections::BTreeMap,
    fs, io,
    mem::{offset_of, size_of},
    path::Path,
};

use anyhow::Context as _;
use secbeat_common::maps::Ban;
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::btf::Fields;

/// New with every boot, as the numbers of maps are.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Layouts by the kernel's numbers of the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    boot_id: String,
    maps: BTreeMap<u32, Values>,
}

/// How a map's values are laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Values {
    size: u32,
    /// Where each field is, and its bytes.
    fields: BTreeMap<String, (usize, usize)>,
}

impl Record {
    /// Returns what was noted since the host was booted; nothing if that cannot be read.
    pub(super) fn read(path: &Path) -> Self {
        let boot_id = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let noted = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes)
                .inspect_err(|error| warn!(path = %path.display(), %error, "the record of the maps' layouts cannot be read"))
                .ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(path = %path.display(), %error, "the record of the maps' layouts cannot be read");
                None
            }
        };
        noted
            .filter(|noted| !boot_id.is_empty() && noted.boot_id == boot_id)
            .unwrap_or(Self {
                boot_id,
                maps: BTreeMap::new(),
            })
    }

    /// The fields of a map's values, whose size the kernel says.
    pub(super) fn fields(&self, id: u32, value_size: u32) -> Option<Fields> {
        let values = self.maps.get(&id).filter(|values| values.size == value_size)?;
        Some(Fields::from_iter(values.fields.clone()))
    }

    /// Whether a map is noted.
    pub(super) fn has(&self, id: u32) -> bool {
        self.maps.contains_key(&id)
    }

    /// Notes that these maps have bans as this release lays them out.
    pub(super) fn note(&mut self, ids: impl IntoIterator<Item = u32>) {
        macro_rules! fields {
            ($($field:ident: $kind:ty),*) => {
                [$((stringify!($field).to_owned(), (offset_of!(Ban, $field), size_of::<$kind>()))),*]
            };
        }
        let fields = fields!(
            expires_boot_ns: u64, dropped_packets: u64, dropped_bytes: u64, reason: u8, origin: u8, strikes: u16
        );
        let values = Values {
            size: size_of::<Ban>() as u32,
            fields: fields.into(),
        };
        self.maps.extend(ids.into_iter().map(|id| (id, values.clone())));
    }

    /// Forgets all maps but these.
    pub(super) fn keep(&mut self, ids: &[u32]) {
        self.maps.retain(|id, _| ids.contains(id));
    }

    /// Replaces the file in one step.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec(self)?;
        replace(path, &json, Readers::Everybody, Outlives::Crash)
            .with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_again_until_the_next_boot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/layouts.json");
        let mut record = Record::read(&path);
        record.note([7, 8]);
        record.keep(&[8]);
        record.write(&path).unwrap();
        let read = Record::read(&path);
        assert_eq!(read, record);
        let size = size_of::<Ban>() as u32;
        let mut bytes = vec![0; size_of::<Ban>()];
        (bytes[8], bytes[34]) = (5, 3);
        let fields = read.fields(8, size).unwrap();
        assert_eq!(
            (
                fields.read("expires_boot_ns", &bytes),
                fields.read("strikes", &bytes)
            ),
            (Some(5), Some(3))
        );
        assert!(read.has(8) && !read.has(7));
        assert!(read.fields(7, size).is_none() && read.fields(8, size + 8).is_none());
        let of_another_boot = Record {
            boot_id: "another".to_owned(),
            ..record
        };
        of_another_boot.write(&path).unwrap();
        assert!(Record::read(&path).maps.is_empty());
        fs::write(&path, "{").unwrap();
        assert!(Record::read(&path).maps.is_empty());
    }
}
