//! Recognition of attacks in single requests.
//!
//! A [`SignatureFile`] has signatures as TOML; [`Matcher::build`] puts all of them into one automaton for each field of a request, and
//! [`Matcher::find`] says which of them a [`Request`] matches. Text is compared in the forms in which servers understand it: as it
//! came, percent-decoded once and twice, and with what else they resolve. The work for one request is bounded, whatever a client
//! sends. Regular expressions are matched without backtracking.

#![forbid(unsafe_code)]

mod armed;
mod blocks;
mod condition;
mod exclusions;
mod expression;
mod file;
mod forms;
mod index;
mod known;
mod literals;
mod matcher;
mod normal;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::panic, reason = "an oracle of tests")]
mod oracle;
mod problem;
mod request;
mod scratch;
mod shipped;
mod sieve;
mod signature;
#[cfg(test)]
mod tests;
mod writer;

#[cfg(any(test, feature = "fuzzing"))]
pub use self::oracle::check;
pub use self::{
    file::{MAX_FILE, SignatureFile},
    matcher::{MAX_SIGNATURES, Matcher},
    problem::Problem,
    request::{Request, Sample},
    scratch::{Hits, MAX_HITS, Scratch},
    shipped::shipped,
    signature::{Class, Field, MAX_ID, Severity, Signature},
};
