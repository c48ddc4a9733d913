//! Signed records beside the directives of rules, each under a key of its own.

use secbeat_common::sign::{Command, Opened, Signer};

use crate::{
    backend::{Bucket, EntryKind, Write, WriteOutcome},
    error::Result,
};

/// Returns what stands under `key`: the record that `open` finds in the value, if that counts, and the revision; 0 if there is no
/// such key.
pub(crate) async fn held<C, E>(
    bucket: &dyn Bucket,
    key: &str,
    open: impl FnOnce(&[u8]) -> std::result::Result<Opened<C>, E>,
) -> Result<(Option<C>, u64)> {
    let Some(entry) = bucket.get(key).await? else {
        return Ok((None, 0));
    };
    let opened = match entry.kind {
        EntryKind::Put => open(&entry.value).ok(),
        EntryKind::Delete | EntryKind::Purge => None,
    };
    Ok((opened.map(|opened| opened.command), entry.revision))
}

/// Writes `record` under `key` in the place of what has `revision`, and of nothing else.
pub(crate) async fn put<C: Command>(
    bucket: &dyn Bucket,
    signer: &Signer,
    key: impl Into<String>,
    record: &C,
    revision: u64,
) -> Result<WriteOutcome> {
    let sealed = signer.seal(record, revision)?;
    bucket.write(Write::put(key, sealed).over(revision)).await
}
