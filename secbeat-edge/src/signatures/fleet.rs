//! Signatures that the fleet published, and their copy for a start without NATS.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use secbeat_bus::SignatureBucket;
use secbeat_common::{
    sign::Trust,
    wire::{FleetSignatures, MAX_MESSAGE},
};
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use secbeat_signatures::SignatureFile;

/// Its files, as problems and listings name them.
pub(super) fn fleet_files(set: &FleetSignatures) -> impl Iterator<Item = SignatureFile> {
    set.files.iter().map(|file| SignatureFile {
        name: format!("fleet:{}", file.name),
        text: file.text.clone(),
    })
}

/// The copy: the bytes that stood in the bucket, with their signature.
#[derive(Clone, Debug)]
pub(crate) struct FleetFile(PathBuf);

impl FleetFile {
    pub(crate) fn in_folder(state_dir: &Path) -> Self {
        Self(state_dir.join("signatures.fleet"))
    }

    /// Returns what was published; none if there is no copy.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or is not what somebody signed whom `trust` has.
    pub(crate) fn read(&self, trust: &Trust) -> io::Result<Option<FleetSignatures>> {
        let named =
            |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", self.0.display()));
        let bytes = match fs::metadata(&self.0) {
            Ok(file) if file.len() > MAX_MESSAGE as u64 => {
                return Err(named(&format_args!(
                    "{} bytes, {MAX_MESSAGE} at most",
                    file.len()
                )));
            }
            Ok(_) => fs::read(&self.0).map_err(|error| named(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(named(&error)),
        };
        match SignatureBucket::open(&bytes, trust) {
            Ok(opened) => Ok(Some(opened.command)),
            Err(error) => Err(named(&error)),
        }
    }

    /// Replaces the copy in one step.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be written.
    pub(crate) fn write(&self, sealed: &[u8]) -> io::Result<()> {
        replace(&self.0, sealed, Readers::Everybody, Outlives::Crash)
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::sign::{SecretKey, Signer};

    use super::*;

    #[test]
    fn the_copy_counts_if_it_is_what_was_signed() {
        let folder = tempfile::tempdir().unwrap();
        let file = FleetFile::in_folder(&folder.path().join("state"));
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        assert_eq!(file.read(&trust).unwrap(), None);
        let set = FleetSignatures {
            changed_at_ms: 7,
            ..FleetSignatures::default()
        };
        file.write(&Signer::from(Some(key)).seal(&set, 0).unwrap())
            .unwrap();
        assert_eq!(file.read(&trust).unwrap(), Some(set.clone()));
        file.write(&Signer::default().seal(&set, 0).unwrap()).unwrap();
        let error = file.read(&trust).unwrap_err().to_string();
        assert!(error.ends_with("signatures.fleet: it is not signed"), "{error}");
        assert_eq!(file.read(&Trust::default()).unwrap(), Some(set));
        file.write(&vec![0; MAX_MESSAGE + 1]).unwrap();
        assert!(file.read(&trust).is_err());
    }
}
