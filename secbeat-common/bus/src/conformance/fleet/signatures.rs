//! The fleet's signatures.

use secbeat_common::{
    sign::Signer,
    subjects,
    wire::{FleetSignatures, SignatureText},
};

use super::*;
use crate::SignatureBucket;

pub async fn a_set_of_signatures_takes_the_place_of_the_one_that_its_writer_has_seen(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let signatures = SignatureBucket::new(&fleet.bus, fleet.trust.clone(), fleet.signer.clone());
    let set = |changed_at_ms: i64, bytes: usize| FleetSignatures {
        changed_at_ms,
        changed_by: "alice".to_owned(),
        files: vec![SignatureText {
            name: "own.toml".to_owned(),
            text: "#".repeat(bytes),
        }],
        disabled: Vec::new(),
    };
    let none = signatures.held().await.unwrap();
    assert_eq!(none.set, None);
    let put = async |set: &FleetSignatures, held| signatures.put(set, held).await.unwrap();
    assert!(matches!(put(&set(1, 1), &none).await, WriteOutcome::Written(_)));
    assert_eq!(put(&set(2, 1), &none).await, WriteOutcome::Conflict);
    let held = signatures.held().await.unwrap();
    assert_eq!(held.set, Some(set(1, 1)));
    // The largest that may be.
    let largest = set(3, secbeat_common::wire::MAX_SIGNATURE_TEXT);
    assert!(matches!(put(&largest, &held).await, WriteOutcome::Written(_)));
    assert_eq!(signatures.held().await.unwrap().set, Some(largest));
    // What nobody signed says nothing, and is written over.
    let bucket = fleet.bus.bucket(subjects::RULES_BUCKET);
    let unsigned = Signer::default().seal(&set(4, 1), 0).unwrap();
    bucket
        .write(Write::put(subjects::SIGNATURES_KEY, unsigned))
        .await
        .unwrap();
    let held = signatures.held().await.unwrap();
    assert_eq!(held.set, None);
    assert!(matches!(put(&set(5, 1), &held).await, WriteOutcome::Written(_)));
    assert_eq!(signatures.held().await.unwrap().set, Some(set(5, 1)));
}
