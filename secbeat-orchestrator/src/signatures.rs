//! The shipped signatures: what edges without signatures of their own look for.

use std::sync::LazyLock;

use secbeat_signatures::{Matcher, Signature, shipped as files};

static SHIPPED: LazyLock<Matcher> = LazyLock::new(|| Matcher::build(&files(), &[]).0);

/// A matcher of all of them.
pub(crate) fn shipped() -> &'static Matcher {
    &SHIPPED
}

/// The one called `id`; edges may have others.
pub(crate) fn by_id(id: &str) -> Option<&'static Signature> {
    let mut signatures = SHIPPED.signatures().iter();
    signatures.find(|signature| signature.id == id)
}
