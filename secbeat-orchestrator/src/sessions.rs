//! Sessions of the web page: who signed in, and until when. Only hashes of their secrets are kept.

mod kept;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use uuid::Uuid;

use self::kept::Kept;
use crate::{
    millis,
    token::{self, Role, Token, TokenHash},
};

/// Time that a session lasts at most.
pub(crate) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Time that it lasts without a request. An open stream is one.
pub(crate) const IDLE: Duration = Duration::from_secs(3600);
/// Sessions at a time; past it one [makes room](makes_room).
const MAX_SESSIONS: usize = 256;
/// Time that a one-time link may be used.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(300);
/// Links at a time; past it one [makes room](makes_room).
const MAX_LINKS: usize = 64;
/// Bytes that are kept of what a browser calls itself.
const MAX_AGENT: usize = 200;

/// Who may do what, and by which token, if by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub name: String,
    pub role: Role,
    pub token: Option<TokenHash>,
}

/// One session. Times are milliseconds of the clock that only moves forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub id: Uuid,
    pub holder: Holder,
    /// Whether a one-time link opened it.
    pub by_link: bool,
    /// User agent of the browser.
    pub agent: String,
    pub began_ms: i64,
    pub used_ms: i64,
    pub ends_ms: i64,
}

/// All sessions and links. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sessions: Vec<(TokenHash, Session)>,
    /// Each with its end.
    links: VecDeque<(TokenHash, Holder, i64)>,
    /// Where sessions outlast this process, if anywhere.
    kept: Option<Kept>,
}

/// Returns which of `all`, each with its holder and when it was used or made, makes room for another: the oldest one of the
/// holder that has the most. So nobody ends the sessions of others.
fn makes_room<'a>(all: &(impl Iterator<Item = (&'a Holder, i64)> + Clone)) -> Option<usize> {
    let is_same = |one: &Holder, other: &Holder| (one.token, &one.name) == (other.token, &other.name);
    let held = |holder: &Holder| all.clone().filter(|(other, _)| is_same(holder, other)).count();
    let oldest = all
        .clone()
        .enumerate()
        .min_by_key(|(_, (holder, since_ms))| (Reverse(held(holder)), *since_ms));
    oldest.map(|(index, _)| index)
}

impl Session {
    /// Returns when it ends unless it is used before.
    pub(crate) fn ends_unused_ms(&self) -> i64 {
        self.ends_ms.min(self.used_ms + millis(IDLE))
    }
}

