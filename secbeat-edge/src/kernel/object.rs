//! The compiled XDP program: embedded when this binary was built, or read from a file.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// The object that `build.rs` found, aligned for the ELF parser; empty if there was none.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/secbeat-ebpf"));

/// Origin of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObjectSource {
    #[default]
    Embedded,
    File(PathBuf),
}

/// The bytes of an ELF object, and where they are from.
#[derive(Debug)]
pub struct Object {
    bytes: Cow<'static, [u8]>,
    name: String,
}

impl Object {
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is not an ELF object, or nothing was embedded.
    pub fn open(source: &ObjectSource) -> anyhow::Result<Self> {
        match source {
            ObjectSource::Embedded if EMBEDDED.is_empty() => bail!(
                "this binary was built without the XDP program: run `cargo xtask build-ebpf` and build again, or give --bpf-object FILE"
            ),
            ObjectSource::Embedded => Ok(Self {
                bytes: Cow::Borrowed(EMBEDDED),
                name: "built into this binary".to_owned(),
            }),
            ObjectSource::File(path) => Self::read(path),
        }
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "reading the XDP program {} (cargo xtask build-ebpf makes one)",
                path.display()
            )
        })?;
        if !bytes.starts_with(b"\x7fELF") {
            bail!(
                "{} is not a BPF object; `cargo xtask build-ebpf` makes one",
                path.display()
            );
        }
        Ok(Self {
            bytes: Cow::Owned(bytes),
            name: path.display().to_string(),
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its file, or that it has none.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_wrong_object_says_how_to_get_one() {
        let missing = Object::open(&ObjectSource::File("/nonexistent/object".into())).unwrap_err();
        assert!(
            format!("{missing:#}").contains("cargo xtask build-ebpf"),
            "{missing:#}"
        );
        let wrong = Object::open(&ObjectSource::File("/proc/self/status".into())).unwrap_err();
        assert!(wrong.to_string().contains("is not a BPF object"), "{wrong}");
    }
}
