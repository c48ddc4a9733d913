//! Blame for the end of a connection.

use std::error::Error as StdError;

use h2::Reason;

use super::hearing::Hearing;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What telemetry is told of a client that was too slow.
pub(super) const REQUEST_TIMEOUT: u16 = 408;
/// Of one that says what the protocol forbids, or no more amid a head.
pub(super) const BAD_REQUEST: u16 = 400;

/// The status for how a connection ended, if the client is to blame and no request was answered with it.
pub(super) fn verdict(hearing: &Hearing, error: Option<BoxError>) -> Option<u16> {
    if let Some(error) = &error {
        tracing::trace!(%error, "a connection ended badly");
    }
    if hearing.was_slow() {
        return Some(REQUEST_TIMEOUT);
    }
    let error = error?;
    let has_left = || hearing.head_since().map(|_| BAD_REQUEST);
    error.downcast_ref().and_then(blame).or_else(has_left)
}

/// The status for what ended a connection, if the client is to blame and no request was answered with it.
fn blame(error: &hyper::Error) -> Option<u16> {
    if error.is_parse() {
        return Some(match error.is_parse_too_large() {
            // hyper tells the two apart in words alone.
            true if error.to_string() == "URI too long" => 414,
            true => 431,
            false => BAD_REQUEST,
        });
    }
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    // What this side has ended, and not for its own reasons.
    match error
        .reason()
        .filter(|_| error.is_library() && error.is_go_away())?
    {
        Reason::NO_ERROR | Reason::INTERNAL_ERROR | Reason::SETTINGS_TIMEOUT => None,
        Reason::ENHANCE_YOUR_CALM => Some(429),
        _ => Some(BAD_REQUEST),
    }
}
