//! People who ban, prolong, shorten and unban by the APIs of whichever orchestrator, and who remember what they were told.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread::sleep,
    time::Duration,
};

use secbeat_common::prefix::Prefix;
use secbeat_daemon::time::now_ms;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Busy;
use crate::lab::{
    client::Response,
    fleet::{Fleet, order},
    netns::Namespace,
    pair::{FIRST, SECOND},
    random::Random,
};

const PACE: Duration = Duration::from_millis(80);
/// Who is unbanned has a ban of at least so many milliseconds left, so that it cannot end meanwhile.
const LEFT_MS: i64 = 10_000;

/// What holds for a target, as far as orchestrators said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Banned { id: Uuid, until_ms: i64 },
    Lifted { id: Uuid },
}

/// What they were told.
#[derive(Debug, Default)]
pub struct Orders {
    /// The last of each target, unless nobody knows what came of it.
    pub standing: BTreeMap<Prefix, Standing>,
    /// Every ban that was acknowledged, with its end.
    pub bans: BTreeMap<Uuid, (Prefix, i64)>,
    /// Every ban that was lifted.
    pub lifts: Vec<Uuid>,
    /// Orders that nothing came of.
    pub refused: u64,
    /// Orders without an answer.
    pub unanswered: u64,
}

/// What came of an order.
enum Outcome {
    Done(Value),
    Refused,
    Unknown,
}

struct Operator {
    host: Namespace,
    random: Random,
    targets: u32,
}

/// Lets them work at `fleet`.
#[must_use]
pub fn operate(fleet: &Fleet, random: Random) -> Busy<Orders> {
    let mut operator = Operator {
        host: fleet.host.clone(),
        random,
        targets: 0,
    };
    Busy::start(Orders::default(), move |orders| {
        operator.work(orders);
        sleep(PACE);
    })
}

impl Operator {
    fn work(&mut self, orders: &mut Orders) {
        let now = now_ms();
        let lasting: Vec<_> = orders
            .standing
            .iter()
            .filter_map(|(target, standing)| match standing {
                Standing::Banned { id, until_ms } if *until_ms > now + LEFT_MS => Some((*target, *id)),
                Standing::Banned { .. } | Standing::Lifted { .. } => None,
            })
            .collect();
        match self.random.below(10) {
            0..3 if !lasting.is_empty() => {
                let (target, id) = self.random.pick(&lasting);
                self.unban(orders, target, id);
            }
            3 if !lasting.is_empty() => {
                let (target, _) = self.random.pick(&lasting);
                self.ban(orders, target);
            }
            _ => {
                let target = self.new_target();
                self.ban(orders, target);
            }
        }
    }

    /// Never the same twice: nobody knows when an order without an answer is carried out.
    fn new_target(&mut self) -> Prefix {
        self.targets += 1;
        let n = self.targets;
        let target = match n % 5 {
            0 => Prefix::new(Ipv4Addr::from_bits(0x0a4d_0000 | n << 8).into(), 24),
            1 => {
                let net = u128::from(0x2001_0db8_0077_0000_u64 + u64::from(n));
                Ok(Prefix::single(Ipv6Addr::from_bits(net << 64).into()))
            }
            _ => Ok(Prefix::single(IpAddr::from(Ipv4Addr::from_bits(0xc612_0000 + n)))),
        };
        target.expect("a target")
    }

    fn ban(&mut self, orders: &mut Orders, target: Prefix) {
        let duration = self.random.pick(&["3s", "8s", "20s", "60s", "1h", "1h"]);
        let order =
            json!({"target": target.to_string(), "duration": duration, "note": "a storm", "shorten": true});
        match self.order("POST", "", &order.to_string()) {
            Outcome::Done(ban) => {
                let text = |key: &str| ban[key].as_str().expect("a text");
                let id: Uuid = text("command_id").parse().expect("an id");
                let until: jiff::Timestamp = text("expires_at").parse().expect("a time");
                let until_ms = until.as_millisecond();
                orders.bans.insert(id, (target, until_ms));
                orders.standing.insert(target, Standing::Banned { id, until_ms });
            }
            outcome => orders.not_done(&target, &outcome),
        }
    }

    fn unban(&mut self, orders: &mut Orders, target: Prefix, id: Uuid) {
        match self.order("DELETE", &format!("/{target}"), "") {
            Outcome::Done(_) => {
                orders.lifts.push(id);
                orders.standing.insert(target, Standing::Lifted { id });
            }
            outcome => orders.not_done(&target, &outcome),
        }
    }

    fn order(&mut self, method: &str, path: &str, body: &str) -> Outcome {
        let port = self.random.pick(&[FIRST, SECOND]);
        let answer = order(&self.host, port, method, &format!("/api/v1/bans{path}"), body);
        let Ok(Response { status, body, .. }) = answer else {
            return Outcome::Unknown;
        };
        let text = String::from_utf8_lossy(&body);
        match status {
            200 | 201 => Outcome::Done(serde_json::from_str(&text).expect("JSON")),
            404 => Outcome::Refused,
            _ if text.contains("nothing was changed") => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }
}

impl Orders {
    fn not_done(&mut self, target: &Prefix, outcome: &Outcome) {
        match outcome {
            Outcome::Refused => self.refused += 1,
            Outcome::Done(_) | Outcome::Unknown => {
                self.unanswered += 1;
                self.standing.remove(target);
            }
        }
    }
}
