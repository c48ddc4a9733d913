//! Counts the lines of one attempt once.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use super::Blame;

/// Attempts that are remembered.
const MAX_ATTEMPTS: usize = 8192;
/// Time that an attempt may be quiet between its lines, in milliseconds: longer than sshd waits for a login, and short against
/// the time until a process id is used again.
const QUIET_MS: i64 = 150_000;
/// Kinds of lines that are told apart within one attempt.
const MAX_KINDS: usize = 8;
/// Most attempts that one line counts for: syslog may write it in place of any number of them.
const MAX_TIMES: u32 = 100;
/// What is remembered of an attempt's name, in bytes: a client chooses how long a session is called. Lines of one kind count
/// each, so that nobody hides attempts behind a name.
const MAX_NAME: usize = 128;

/// The attempts that were counted lately.
///
/// Several lines of a process about one client are one attempt as long as their kinds differ: sshd writes `Invalid user`,
/// `Failed password` and `Connection closed` about one. A kind that comes again is another attempt.
#[derive(Debug, Default)]
pub struct Attempts {
    known: HashMap<Key, KnownAttempt>,
    /// In the order in which they came, to forget the oldest first.
    order: VecDeque<Key>,
}

type Key = (IpAddr, String);

#[derive(Debug, Default)]
struct KnownAttempt {
    /// Lines of each kind.
    kinds: Vec<(String, u32)>,
    counted: u32,
    last_ms: i64,
}

impl Attempts {
    /// Returns how many attempts `blame`, a line that came at `now_ms` (milliseconds since the Unix epoch), tells of that were
    /// not counted yet.
    pub fn count(&mut self, blame: &Blame<'_>, now_ms: i64) -> u32 {
        let times = blame.times.clamp(1, MAX_TIMES);
        let Some(attempt) = &blame.attempt else {
            return times;
        };
        let name = &attempt[..attempt.floor_char_boundary(MAX_NAME)];
        let key = (blame.client, name.to_owned());
        if !self.known.contains_key(&key) {
            if self.order.len() >= MAX_ATTEMPTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        let known = self.known.entry(key).or_default();
        if now_ms.saturating_sub(known.last_ms) > QUIET_MS {
            *known = KnownAttempt::default();
        }
        known.last_ms = now_ms;
        let is_room = known.kinds.len() < MAX_KINDS;
        let lines = match known.kinds.iter_mut().find(|(kind, _)| kind == blame.kind) {
            Some((_, lines)) => {
                *lines = lines.saturating_add(times);
                *lines
            }
            None if is_room => {
                known.kinds.push((blame.kind.to_owned(), times));
                times
            }
            None => times,
        };
        let new = lines.saturating_sub(known.counted);
        known.counted = known.counted.max(lines);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Class;

    fn blame(client: &str, attempt: Option<&'static str>, kind: &'static str) -> Blame<'static> {
        Blame {
            client: client.parse().unwrap(),
            class: Class::AuthFailure,
            kind,
            is_echo: false,
            times: 1,
            user: None,
            account: None,
            waits: false,
            attempt: attempt.map(Into::into),
            service: None,
        }
    }

    #[test]
    fn lines_of_one_attempt_count_once_and_each_password_counts() {
        let mut attempts = Attempts::default();
        let mut count = |client, pid, kinds: &[&'static str], at_ms| {
            let new = kinds
                .iter()
                .map(|kind| attempts.count(&blame(client, pid, kind), at_ms));
            new.sum::<u32>()
        };
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        let one = &["invalid-user", "pam", "failed-password", "closed"];
        assert_eq!(count(a, Some("1"), one, 0), 1);
        assert_eq!(count(a, Some("2"), one, 0), 1, "another process");
        assert_eq!(count(b, Some("1"), one, 0), 1, "another client");
        assert_eq!(
            count(a, Some("1"), &["failed-password", "failed-password"], 1000),
            2
        );
        assert_eq!(count(a, Some("1"), &["closed"], 1000), 0);
        assert_eq!(
            count(a, Some("1"), &["closed"], 1000 + QUIET_MS + 1),
            1,
            "the number again"
        );
        assert_eq!(count(a, None, &["closed", "closed"], 0), 2, "no process is known");
    }

    #[test]
    fn a_line_that_stands_for_many_counts_as_often() {
        let mut attempts = Attempts::default();
        let repeated = |pid, kind, times| Blame {
            times,
            ..blame("192.0.2.1", pid, kind)
        };
        assert_eq!(attempts.count(&repeated(Some("1"), "invalid-user", 1), 0), 1);
        assert_eq!(attempts.count(&repeated(Some("1"), "failed-password", 1), 0), 0);
        assert_eq!(attempts.count(&repeated(Some("1"), "failed-password", 4), 0), 4);
        assert_eq!(attempts.count(&repeated(None, "x", 4), 0), 4);
        assert_eq!(attempts.count(&repeated(None, "x", u32::MAX), 0), MAX_TIMES);
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for pid in 0..2 * MAX_ATTEMPTS {
            let mut blame = blame("192.0.2.1", None, "x");
            blame.attempt = Some(pid.to_string().into());
            assert_eq!(attempts.count(&blame, 0), 1);
        }
        let mut named = blame("192.0.2.1", None, "x");
        named.attempt = Some("xä".repeat(MAX_NAME).into());
        assert_eq!((attempts.count(&named, 0), attempts.count(&named, 0)), (1, 1));
        assert!(attempts.known.keys().all(|(_, name)| name.len() <= MAX_NAME));
        assert_eq!(
            (attempts.known.len(), attempts.order.len()),
            (MAX_ATTEMPTS, MAX_ATTEMPTS)
        );
    }
}
