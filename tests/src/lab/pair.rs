//! A fleet with two orchestrators, which share the partitions.

use std::{net::IpAddr, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    subjects::{AuditPart, PARTITIONS},
};
use serde_json::Value;

use crate::lab::{
    fleet::{Fleet, Options},
    process::Daemon,
    wait::wait_until,
};

/// Where their APIs listen.
pub const FIRST: u16 = 3030;
pub const SECOND: u16 = 3031;

const SHARED: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// Two orchestrators with an edge.
#[derive(Debug)]
pub struct Pair {
    pub fleet: Fleet,
    pub second: Daemon,
}

impl Pair {
    /// Starts everything and waits until each orchestrator owns half of the partitions.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let fleet = Fleet::start(options);
        let second = fleet.another_orchestrator(SECOND);
        let pair = Self { fleet, second };
        pair.await_shares(8);
        pair
    }

    /// Waits until each owns `share` partitions.
    pub fn await_shares(&self, share: usize) {
        wait_until("the partitions are shared", SHARED, || {
            [FIRST, SECOND].map(|port| self.owned(port).len()) == [share; 2]
        });
    }

    /// The partitions that the orchestrator at `port` owns.
    ///
    /// # Panics
    ///
    /// When it says something else than partitions.
    #[must_use]
    pub fn owned(&self, port: u16) -> Vec<u16> {
        let leases = self.leases(port);
        leases.into_iter().map(|(partition, _)| partition).collect()
    }

    /// The same with the epochs of its leases.
    ///
    /// # Panics
    ///
    /// As [`owned`](Self::owned).
    #[must_use]
    pub fn leases(&self, port: u16) -> Vec<(u16, u64)> {
        let stats = self.fleet.orchestrator_stats_at(port);
        let leases = stats.map(|stats| stats["leases"]["partitions"].clone());
        let partitions = leases.as_ref().and_then(Value::as_array);
        let lease = |view: &Value| {
            let partition = view["partition"].as_u64().and_then(|n| u16::try_from(n).ok());
            Some((partition.expect("a partition"), view["epoch"].as_u64()?))
        };
        partitions.into_iter().flatten().filter_map(lease).collect()
    }

    /// Whose the partition of `address` is, and whose it is not.
    #[must_use]
    pub fn owner_and_other(&self, address: IpAddr) -> (u16, u16) {
        let partition = Prefix::single(address).partition(PARTITIONS);
        match self.owned(FIRST).contains(&partition) {
            true => (FIRST, SECOND),
            false => (SECOND, FIRST),
        }
    }

    /// The orchestrator at `port`.
    pub fn daemon(&mut self, port: u16) -> &mut Daemon {
        match port {
            FIRST => &mut self.fleet.orchestrator,
            _ => &mut self.second,
        }
    }

    /// Errors that the one at `port` has seen.
    #[must_use]
    pub fn events(&self, port: u16) -> u64 {
        let stats = self.fleet.orchestrator_stats_at(port);
        stats.and_then(|stats| stats["events"].as_u64()).unwrap_or(0)
    }

    pub fn await_events(&self, port: u16, events: u64) {
        wait_until(
            &format!("the orchestrator at {port} has seen {events} errors"),
            PATIENCE,
            || self.events(port) >= events,
        );
    }

    pub fn await_all(&self, port: u16, bound: Duration) {
        wait_until(&format!("{port} owns all"), bound, || {
            self.owned(port).len() == usize::from(PARTITIONS)
        });
    }

    /// What the API at `port` answers.
    ///
    /// # Panics
    ///
    /// When it does not answer with JSON.
    #[must_use]
    pub fn ask(&self, port: u16, path: &str) -> Value {
        let answer = self.fleet.order(port, "GET", path, "").expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The bans that `port` lists: targets and ids.
    ///
    /// # Panics
    ///
    /// When it does not list them.
    #[must_use]
    pub fn bans(&self, port: u16) -> Vec<(String, String)> {
        let page = self.ask(port, "/api/v1/bans");
        assert!(page["next"].is_null(), "more than a page");
        let text = |ban: &Value, key: &str| ban[key].as_str().expect("a text").to_owned();
        let bans = page["bans"].as_array().expect("bans").iter();
        bans.map(|ban| (text(ban, "target"), text(ban, "command_id")))
            .collect()
    }

    /// Bans in the audit.
    #[must_use]
    pub fn audited(&self) -> u64 {
        let parts = AuditPart::ALL.into_iter().filter(|part| part.holds("ban"));
        parts
            .map(|part| self.fleet.nats.messages(part.stream(), &part.record("ban", ">")))
            .sum()
    }

    /// Waits until the audit has exactly so many bans.
    ///
    /// # Panics
    ///
    /// When it has more.
    pub fn await_audited(&self, bans: u64) {
        wait_until("the audit has the ban", PATIENCE, || self.audited() >= bans);
        assert_eq!(self.audited(), bans, "a ban was doubled");
    }
}
