//! What one key cannot say alone.

/// Keys that contradict each other: which to name, and why.
pub(super) struct Contradiction(pub(super) String, pub(super) String);

impl Contradiction {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self(key.into(), message.into())
    }
}
