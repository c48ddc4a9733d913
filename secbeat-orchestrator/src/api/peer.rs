//! Whose request it is.

use axum::http::StatusCode;
use uuid::Uuid;

use super::Failure;
use crate::{sessions::Holder, token::Role};

/// Whose request it is, where that is known; and by which session.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub holder: Holder,
    pub session: Option<Uuid>,
}

/// The rights of root, and of the group `secbeat`.
pub(super) fn local(name: String) -> Holder {
    Holder {
        name,
        role: Role::Admin,
        token: None,
    }
}

/// The answer to a browser without a session.
pub(super) fn not_signed_in() -> Failure {
    let why = "nobody is signed in with this browser, or the session is over: sign in with a token, or with a link that `secbeat dashboard` prints";
    Failure::new(StatusCode::UNAUTHORIZED, why).with_code("not_signed_in")
}
