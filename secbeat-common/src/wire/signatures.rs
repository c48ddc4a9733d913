//! Signatures that a fleet looks for beside those that edges have, and those that it does not look for.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{Kind, Message};
use crate::sign::Command;

/// Most files that a fleet publishes.
pub const MAX_SIGNATURE_FILES: usize = 64;
/// Most bytes of text in them together.
pub const MAX_SIGNATURE_TEXT: usize = 512 * 1024;
/// Most signatures that a fleet disables.
pub const MAX_DISABLED: usize = 1024;
/// Longest id of a signature, in bytes.
pub const MAX_SIGNATURE_ID: usize = 40;
/// Longest note beside one, and longest name of a file, in bytes.
pub const MAX_SIGNATURE_NOTE: usize = 256;
/// Most bytes of the whole, encoded.
pub const MAX_SIGNATURE_SET: usize = 960 * 1024;

/// What operators decided of signatures, as a whole: stored under [`subjects::SIGNATURES_KEY`](crate::subjects::SIGNATURES_KEY).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSignatures {
    /// Time of the change, milliseconds since the Unix epoch. Grows with each change: an older one is one that was there before.
    pub changed_at_ms: i64,
    /// The one who changed it.
    pub changed_by: String,
    pub files: Vec<SignatureText>,
    pub disabled: Vec<DisabledSignature>,
}

/// A file of signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SignatureText {
    /// Name such as `shop.toml`: letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// TOML.
    pub text: String,
}

/// A signature that no edge looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisabledSignature {
    pub id: String,
    /// The reason, for later readers.
    pub note: String,
    /// The one who disabled it.
    pub by: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Invalid set of a fleet's signatures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignatures {
    #[error("{0} files; a fleet publishes at most {MAX_SIGNATURE_FILES}")]
    Files(usize),
    #[error("{0} bytes of signatures; a fleet publishes at most {MAX_SIGNATURE_TEXT}")]
    Text(usize),
    #[error("invalid file name `{0}`: expected up to 64 letters, digits, `.`, `-` and `_`")]
    Name(String),
    #[error("two files are called `{0}`")]
    Twice(String),
    #[error("{0} signatures disabled; a fleet disables at most {MAX_DISABLED}")]
    Disabled(usize),
    #[error(
        "invalid signature id `{0}`: expected 1 to {MAX_SIGNATURE_ID} lower-case letters, digits and hyphens"
    )]
    Id(String),
    #[error("a note of {0} bytes; it has at most {MAX_SIGNATURE_NOTE}")]
    Note(usize),
}

impl Message for FleetSignatures {
    const KIND: Kind = Kind::Signatures;
}

impl Command for FleetSignatures {}

impl FleetSignatures {
    /// The set itself, if it is within its bounds.
    ///
    /// # Errors
    ///
    /// See [`BadSignatures`].
    pub fn checked(self) -> Result<Self, BadSignatures> {
        let (files, disabled) = (&self.files, &self.disabled);
        if files.len() > MAX_SIGNATURE_FILES {
            return Err(BadSignatures::Files(files.len()));
        }
        let text = files.iter().map(|file| file.text.len()).sum();
        if text > MAX_SIGNATURE_TEXT {
            return Err(BadSignatures::Text(text));
        }
        for (index, file) in files.iter().enumerate() {
            if !is_name(&file.name) {
                return Err(BadSignatures::Name(file.name.clone()));
            }
            if files.iter().take(index).any(|other| other.name == file.name) {
                return Err(BadSignatures::Twice(file.name.clone()));
            }
        }
        if disabled.len() > MAX_DISABLED {
            return Err(BadSignatures::Disabled(disabled.len()));
        }
        for signature in disabled {
            if !is_signature_id(&signature.id) {
                return Err(BadSignatures::Id(signature.id.clone()));
            }
            if signature.note.len() > MAX_SIGNATURE_NOTE {
                return Err(BadSignatures::Note(signature.note.len()));
            }
        }
        Ok(self)
    }

