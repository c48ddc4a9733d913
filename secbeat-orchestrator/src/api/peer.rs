//! Author of a request.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use secbeat_daemon::api::LocalPeer;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Api, Failure};
use crate::{
    clock::boot_ms,
    sessions::{Holder, Sessions},
    token::{Role, Token},
};

/// Author of a request, where known, and its session.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub holder: Holder,
    pub session: Option<Uuid>,
}

/// Whether the caller of a request that is answered without end may still read.
#[derive(Debug)]
pub(super) struct MayRead {
    peer: Option<Peer>,
    /// Whether it is root, or of the group `secbeat`, on the socket.
    is_trusted: bool,
    sessions: Sessions,
    tokens: watch::Receiver<Vec<Token>>,
}

impl FromRequestParts<Api> for MayRead {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        Ok(Self {
            peer: parts.extensions.get().cloned(),
            is_trusted: parts.extensions.get().is_some_and(LocalPeer::is_trusted),
            sessions: api.sessions.clone(),
            tokens: api.tokens.clone(),
        })
    }
}

impl MayRead {
    /// Whether its session, its token, or what lets it in without either, is still good. A session is used by that.
    pub(super) fn holds(&self) -> bool {
        let tokens = self.tokens.borrow();
        let Some(Peer { holder, session }) = &self.peer else {
            // Anybody on this host may read where there are no tokens.
            return self.is_trusted || tokens.is_empty();
        };
        match (session, holder.token) {
            (Some(id), _) => self.sessions.goes_on(*id, &tokens, boot_ms()),
            (None, Some(hash)) => tokens.iter().any(|token| token.hash.is(&hash)),
            (None, None) => self.is_trusted,
        }
    }
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
    let why = "this browser has no session, or it has ended: sign in with a token, or with a link that `secbeat dashboard` prints";
    Failure::new(StatusCode::UNAUTHORIZED, why).with_code("not_signed_in")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenHash;

    #[test]
    fn a_reader_reads_until_its_session_or_its_token_is_gone() {
        let token = |text: &str| Token {
            name: "ci".parse().unwrap(),
            role: Role::Read,
            hash: TokenHash::of(text),
        };
        let holder = Holder {
            name: "ci".to_owned(),
            role: Role::Read,
            token: Some(TokenHash::of("one")),
        };
        let sessions = Sessions::default();
        let (_, session) = sessions.open(holder.clone(), false, "", boot_ms()).unwrap();
        let (config, tokens) = watch::channel(vec![token("one")]);
        let reader = |peer: Option<(Holder, Option<Uuid>)>, is_trusted| MayRead {
            peer: peer.map(|(holder, session)| Peer { holder, session }),
            is_trusted,
            sessions: sessions.clone(),
            tokens: tokens.clone(),
        };
        let by_session = reader(Some((holder.clone(), Some(session.id))), false);
        let by_token = reader(Some((holder, None)), false);
        let (stranger, root) = (reader(None, false), reader(None, true));
        let all = || [&by_session, &by_token, &stranger, &root].map(MayRead::holds);
        assert_eq!(all(), [true, true, false, true]);
        sessions.end(session.id, boot_ms());
        assert_eq!(all(), [false, true, false, true]);
        config.send_replace(vec![token("another")]);
        assert_eq!(all(), [false, false, false, true]);
        config.send_replace(Vec::new());
        assert_eq!(
            all(),
            [false, false, true, true],
            "all users may read where there are no tokens"
        );
    }
}
