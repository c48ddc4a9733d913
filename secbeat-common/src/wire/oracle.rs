//! What must hold of every message, no matter who wrote it: of the fuzzer's and of its corpus.

#![allow(clippy::expect_used, clippy::panic, reason = "it is there to panic")]

use std::{fmt::Debug, sync::LazyLock};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    AckBatch, AllowEntry, AuditRecord, BlockCommand, Detection, Disallow, FleetFeed, FleetSignatures,
    Interest, LateBatch, Lease, Lift, MAX_MESSAGE, Message, Presence, ServiceBatch, TelemetryBatch, WafBatch,
    decode, encode,
};
use crate::{
    sign::{Opened, SecretKey, Signer, Trust},
    sources::SourceLengths,
};

/// Reads `input` as each kind of message that comes over the bus.
///
/// # Panics
///
/// When one that is read does not come back from its own encoding, or names a command that nobody signed.
pub fn check(input: &[u8]) {
    comes_back::<TelemetryBatch>(input);
    comes_back::<LateBatch>(input);
    comes_back::<WafBatch>(input);
    comes_back::<ServiceBatch>(input);
    comes_back::<AckBatch>(input);
    comes_back::<BlockCommand>(input);
    comes_back::<Lift>(input);
    comes_back::<AllowEntry>(input);
    comes_back::<Disallow>(input);
    comes_back::<Interest>(input);
    comes_back::<Detection>(input);
    comes_back::<Lease>(input);
    comes_back::<SourceLengths>(input);
    comes_back::<FleetSignatures>(input);
    comes_back::<FleetFeed>(input);
    comes_back_from_json::<AuditRecord>(input);
    comes_back_from_json::<Presence>(input);
    // Who made the input up does not have the key.
    static TRUST: LazyLock<Trust> = LazyLock::new(|| {
        let key = SecretKey::generate().expect("a key");
        Trust::from_iter([key.public()])
    });
    assert!(TRUST.open::<BlockCommand>(input).is_err());
    assert!(TRUST.open::<Lift>(input).is_err());
    // Where nothing is signed, what is read is what comes back, but for what was skipped.
    if let Ok(opened) = Trust::default().open::<BlockCommand>(input) {
        let sealed = Signer::default().seal(&opened.command, opened.after);
        let again = Trust::default().open::<BlockCommand>(&sealed.expect("a message"));
        let opened = Opened { skipped: 0, ..opened };
        assert_eq!(again, Ok(opened));
    }
}

fn comes_back<M: Message + PartialEq + Debug>(input: &[u8]) {
    let Ok(message) = decode::<M>(input) else {
        return;
    };
    match encode(&message) {
        Ok(bytes) => assert_eq!(decode::<M>(&bytes).as_ref(), Ok(&message)),
        // What was read from less cannot be more than fits.
        Err(error) => panic!("{error} ({} bytes of {MAX_MESSAGE}): {message:?}", input.len()),
    }
}

fn comes_back_from_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<T>(input) {
        let again = serde_json::to_vec(&record).expect("JSON");
        assert_eq!(serde_json::from_slice::<T>(&again).expect("JSON"), record);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_fuzzers_corpus_of_messages_comes_back() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        crate::corpus::replay(&corpora, "wire", super::check);
    }
}
