//! The signatures that SecBeat ships.

use crate::file::SignatureFile;

macro_rules! shipped {
    ($name:literal) => {
        (
            concat!($name, ".toml"),
            include_str!(concat!("../../../packaging/signatures/", $name, ".toml")),
        )
    };
}

/// Name and text of each file.
const FILES: &[(&str, &str)] = &[
    shipped!("sensitive-file"),
    shipped!("backup-file"),
    shipped!("vcs"),
    shipped!("webshell"),
    shipped!("traversal"),
    shipped!("sqli"),
    shipped!("xss"),
    shipped!("injection"),
    shipped!("cve"),
    shipped!("wordpress"),
    shipped!("router"),
    shipped!("scanner-agent"),
    shipped!("admin-probe"),
    shipped!("protocol"),
];

/// The files of the shipped set.
#[must_use]
pub fn shipped() -> Vec<SignatureFile> {
    let file = |(name, text): &(&str, &str)| SignatureFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    FILES.iter().map(file).collect()
}

/// Whether it is one of the shipped set, of which a test has compiled everything.
pub(crate) fn is_shipped(file: &SignatureFile) -> bool {
    FILES.contains(&(file.name.as_str(), file.text.as_str()))
}
