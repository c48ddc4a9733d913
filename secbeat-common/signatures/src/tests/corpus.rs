//! The fuzzer's corpus.

use std::path::Path;

use secbeat_common::corpus;

#[test]
fn the_corpus_keeps_what_is_checked() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    corpus::replay(&corpora, "signatures", crate::check);
}
