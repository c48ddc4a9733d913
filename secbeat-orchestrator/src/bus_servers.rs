//! The servers of the bus, as those among them say that lead buckets and logs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use secbeat_bus::Kept;

/// A server that no leader has heard of for so long is not reached. They hear of each other every second.
const SILENT: Duration = Duration::from_secs(6);
/// Time that a server has to be unreached to be a trouble: a new leader has heard of nobody yet.
const UNREACHED: Duration = Duration::from_secs(3);
/// Time that a copy has to lack writes at each look to be a trouble: while there are many writes, some are always on their way.
const BEHIND: Duration = Duration::from_secs(30);

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BusServer {
    pub name: String,
    pub is_reached: bool,
    /// Buckets and logs that it leads.
    pub leads: usize,
    /// Buckets and logs that it keeps, led or followed.
    pub keeps: usize,
    /// Writes missing from its copies, by bucket or stream. One that lacks some may be shown as 0.
    pub behind: BTreeMap<String, u64>,
}

/// What has lasted long enough to be a trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    Unreached {
        server: String,
        since: Duration,
    },
    Behind {
        server: String,
        of: String,
        writes: u64,
        since: Duration,
    },
}

/// All servers that were heard of, and since when something is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    known: BTreeMap<String, BusServer>,
    /// By the server and, where it lacks writes, the bucket or log.
    since: BTreeMap<(String, Option<String>), Instant>,
    /// Number of writes that each copy lacked at the latest look, in the same order.
    lacked: BTreeMap<(String, Option<String>), u64>,
}

impl Servers {
    /// Returns what the leaders say at `now`. Where not `all` of them answered, what is not told is as it was.
    pub(crate) fn take(&mut self, kept: &[Kept], all: bool, now: Instant) -> Vec<Lasting> {
        let seen = told(kept);
        match all {
            true => self.known = seen,
            false => self.known.extend(seen),
        }
        let wrong: Vec<_> = self.known.values().flat_map(wrong).collect();
        let lacks = |key: &(String, Option<String>)| {
            let (server, of) = key;
            self.known.get(server)?.behind.get(of.as_ref()?).copied()
        };
        let lacked: BTreeMap<_, _> = wrong
            .iter()
            .filter_map(|key| Some((key.clone(), lacks(key)?)))
            .collect();
        // Where there are many writes, some are always on their way, now more and now fewer. A copy that is stuck never lacks fewer.
        let catches_up = |key: &(String, Option<String>)| match (self.lacked.get(key), lacked.get(key)) {
            (Some(before), Some(now)) => now < before && *now > 0,
            _ => false,
        };
        self.since
            .retain(|key, _| wrong.contains(key) && !catches_up(key));
        self.lacked = lacked;
        let mut lasting = Vec::new();
        for key in wrong {
            let since = now.saturating_duration_since(*self.since.entry(key.clone()).or_insert(now));
            match key {
                (server, None) if since >= UNREACHED => lasting.push(Lasting::Unreached { server, since }),
                (server, Some(of)) if since >= BEHIND => {
                    let known = self.known.get(&server);
                    let writes = known.and_then(|known| known.behind.get(&of)).copied();
                    let writes = writes.unwrap_or_default();
                    lasting.push(Lasting::Behind {
                        server,
                        of,
                        writes,
                        since,
                    });
                }
                _ => {}
            }
        }
        lasting
    }

    /// Those that were heard of, by name.
    pub(crate) fn all(&self) -> Vec<BusServer> {
        self.known.values().cloned().collect()
    }

    /// Those that no other one reaches.
    pub(crate) fn missing(&self) -> Vec<String> {
        let missing = self.known.values().filter(|server| !server.is_reached);
        missing.map(|server| server.name.clone()).collect()
    }
}

/// Returns what is wrong with a server. One that is not reached lacks writes for that alone.
fn wrong(server: &BusServer) -> Vec<(String, Option<String>)> {
    let name = &server.name;
    match server.is_reached {
        false => vec![(name.clone(), None)],
        true => server
            .behind
            .keys()
            .map(|of| (name.clone(), Some(of.clone())))
            .collect(),
    }
}

