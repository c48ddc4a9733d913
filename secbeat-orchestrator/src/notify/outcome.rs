//! Errors of an entry, and of a message.

/// A key of the entry that does not do, and why.
pub(super) type Wrong = (&'static str, String);

/// The reason why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Without a secret.
    pub(super) why: String,
    pub(super) retry: Retry,
}

/// Whether a message is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    Later,
    /// The receiver said when, in seconds.
    After(u64),
}
