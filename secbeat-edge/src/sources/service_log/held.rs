//! Events that wait for a line that may take them back.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use secbeat_common::wire::{ServiceEvent, cut};
use secbeat_logs::services::{Blame, Forgiven};

/// How long an event waits. PAM asks one module after the other, and SSSD gives a server up after 6 to 8 s (`krb5_auth_timeout`,
/// `ldap_opt_timeout`).
const HOLD: Duration = Duration::from_secs(10);
/// Events that wait at most; more are reported early, the oldest first.
const MAX_HELD: usize = 4096;

/// Events in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Held(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    until: Instant,
    attempt: Option<String>,
    of: Login,
    event: ServiceEvent,
}

/// Whom a login is for: what the client wrote, and what the service takes that for. Empty if it is not told.
#[derive(Debug)]
struct Login {
    user: String,
    account: String,
}

impl Login {
    fn new(user: Option<&str>, account: Option<&str>) -> Self {
        let kept = |text: Option<&str>| cut(text.unwrap_or_default()).to_owned();
        Self {
            user: kept(user),
            account: kept(account),
        }
    }

    /// Whether both are surely for the same: an own account takes back no guess of another's password.
    fn is_that_of(&self, other: &Self) -> bool {
        match self.account.is_empty() || other.account.is_empty() {
            true => !self.user.is_empty() && self.user == other.user,
            false => self.account == other.account,
        }
    }
}

impl Held {
    /// Has `event`, of `blame`, wait from `now` on.
    pub(super) fn add(&mut self, blame: &Blame<'_>, event: ServiceEvent, now: Instant) {
        self.0.push_back(Waiting {
            until: now + HOLD,
            attempt: blame.attempt.as_deref().map(str::to_owned),
            of: Login::new(blame.user.as_deref(), blame.account.as_deref()),
            event,
        });
    }

    /// Drops the last event of a login that succeeded: those before it are of other passwords.
    pub(super) fn forgive(&mut self, forgiven: &Forgiven<'_>) {
        let of = Login::new(forgiven.user.as_deref(), forgiven.account.as_deref());
        let last = self.0.iter().rposition(|waiting| {
            forgiven
                .client
                .is_none_or(|client| client == waiting.event.client)
                && waiting.attempt.as_deref() == forgiven.attempt.as_deref()
                && waiting.of.is_that_of(&of)
        });
        if let Some(at) = last {
            self.0.remove(at);
        }
    }

    /// The oldest event, if it has waited long enough by `now`, or there are too many.
    pub(super) fn due(&mut self, now: Instant) -> Option<ServiceEvent> {
        let is_full = self.0.len() > MAX_HELD;
        let waiting = self.0.pop_front_if(|oldest| is_full || oldest.until <= now)?;
        Some(waiting.event)
    }

    /// The oldest event, however long it has waited.
    pub(super) fn oldest(&mut self) -> Option<ServiceEvent> {
        self.0.pop_front().map(|waiting| waiting.event)
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{LearnedFrom, ServiceClass};
    use secbeat_logs::services::Class;

    use super::*;

    fn event(client: &str) -> ServiceEvent {
        ServiceEvent {
            client: client.parse().unwrap(),
            at_ms: 0,
            learned_from: LearnedFrom::Peer,
            class: ServiceClass::AuthFailure,
            service: "pam".to_owned(),
            kind: "pam".to_owned(),
            user: String::new(),
        }
    }

    fn blame(client: &str, attempt: Option<&'static str>) -> Blame<'static> {
        Blame {
            client: client.parse().unwrap(),
            class: Class::AuthFailure,
            kind: "pam",
            is_echo: false,
            times: 1,
            user: Some("bob".into()),
            account: None,
            waits: true,
            attempt: attempt.map(Into::into),
            service: None,
        }
    }

    #[test]
    fn success_of_one_user_takes_back_nothing_of_another() {
        for (failed, succeeded, is_same) in [
            (("bob", "bob"), ("bob", "bob"), true),
            (("bob", "bob"), ("own", "own"), false),
            // Who both are is known by the account alone.
            (("", "bob"), ("x", "bob"), true),
            (("x", "bob"), ("x", "own"), false),
            (("bob", ""), ("bob", "bob"), true),
            (("bob", ""), ("own", "own"), false),
            (("", ""), ("", "own"), false),
            (("", ""), ("", ""), false),
        ] {
            let login = |(user, account): (&str, &str)| Login::new(Some(user), Some(account));
            assert_eq!(
                login(failed).is_that_of(&login(succeeded)),
                is_same,
                "{failed:?}, {succeeded:?}"
            );
        }
    }

    #[test]
    fn an_event_waits_and_success_of_its_attempt_alone_takes_it_back() {
        let (mut held, start) = (Held::default(), Instant::now());
        let (one, other) = ("192.0.2.1", "192.0.2.2");
        for (client, attempt) in [
            (one, Some("7")),
            (one, Some("7")),
            (one, Some("8")),
            (other, Some("7")),
            (one, None),
        ] {
            held.add(&blame(client, attempt), event(client), start);
        }
        held.forgive(&Forgiven {
            client: Some(one.parse().unwrap()),
            attempt: Some("7".into()),
            user: Some("bob".into()),
            account: Some("bob".into()),
        });
        assert_eq!(held.due(start + HOLD / 2), None);
        let left: Vec<_> = std::iter::from_fn(|| held.due(start + HOLD))
            .map(|event| event.client.to_string())
            .collect();
        assert_eq!(left, [one, one, other, one], "of two passwords, one was wrong");
        for _ in 0..=MAX_HELD {
            held.add(&blame(one, Some("1")), event(one), start);
        }
        assert!(held.due(start).is_some(), "bounded");
        assert_eq!(held.due(start), None);
    }
}