fn told(kept: &[Kept]) -> BTreeMap<String, BusServer> {
    let mut servers: BTreeMap<String, BusServer> = BTreeMap::new();
    for Kept {
        name: of,
        leader,
        followers,
    } in kept
    {
        let server = named(&mut servers, leader);
        server.is_reached = true;
        server.leads += 1;
        for follower in followers {
            let server = named(&mut servers, &follower.server);
            // A leader that is new and has never heard of a server says that it heard of it just now.
            let was_heard = follower.is_current || !follower.silent.is_zero();
            server.is_reached |= !follower.is_offline && follower.silent < SILENT && was_heard;
            if !follower.is_current {
                server.behind.insert(of.clone(), follower.behind);
            }
        }
    }
    servers
}

/// The server `name`, which keeps one more.
fn named<'a>(servers: &'a mut BTreeMap<String, BusServer>, name: &str) -> &'a mut BusServer {
    let server = servers.entry(name.to_owned()).or_insert_with(|| BusServer {
        name: name.to_owned(),
        ..BusServer::default()
    });
    server.keeps += 1;
    server
}

#[cfg(test)]
mod tests {
    use secbeat_bus::Following;

    use super::*;

    fn kept(name: &str, leader: &str, followers: &[(&str, u64, bool, u64)]) -> Kept {
        let follower = |(server, silent_s, is_current, behind): &(&str, u64, bool, u64)| Following {
            server: (*server).to_owned(),
            silent: Duration::from_millis(1000 * silent_s + 1),
            is_offline: false,
            is_current: *is_current,
            behind: *behind,
        };
        Kept {
            name: name.to_owned(),
            leader: leader.to_owned(),
            followers: followers.iter().map(follower).collect(),
        }
    }

    #[test]
    fn a_server_that_is_gone_and_one_that_stays_behind_are_told_once_that_lasts() {
        let mut servers = Servers::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let stuck = [
            kept("bans", "n1", &[("n2", 0, true, 0), ("n3", 1, true, 0)]),
            kept("audit", "n2", &[("n1", 0, true, 0), ("n3", 1, false, 344)]),
        ];
        assert!(servers.take(&stuck, true, at(0)).is_empty());
        assert!(servers.take(&stuck, true, at(27)).is_empty());
        let behind = Lasting::Behind {
            server: "n3".to_owned(),
            of: "audit".to_owned(),
            writes: 344,
            since: Duration::from_secs(30),
        };
        assert_eq!(servers.take(&stuck, true, at(30)), [behind]);
        let [n1, _, n3] = <[BusServer; 3]>::try_from(servers.all()).unwrap();
        assert_eq!((n1.leads, n1.keeps, n1.behind.len()), (1, 2, 0));
        assert_eq!((n3.leads, n3.keeps, n3.behind["audit"]), (0, 2, 344));
        let gone = [kept("bans", "n1", &[("n2", 0, true, 0), ("n3", 7, false, 9)])];
        assert!(servers.take(&gone, true, at(33)).is_empty());
        let unreached = |since| Lasting::Unreached {
            server: "n3".to_owned(),
            since: Duration::from_secs(since),
        };
        assert_eq!(servers.take(&gone, true, at(36)), [unreached(3)]);
        assert_eq!(servers.missing(), ["n3"]);
        let mut unheard = kept("bans", "n1", &[("n3", 0, false, 9)]);
        unheard.followers[0].silent = Duration::ZERO;
        assert_eq!(servers.take(&[unheard], true, at(37)), [unreached(4)]);
        // Without a leader, nobody answers, and what was known still is.
        assert_eq!(servers.take(&[], false, at(39)), [unreached(6)]);
        assert!(servers.take(&[kept("bans", "n1", &[])], true, at(42)).is_empty());
        assert_eq!(servers.all().len(), 1);
    }

    #[test]
    fn writes_on_their_way_are_no_trouble() {
        let mut servers = Servers::default();
        let began = Instant::now();
        for seconds in 0..60 {
            let is_current = seconds % 20 == 0;
            let kept = kept("bans", "n1", &[("n2", 0, is_current, 3)]);
            let at = began + Duration::from_secs(seconds);
            assert!(servers.take(&[kept], true, at).is_empty());
        }
        for (seconds, lacks) in (60..120).zip([3, 1, 2, 1, 3, 2].into_iter().cycle()) {
            let kept = kept("telemetry", "n1", &[("n2", 0, false, lacks)]);
            let at = began + Duration::from_secs(seconds);
            assert!(servers.take(&[kept], true, at).is_empty(), "{seconds}");
        }
    }
}
