//! An attacker that asks for missing pages until it is banned.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    lab::{
        client::Client,
        fleet::{Family, Fleet},
        interrupt::heed,
        wait::wait_until,
    },
    scenario::{
        knock::{Enforced, Knocker, watch},
        moment::{decided, ms_between},
    },
};

/// Errors within 60 s that ban.
pub const LIMIT: usize = 50;
/// Requests in an attack.
pub const REQUESTS: usize = 60;

/// Between two requests: slow enough that the ban comes before the last of them.
const PACE: Duration = Duration::from_millis(3);
/// Patience with the edge while it should answer.
const PATIENT: Duration = Duration::from_millis(500);
/// Patience once it has stopped to.
const IMPATIENT: Duration = Duration::from_millis(100);
/// Between two packets that nobody waits for.
const KNOCK_PACE: Duration = Duration::from_micros(200);
/// By when a ban must have come.
const BANNED_WITHIN: Duration = Duration::from_secs(10);

/// What became of an attack's requests.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// When each 404 was read.
    pub errors: Vec<SystemTime>,
    /// Answered 403: the proxy knew of the ban before the kernel did.
    pub refused: usize,
    /// Not answered at all.
    pub unanswered: usize,
}

impl Answers {
    /// For a sentence about the attack.
    #[must_use]
    pub fn summary(&self) -> String {
        let (errors, unanswered) = (self.errors.len(), self.unanswered);
        match self.refused {
            0 => format!("{errors} answered with 404, {unanswered} not answered at all"),
            refused => format!("{errors} answered with 404, {refused} with 403, {unanswered} not at all"),
        }
    }
}

/// An attack that was ended by a ban.
#[derive(Clone, Debug)]
pub struct Attack {
    pub answers: Answers,
    pub decided: SystemTime,
    pub enforced: Enforced,
}

impl Attack {
    /// When the error was answered that bans.
    #[must_use]
    pub fn fiftieth_error(&self) -> SystemTime {
        self.answers.errors[LIMIT - 1]
    }

    /// What happened when, in milliseconds since the first error was answered; in the order of time.
    #[must_use]
    pub fn timeline(&self) -> Vec<(f64, &'static str)> {
        let since = |at| ms_between(self.answers.errors[0], at);
        let mut rows = vec![
            (0.0, "first error answered"),
            (since(self.fiftieth_error()), "50th error answered"),
            (since(self.decided), "ban decided by the orchestrator"),
            (since(self.enforced.in_kernel), "ban in the kernel"),
            (since(self.enforced.first_drop), "first packet dropped"),
        ];
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows
    }
}

/// Sends [`REQUESTS`] requests for missing pages from the attacker's address, and watches the kernel meanwhile.
///
/// # Panics
///
/// When fewer than [`LIMIT`] are answered with 404, when no ban comes, and when one after the ban is served.
#[must_use]
pub fn attack(fleet: &Fleet, family: Family) -> Attack {
    let source = family.attacker();
    let bans = fleet.pins().open_bans().expect("the edge has pinned its maps");
    let watch = thread::spawn(move || watch(&bans, source, BANNED_WITHIN, || ()));
    let answers = send_requests(fleet, family);
    let answered = answers.errors.len();
    assert!(
        answered >= LIMIT,
        "only {answered} of {REQUESTS} requests were answered with 404"
    );
    // Where the ban came after the last request, the attacker's host says something more for the kernel to drop.
    let knocker = Knocker::new(fleet, family, source);
    while !watch.is_finished() {
        knocker.knock();
        thread::sleep(KNOCK_PACE);
    }
    let enforced = watch.join().expect("the watch of the kernel died");
    heed();
    let enforced = enforced.unwrap_or_else(|| {
        panic!(
            "no ban dropped a packet of {source} within {BANNED_WITHIN:?} ({})",
            answers.summary()
        )
    });
    let decided = decision(fleet, source);
    Attack {
        answers,
        decided,
        enforced,
    }
}

fn send_requests(fleet: &Fleet, family: Family) -> Answers {
    let (mut client, mut answers) = (fleet.attacking(family).with_timeout(PATIENT), Answers::default());
    for n in 1..=REQUESTS {
        heed();
        match client.get(&format!("http://{}/missing-{n}", family.edge_for_attacker())) {
            Ok(404) => {
                assert_eq!(
                    answers.unanswered, 0,
                    "request {n} was answered after one that was not"
                );
                answers.errors.push(SystemTime::now());
            }
            Ok(403) => answers.refused += 1,
            Ok(status) => panic!("request {n} was answered {status}"),
            Err(error) => {
                assert!(answers.errors.len() >= LIMIT, "request {n}: {error}");
                answers.unanswered += 1;
                client = fleet.attacking(family).with_timeout(IMPATIENT);
            }
        }
        thread::sleep(PACE);
    }
    answers
}

/// When the orchestrator decided to ban `source`.
#[must_use]
pub fn decision(fleet: &Fleet, source: IpAddr) -> SystemTime {
    wait_until("the orchestrator's audit line of the ban", BANNED_WITHIN, || {
        decided(&fleet.orchestrator.log(), source)
    })
}

/// A new client on the attacker's host, which does not wait long.
#[must_use]
pub fn newcomer(fleet: &Fleet, family: Family) -> Client {
    fleet.attacking(family).with_timeout(IMPATIENT)
}