    /// The disabled one called `id`.
    #[must_use]
    pub fn disabled(&self, id: &str) -> Option<&DisabledSignature> {
        self.disabled.iter().find(|disabled| disabled.id == id)
    }

    /// Tells sets apart, as `3f2a9c01d4e5b678`. SipHash-1-3 without a key: who may write a set gains nothing by two of one digest.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = SipHasher13::new();
        hasher.write(&self.changed_at_ms.to_be_bytes());
        let files = self.files.iter().flat_map(|file| [&file.name, &file.text]);
        let disabled = self.disabled.iter().flat_map(|one| [&one.id, &one.note]);
        for list in [files.collect::<Vec<_>>(), disabled.collect()] {
            hasher.write(&list.len().to_be_bytes());
            for text in list {
                hasher.write(&text.len().to_be_bytes());
                hasher.write(text.as_bytes());
            }
        }
        format!("{:016x}", hasher.finish())
    }
}

/// Whether `id` can be one of a signature.
#[must_use]
pub fn is_signature_id(id: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_SIGNATURE_ID).contains(&id.len()) && id.bytes().all(is_part)
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: usize) -> SignatureText {
        SignatureText {
            name: name.to_owned(),
            text: "x".repeat(bytes),
        }
    }

    fn disabled(id: &str, note: usize) -> DisabledSignature {
        DisabledSignature {
            id: id.to_owned(),
            note: "n".repeat(note),
            by: "alice".to_owned(),
            at_ms: i64::MAX,
        }
    }

    fn checked(files: Vec<SignatureText>, disabled: Vec<DisabledSignature>) -> Result<usize, BadSignatures> {
        let set = FleetSignatures {
            changed_at_ms: i64::MAX,
            changed_by: "alice".to_owned(),
            files,
            disabled,
        };
        set.checked().map(|set| super::super::encode(&set).unwrap().len())
    }

    #[test]
    fn the_largest_set_fits_into_a_message_and_a_larger_one_is_refused() {
        let id = "a".repeat(MAX_SIGNATURE_ID);
        let all_disabled = || vec![disabled(&id, MAX_SIGNATURE_NOTE); MAX_DISABLED];
        let bytes = checked(vec![file("a.toml", MAX_SIGNATURE_TEXT)], all_disabled()).unwrap();
        assert!(bytes < MAX_SIGNATURE_SET, "{bytes}");
        let mut many = all_disabled();
        many.push(disabled("a", 0));
        for (files, disabled, error) in [
            (
                vec![file("a", MAX_SIGNATURE_TEXT), file("b", 1)],
                vec![],
                BadSignatures::Text(MAX_SIGNATURE_TEXT + 1),
            ),
            (vec![file("a", 0); 65], vec![], BadSignatures::Files(65)),
            (
                vec![file("a", 0); 2],
                vec![],
                BadSignatures::Twice("a".to_owned()),
            ),
            (
                vec![file("a/b", 0)],
                vec![],
                BadSignatures::Name("a/b".to_owned()),
            ),
            (vec![], many, BadSignatures::Disabled(MAX_DISABLED + 1)),
            (vec![], vec![disabled("A", 0)], BadSignatures::Id("A".to_owned())),
            (vec![], vec![disabled("a", 257)], BadSignatures::Note(257)),
        ] {
            assert_eq!(checked(files, disabled), Err(error));
        }
    }

    #[test]
    fn sets_that_differ_have_digests_that_differ() {
        let of = |at, files: &[SignatureText], disabled: &[DisabledSignature]| {
            let set = FleetSignatures {
                changed_at_ms: at,
                changed_by: "alice".to_owned(),
                files: files.to_vec(),
                disabled: disabled.to_vec(),
            };
            set.digest()
        };
        let digests = [
            of(1, &[], &[]),
            of(2, &[], &[]),
            of(1, &[file("a", 1)], &[]),
            of(1, &[file("ax", 0)], &[]),
            of(1, &[], &[disabled("a", 1)]),
            of(1, &[], &[disabled("an", 0)]),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
        assert_eq!(of(1, &[file("a", 1)], &[]), digests[2]);
    }
}
