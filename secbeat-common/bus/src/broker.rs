//! Name of the broker in messages for people.

use std::sync::OnceLock;

static NAME: OnceLock<&str> = OnceLock::new();

/// The name: NATS, unless [`called`] has said otherwise.
#[must_use]
pub fn broker() -> &'static str {
    NAME.get().copied().unwrap_or("NATS")
}

/// Has messages call it `name`, as of a process whose bus is a file. The first name holds.
pub fn called(name: &'static str) {
    let _ = NAME.set(name);
}
