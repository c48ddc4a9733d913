//! Events that wait for a line that may take them back.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use secbeat_common::wire::{ServiceEvent, cut};
use secbeat_logs::services::{Blame, Forgiven};

/// Time that an event waits. PAM asks one module after the other, and SSSD gives a server up after 6 to 8 s (`krb5_auth_timeout`,
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

    /// Whether both are surely for the same, by `is_one` for accounts: an own account takes back no guess of another's password.
    fn is_that_of(&self, other: &Self, is_one: fn(&str, &str) -> bool) -> bool {
        match self.account.is_empty() || other.account.is_empty() {
            true => !self.user.is_empty() && self.user == other.user,
            false => is_one(&self.account, &other.account),
        }
    }
}

/// Whether both names are of one account. winbind names the domain of its users also where PAM was asked without, and takes letters in either
/// case; a name of two domains is that of two accounts.
fn is_one_account(one: &str, other: &str) -> bool {
    let ((domain, one_name), (other_domain, other_name)) = (in_domain(one), in_domain(other));
    let is_one_domain = match (domain, other_domain) {
        (None, None) => return one == other,
        (Some(one), Some(other)) => first_label(one).eq_ignore_ascii_case(first_label(other)),
        _ => true,
    };
    is_one_domain && one_name.eq_ignore_ascii_case(other_name)
}

/// The domain, and the name in it: of `DOMAIN\bob`, of `DOMAIN+bob`, which `winbind separator` makes of it, or of `bob@domain.example`.
fn in_domain(account: &str) -> (Option<&str>, &str) {
    if let Some((domain, name)) = account.split_once(['\\', '+']) {
        return (Some(domain), name);
    }
    match account.rsplit_once('@') {
        Some((name, domain)) => (Some(domain), name),
        None => (None, account),
    }
}

/// A domain's short name, as Windows makes it of the long one.
fn first_label(domain: &str) -> &str {
    domain.split('.').next().unwrap_or_default()
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
        // Modules that name a client write the account as PAM was asked for it. Their users may choose names with `@` and `+`, and
        // those of a domain that winbind knows may not.
        let is_one: fn(&str, &str) -> bool = match forgiven.client {
            Some(_) => |one, other| one == other,
            None => is_one_account,
        };
        let last = self.0.iter().rposition(|waiting| {
            forgiven
                .client
                .is_none_or(|client| client == waiting.event.client)
                && waiting.attempt.as_deref() == forgiven.attempt.as_deref()
                && waiting.of.is_that_of(&of, is_one)
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
            // winbind names the domain, whichever separator it has, and PAM may be asked without it or by the long name.
            (("", r"DOMAIN\bob"), ("", r"DOMAIN\bob"), true),
            (("", "bob"), ("", r"DOMAIN\bob"), true),
            (("", "bob"), ("", "DOMAIN+bob"), true),
            (("", r"domain\Bob"), ("", r"DOMAIN\bob"), true),
            (("", "bob@domain.example.org"), ("", r"DOMAIN\bob"), true),
            (("", "bob@other.example.org"), ("", r"DOMAIN\bob"), false),
            (("", r"OTHER\bob"), ("", r"DOMAIN\bob"), false),
            (("", "bob"), ("", r"DOMAIN\own"), false),
            (("", "bob"), ("", "Bob"), false),
        ] {
            let login = |(user, account): (&str, &str)| Login::new(Some(user), Some(account));
            assert_eq!(
                login(failed).is_that_of(&login(succeeded), is_one_account),
                is_same,
                "{failed:?}, {succeeded:?}"
            );
        }
    }

    #[test]
    fn a_name_with_a_domain_is_that_of_another_account_where_the_client_is_named() {
        let (client, now) = ("192.0.2.1", Instant::now());
        for (named, account, left) in [
            (true, "bob", 0),
            (true, "bob@own.example", 1),
            (true, "own+bob", 1),
            (false, r"DOMAIN\bob", 0),
        ] {
            let mut held = Held::default();
            let failed = Blame {
                account: Some("bob".into()),
                ..blame(client, Some("7"))
            };
            held.add(&failed, event(client), now);
            held.forgive(&Forgiven {
                client: named.then(|| client.parse().unwrap()),
                attempt: Some("7".into()),
                user: None,
                account: Some(account.into()),
            });
            assert_eq!(held.0.len(), left, "{account}");
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
