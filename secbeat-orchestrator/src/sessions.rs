//! Sessions of the web page: who signed in, and until when. Only hashes of their secrets are kept.

mod kept;

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use uuid::Uuid;

use self::kept::Kept;
use crate::{
    millis,
    token::{self, Role, Token, TokenHash},
};

/// How long a session lasts at most.
pub(crate) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// How long it lasts without a request. An open stream is one.
pub(crate) const IDLE: Duration = Duration::from_secs(3600);
/// Sessions at a time; past it the one that was not used for longest ends.
const MAX_SESSIONS: usize = 256;
/// How long a one-time link may be used.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(300);
/// Links at a time; past it the oldest ends.
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
    /// What the browser calls itself.
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
    /// Each with its end; the oldest first.
    links: VecDeque<(TokenHash, Holder, i64)>,
    /// Where sessions outlast this process, if anywhere.
    kept: Option<Kept>,
}

impl Session {
    /// When it ends unless it is used before.
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
    /// When the kernel gives no random bytes.
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
            let oldest = state.sessions.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, (_, session))| session.used_ms);
            if let Some((index, _)) = oldest {
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
        all.sort_by_key(|session| std::cmp::Reverse(session.began_ms));
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
    /// When the kernel gives no random bytes.
    pub(crate) fn link(&self, holder: Holder, now_ms: i64) -> anyhow::Result<(String, i64)> {
        let (code, ends_ms) = (token::secret()?, now_ms + millis(LINK_LIFE));
        let mut state = self.0.lock();
        if state.links.len() >= MAX_LINKS {
            state.links.pop_front();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Holder {
        Holder {
            name: "root".to_owned(),
            role: Role::Admin,
            token: None,
        }
    }

    fn token(text: &str, role: Role) -> Token {
        Token {
            name: "ci".parse().unwrap(),
            role,
            hash: TokenHash::of(text),
        }
    }

    #[test]
    fn a_link_opens_one_session_and_only_for_a_while() {
        let sessions = Sessions::default();
        let (code, ends_ms) = sessions.link(root(), 0).unwrap();
        assert_eq!(sessions.redeem("another", &[], 1), None);
        assert_eq!(sessions.redeem(&code, &[], 1), Some(root()));
        assert_eq!(sessions.redeem(&code, &[], 1), None, "it was used");
        let (late, _) = sessions.link(root(), 0).unwrap();
        assert_eq!(sessions.redeem(&late, &[], ends_ms), None, "it is too old");
    }

    #[test]
    fn a_session_ends_unused_at_its_end_or_when_it_is_ended() {
        let sessions = Sessions::default();
        let (secret, session) = sessions.open(root(), true, "a browser", 0).unwrap();
        let (life, idle) = (millis(LIFE), millis(IDLE));
        assert!(sessions.find(&secret, &[], idle - 1).is_some());
        assert!(
            sessions.find(&secret, &[], 2 * idle - 2).is_some(),
            "it was used meanwhile"
        );
        assert_eq!(sessions.find(&secret, &[], 3 * idle), None, "nobody used it");
        let (secret, _) = sessions.open(root(), true, "", 0).unwrap();
        let mut now_ms = 0;
        while now_ms + idle / 2 < life {
            now_ms += idle / 2;
            assert!(sessions.find(&secret, &[], now_ms).is_some());
        }
        assert_eq!(sessions.find(&secret, &[], life), None, "it is over");
        let (secret, ended) = sessions.open(root(), false, "", 0).unwrap();
        assert_ne!(ended.id, session.id);
        assert!(sessions.goes_on(ended.id, &[], 1));
        assert_eq!(
            sessions.end(ended.id, 1).map(|session| session.id),
            Some(ended.id)
        );
        assert_eq!(sessions.find(&secret, &[], 1), None);
        assert!(!sessions.goes_on(ended.id, &[], 1));
    }

    #[test]
    fn a_session_lasts_as_its_token_does_and_has_its_role() {
        let sessions = Sessions::default();
        let holder = Holder {
            token: Some(TokenHash::of("x")),
            ..root()
        };
        let (secret, _) = sessions.open(holder, false, "", 0).unwrap();
        let role = |tokens: &[Token]| Some(sessions.find(&secret, tokens, 1)?.holder.role);
        assert_eq!(role(&[token("x", Role::Admin)]), Some(Role::Admin));
        assert_eq!(role(&[token("x", Role::Read)]), Some(Role::Read));
        assert_eq!(role(&[token("y", Role::Admin)]), None);
        assert_eq!(role(&[token("x", Role::Admin)]), None, "it ended with its token");
    }

    #[test]
    fn sessions_outlast_the_daemon_in_a_file_without_secrets_and_not_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api.sessions");
        let again = |started_ms| Sessions::kept_in(file.clone(), started_ms, 100);
        let sessions = again(0);
        let (secret, session) = sessions.open(root(), true, "a browser", 1).unwrap();
        let holder = Holder {
            token: Some(TokenHash::of("x")),
            ..root()
        };
        let (with_token, _) = sessions.open(holder, false, "", 2).unwrap();
        let (ended, Session { id, .. }) = sessions.open(root(), true, "", 3).unwrap();
        sessions.end(id, 4);

        let sessions = again(1000);
        let tokens = [token("x", Role::Read)];
        let kept = sessions.list(&tokens, 100);
        assert_eq!(kept.len(), 2, "one was ended");
        assert_eq!(kept.last(), Some(&session));
        assert!(sessions.find(&secret, &tokens, 100).is_some());
        assert_eq!(sessions.find(&ended, &tokens, 100), None);
        let held = sessions.find(&with_token, &tokens, 100).unwrap().holder;
        assert_eq!(held.role, Role::Read, "as its token has it now");
        assert_eq!(
            again(0).find(&with_token, &[], 100),
            None,
            "it ended with its token"
        );
        let used_ms = 100 + millis(IDLE) / 2;
        sessions.find(&secret, &tokens, used_ms);
        let later = Sessions::kept_in(file.clone(), 0, used_ms);
        assert!(
            later.find(&secret, &[], 100 + millis(IDLE)).is_some(),
            "it was used since"
        );
        assert!(
            again(0).find(&secret, &[], 100 + millis(IDLE)).is_none(),
            "the future is none"
        );

        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&secret), "{text}");
        let started = Sessions::kept_in(file.clone(), 3_600_000, used_ms);
        assert!(
            started.list(&tokens, used_ms).is_empty(),
            "the host was started again"
        );
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let others = Sessions::kept_in(file.clone(), 0, used_ms);
        assert!(
            others.list(&tokens, used_ms).is_empty(),
            "others may have read it"
        );
    }

    #[test]
    fn there_are_so_many_sessions_and_links() {
        let sessions = Sessions::default();
        let (first, _) = sessions.open(root(), false, "", 0).unwrap();
        for n in 0..MAX_SESSIONS as i64 {
            sessions.open(root(), false, "", 1 + n).unwrap();
        }
        assert_eq!(sessions.list(&[], 300).len(), MAX_SESSIONS);
        assert_eq!(sessions.find(&first, &[], 300), None);
        let (first, _) = sessions.link(root(), 0).unwrap();
        for _ in 0..MAX_LINKS {
            sessions.link(root(), 0).unwrap();
        }
        assert_eq!(sessions.redeem(&first, &[], 1), None);
    }
}