impl Sessions {
    /// Those of an earlier process that kept them in `file`, where these are kept from now on. The host was started at `started_ms`
    /// of the wall clock.
    pub(crate) fn kept_in(file: PathBuf, started_ms: i64, now_ms: i64) -> Self {
        let kept = Kept::new(file, started_ms);
        let state = State {
            sessions: kept.read(now_ms),
            kept: Some(kept),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Opens a session at `now_ms`; returns its secret.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel gives no random bytes.
    pub(crate) fn open(
        &self,
        holder: Holder,
        by_link: bool,
        agent: &str,
        now_ms: i64,
    ) -> anyhow::Result<(String, Session)> {
        let secret = token::secret()?;
        let session = Session {
            id: Uuid::new_v4(),
            holder,
            by_link,
            agent: agent.chars().take(MAX_AGENT).collect(),
            began_ms: now_ms,
            used_ms: now_ms,
            ends_ms: now_ms + millis(LIFE),
        };
        let mut state = self.0.lock();
        if state.sessions.len() >= MAX_SESSIONS {
            let all = state.sessions.iter();
            if let Some(index) = makes_room(&all.map(|(_, session)| (&session.holder, session.used_ms))) {
                state.sessions.swap_remove(index);
            }
        }
        state.sessions.push((TokenHash::of(&secret), session.clone()));
        state.keep(now_ms);
        Ok((secret, session))
    }

    /// The session of `secret`, which is used at `now_ms`. It has the role that its token has in `tokens`.
    pub(crate) fn find(&self, secret: &str, tokens: &[Token], now_ms: i64) -> Option<Session> {
        let mut state = self.0.lock();
        state.prune(tokens, now_ms);
        let hash = TokenHash::of(secret);
        let found =
            state.sessions.iter_mut().fold(
                None,
                |found, (known, session)| {
                    if known.is(&hash) { Some(session) } else { found }
                },
            )?;
        found.used_ms = now_ms;
        let found = found.clone();
        state.keep_up(now_ms);
        Some(found)
    }

    /// Whether the session `id` goes on; it is used at `now_ms`.
    pub(crate) fn goes_on(&self, id: Uuid, tokens: &[Token], now_ms: i64) -> bool {
        let mut state = self.0.lock();
        state.prune(tokens, now_ms);
        let found = state.sessions.iter_mut().find(|(_, session)| session.id == id);
        let goes_on = found.map(|(_, session)| session.used_ms = now_ms).is_some();
        state.keep_up(now_ms);
        goes_on
    }

    /// All that go on, the latest first.
    pub(crate) fn list(&self, tokens: &[Token], now_ms: i64) -> Vec<Session> {
        let mut state = self.0.lock();
        state.prune(tokens, now_ms);
        let mut all: Vec<_> = state
            .sessions
            .iter()
            .map(|(_, session)| session.clone())
            .collect();
        all.sort_by_key(|session| Reverse(session.began_ms));
        all
    }

    /// Ends a session at `now_ms`; returns it.
    pub(crate) fn end(&self, id: Uuid, now_ms: i64) -> Option<Session> {
        let mut state = self.0.lock();
        let index = state.sessions.iter().position(|(_, session)| session.id == id)?;
        let (_, ended) = state.sessions.swap_remove(index);
        state.keep(now_ms);
        Some(ended)
    }

    /// A code that opens one session for `holder`, and when it ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel gives no random bytes.
    pub(crate) fn link(&self, holder: Holder, now_ms: i64) -> anyhow::Result<(String, i64)> {
        let (code, ends_ms) = (token::secret()?, now_ms + millis(LINK_LIFE));
        let mut state = self.0.lock();
        if state.links.len() >= MAX_LINKS {
            let all = state.links.iter();
            if let Some(index) = makes_room(&all.map(|(_, holder, ends_ms)| (holder, *ends_ms))) {
                state.links.remove(index);
            }
        }
        state.links.push_back((TokenHash::of(&code), holder, ends_ms));
        Ok((code, ends_ms))
    }

    /// For whom `code` is, which does not open another session.
    pub(crate) fn redeem(&self, code: &str, tokens: &[Token], now_ms: i64) -> Option<Holder> {
        let mut state = self.0.lock();
        state.prune(tokens, now_ms);
        let hash = TokenHash::of(code);
        let index = state.links.iter().position(|(known, ..)| known.is(&hash))?;
        state.links.remove(index).map(|(_, holder, _)| holder)
    }
}

impl State {
    /// Forgets what has ended, and whose token is none any more.
    fn prune(&mut self, tokens: &[Token], now_ms: i64) {
        let renewed = |holder: &mut Holder| match holder.token {
            None => true,
            Some(hash) => match tokens.iter().find(|token| token.hash.is(&hash)) {
                Some(token) => {
                    holder.role = token.role;
                    true
                }
                None => false,
            },
        };
        let before = self.sessions.len();
        self.sessions
            .retain_mut(|(_, session)| session.ends_unused_ms() > now_ms && renewed(&mut session.holder));
        self.links
            .retain_mut(|(_, holder, ends_ms)| *ends_ms > now_ms && renewed(holder));
        if self.sessions.len() < before {
            self.keep(now_ms);
        }
    }

    /// Keeps what has changed.
    fn keep(&mut self, now_ms: i64) {
        if let Some(kept) = &mut self.kept {
            kept.write(&self.sessions, now_ms);
        }
    }

    /// Keeps from time to time when sessions were used.
    fn keep_up(&mut self, now_ms: i64) {
        if self.kept.as_ref().is_some_and(|kept| kept.is_behind(now_ms)) {
            self.keep(now_ms);
        }
    }
}
