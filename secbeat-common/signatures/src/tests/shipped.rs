//! The shipped set.

use super::{matcher, shipped_files, texts};
use crate::{Matcher, SignatureFile};

#[test]
fn each_signature_matches_what_it_must_and_nothing_that_it_must_not() {
    let problems = matcher().verify();
    assert!(problems.is_empty(), "{}", texts(&problems).join("\n"));
}

#[test]
fn there_are_three_hundred_and_each_has_samples() {
    let matcher = matcher();
    let shipped: Vec<_> = matcher
        .signatures()
        .iter()
        .filter(|signature| signature.line > 0)
        .collect();
    assert!(shipped.len() >= 300, "{}", shipped.len());
    for signature in shipped {
        let is_shown = !signature.must.is_empty() && !signature.must_not.is_empty();
        assert!(is_shown, "{}", signature.id);
    }
}

/// Files of other names are compiled as they are read.
#[test]
fn every_expression_can_be_compiled() {
    let of_another_name = |file: SignatureFile| SignatureFile {
        name: format!("own-{}", file.name),
        ..file
    };
    let files: Vec<_> = shipped_files().into_iter().map(of_another_name).collect();
    let (_, problems) = Matcher::build(&files, &[]);
    assert_eq!(texts(&problems), [""; 0]);
}
