//! Looks after the bus: whether its servers keep what they should.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use secbeat_bus::{AuditFill, Bus, Offline, Writing, broker::broker, offline};
use secbeat_common::subjects::{ALLOW_BUCKET, BANS_BUCKET, LEASES_BUCKET, TELEMETRY_STREAM};
use secbeat_daemon::time::{now_ms, rfc3339};
use strum::{EnumIter, IntoEnumIterator as _, IntoStaticStr};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    audit_watch::{Lost, Parts},
    bus_servers::{BusServer, Lasting, Servers},
};

/// Interval at which it is looked at.
const PERIOD: Duration = Duration::from_secs(3);
/// When a bucket that takes no write is a trouble; as long as a server may need to start.
const UNWRITABLE: Duration = Duration::from_secs(4);
/// Half of the writes may take so long: a lease is lost after 2.5 s without one.
const SLOW: Duration = Duration::from_millis(250);

/// What can be wrong with the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// A bucket or log is not there, or no server leads it.
    Offline,
    /// A bucket or log is there, and the server stores nothing in it.
    Unwritable,
    /// The server takes long to store something.
    Slow,
    /// A server of a cluster is not heard of by the others.
    Unreached,
    /// A server of a cluster lacks writes that the others have.
    Behind,
    /// A part of the audit was lost with its records, and made again.
    Emptied,
}

impl Kind {
    /// The name that users meet.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }
}

/// Something that is wrong with the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BusTrouble {
    pub kind: Kind,
    /// The bucket or log; the server, if it is not reached.
    pub of: String,
    pub why: String,
    /// The servers that are not reached.
    pub missing: Vec<String>,
}

/// What is known of the bus.
#[derive(Clone, Debug, Default)]
pub(crate) struct BusHealth {
    /// What is wrong, what stops bans first.
    pub troubles: Vec<BusTrouble>,
    /// The servers of a cluster.
    pub servers: Vec<BusServer>,
}

impl BusTrouble {
    /// Whether no ban can be made while it lasts. While the audit takes nothing, bans are made, and their records wait.
    pub(crate) fn stops_bans(&self) -> bool {
        matches!(self.kind, Kind::Offline | Kind::Unwritable)
            && [BANS_BUCKET, LEASES_BUCKET, ALLOW_BUCKET, TELEMETRY_STREAM].contains(&self.of.as_str())
    }
}

impl fmt::Display for BusTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            of,
            why,
            missing,
        } = self;
        match kind {
            Kind::Offline => {
                write!(f, "{of} is offline on {}: {why}", broker())?;
                match missing.as_slice() {
                    [] => Ok(()),
                    missing => write!(f, ". {}", not_reached(missing)),
                }
            }
            Kind::Unwritable => {
                write!(f, "{} stores nothing in {of}: {why}. ", broker())?;
                match (missing.as_slice(), broker()) {
                    ([], "NATS") => f.write_str("If its disk is full, free it and restart nats-server"),
                    ([], _) => f.write_str("If its disk is full, free it"),
                    (missing, _) => f.write_str(&not_reached(missing)),
                }
            }
            Kind::Unreached => write!(f, "the others have not reached the {} server {of}{why}", broker()),
            Kind::Behind => write!(
                f,
                "{why}; restart it if it does not catch up: until then it counts for no majority of {of}"
            ),
            Kind::Slow => write!(f, "{} is slow to store what is written to {of}: {why}", broker()),
            Kind::Emptied => write!(f, "{of} was lost on {} and made again: {why}", broker()),
        }
    }
}

fn not_reached(servers: &[String]) -> String {
    format!("Servers that are not reached: {}; start them", servers.join(", "))
}

/// Looks at the bus, and at what the `audit` on it was seen to hold, until nobody wants to know.
pub(crate) async fn watch_bus(
    bus: Bus,
    audit: watch::Receiver<Vec<AuditFill>>,
    tell: watch::Sender<BusHealth>,
) {
    let (mut told, mut servers, mut parts) = (BTreeSet::new(), Servers::default(), Parts::default());
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = tell.closed() => return,
        }
        // What cannot be reached is said elsewhere, and what it held before says nothing of now.
        let found = match bus.is_connected() {
            true => {
                let offline = offline(&bus).await;
                let lasting = servers.take(&bus.kept(), offline.is_empty(), Instant::now());
                let mut found = troubles(offline, bus.writing(), lasting, &servers.missing());
                let lost = parts.take(&audit.borrow(), now_ms());
                found.extend(lost.into_iter().map(of_audit));
                bus.is_connected().then_some(found)
            }
            false => None,
        };
        note(found.as_deref(), &mut told);
        tell.send_replace(BusHealth {
            troubles: found.unwrap_or_default(),
            servers: servers.all(),
        });
    }
}

fn troubles(
    offline: Vec<Offline>,
    writing: Vec<Writing>,
    lasting: Vec<Lasting>,
    missing: &[String],
) -> Vec<BusTrouble> {
    let is_offline = |name: &str| offline.iter().any(|offline| offline.name == name);
    let unwritable = writing.into_iter().filter_map(|writing| {
        if is_offline(&writing.name) {
            return None;
        }
        let of = writing.name;
        match (writing.failing, writing.median) {
            (Some((since, why)), _) if since >= UNWRITABLE => Some(BusTrouble {
                kind: Kind::Unwritable,
                of,
                why: format!("{why} for {} s", since.as_secs()),
                missing: missing.to_vec(),
            }),
            (_, Some(median)) if median >= SLOW => Some(BusTrouble {
                kind: Kind::Slow,
                of,
                why: format!("half of the writes take {} ms or more", median.as_millis()),
                missing: Vec::new(),
            }),
            _ => None,
        }
    });
    let mut troubles: Vec<_> = unwritable.collect();
    troubles.extend(offline.into_iter().map(|Offline { name, error }| BusTrouble {
        kind: Kind::Offline,
        of: name,
        why: error.to_string(),
        missing: missing.to_vec(),
    }));
    troubles.extend(lasting.into_iter().map(of_server));
    // What stops bans first.
    troubles.sort_by_key(|trouble| !trouble.stops_bans());
    troubles
}

fn of_server(lasting: Lasting) -> BusTrouble {
    let (kind, of, why) = match lasting {
        Lasting::Unreached { server, since } => {
            let why = format!(" for {} s: start it", since.as_secs());
            (Kind::Unreached, server, why)
        }
        Lasting::Behind {
            server,
            of,
            writes,
            since,
        } => {
            let seconds = since.as_secs();
            let why = match writes {
                0 => format!("the server {server} has lacked writes to {of} for {seconds} s"),
                writes => format!("the server {server} has lacked {writes} writes to {of} for {seconds} s"),
            };
            (Kind::Behind, of, why)
        }
    };
    BusTrouble {
        kind,
        of,
        why,
        missing: Vec::new(),
    }
}

fn of_audit(lost: Lost) -> BusTrouble {
    BusTrouble {
        kind: Kind::Emptied,
        of: lost.part.stream().to_owned(),
        why: format!("its records from {} on are gone", rfc3339(lost.oldest_ms)),
        missing: Vec::new(),
    }
}

/// Says what is new among troubles, and what is over; returns that. Of a bus that is away, for which there is `None`, nobody knows
/// whether what was told is over.
fn note(troubles: Option<&[BusTrouble]>, told: &mut BTreeSet<(Kind, String)>) -> Vec<(Kind, String)> {
    let Some(troubles) = troubles else {
        told.clear();
        return Vec::new();
    };
    for trouble in troubles {
        if told.insert((trouble.kind, trouble.of.clone())) {
            warn!(trouble = trouble.kind.name(), of = trouble.of, "{trouble}");
        }
    }
    let lasts = |(kind, of): &(Kind, String)| {
        let mut same = troubles.iter().filter(|trouble| trouble.kind == *kind);
        same.any(|trouble| trouble.of == *of)
    };
    let over: Vec<_> = told.iter().filter(|known| !lasts(known)).cloned().collect();
    for (kind, of) in &over {
        info!(
            trouble = kind.name(),
            of,
            "this trouble with {} is over",
            broker()
        );
    }
    told.retain(|known| !over.contains(known));
    over
}

#[cfg(test)]
mod tests {
    use secbeat_bus::Error;

    use super::*;

    fn writing(name: &str, failing_s: Option<u64>, median_ms: u64) -> Writing {
        let why = "a write was not acknowledged".to_owned();
        Writing {
            name: name.to_owned(),
            failing: failing_s.map(|seconds| (Duration::from_secs(seconds), why)),
            median: Some(Duration::from_millis(median_ms)),
        }
    }

    #[test]
    fn a_full_disk_a_stream_offline_and_a_slow_disk_are_told_apart() {
        let gone = Offline {
            name: "secbeat_rules".to_owned(),
            error: Error::Missing("KV_secbeat_rules".to_owned()),
        };
        let found = troubles(
            vec![gone],
            vec![
                writing("secbeat_edges", Some(1), 3),
                writing("secbeat_rules", Some(60), 3),
                writing("secbeat_allow", None, 400),
                writing("secbeat_bans", Some(7), 3),
            ],
            Vec::new(),
            &[],
        );
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "NATS stores nothing in secbeat_bans: a write was not acknowledged for 7 s. If its disk is full, free it and restart nats-server",
                "NATS is slow to store what is written to secbeat_allow: half of the writes take 400 ms or more",
                "secbeat_rules is offline on NATS: KV_secbeat_rules does not exist",
            ]
        );
        let stops: Vec<_> = found.iter().map(BusTrouble::stops_bans).collect();
        assert_eq!(stops, [true, false, false]);
    }

    #[test]
    fn servers_that_are_missing_or_behind_are_named_and_the_audit_stops_no_ban() {
        let since = Duration::from_secs(31);
        let found = troubles(
            Vec::new(),
            vec![
                writing("secbeat_allow", Some(7), 3),
                writing("SECBEAT_AUDIT", Some(8), 3),
            ],
            vec![
                Lasting::Behind {
                    server: "nats-1".to_owned(),
                    of: "SECBEAT_AUDIT".to_owned(),
                    writes: 344,
                    since,
                },
                Lasting::Unreached {
                    server: "nats-3".to_owned(),
                    since,
                },
            ],
            &["nats-3".to_owned()],
        );
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "NATS stores nothing in secbeat_allow: a write was not acknowledged for 7 s. Servers that are not reached: nats-3; start them",
                "NATS stores nothing in SECBEAT_AUDIT: a write was not acknowledged for 8 s. Servers that are not reached: nats-3; start them",
                "the server nats-1 has lacked 344 writes to SECBEAT_AUDIT for 31 s; restart it if it does not catch up: until then it counts for no majority of SECBEAT_AUDIT",
                "the others have not reached the NATS server nats-3 for 31 s: start it",
            ]
        );
        let stops: Vec<_> = found.iter().map(BusTrouble::stops_bans).collect();
        assert_eq!(stops, [true, false, false, false]);
    }

    #[test]
    fn a_trouble_is_told_once_and_its_end() {
        let mut told = BTreeSet::new();
        let writing = vec![writing("secbeat_bans", Some(7), 3)];
        let trouble = troubles(Vec::new(), writing, Vec::new(), &[]);
        note(Some(&trouble), &mut told);
        note(Some(&trouble), &mut told);
        assert_eq!(told.len(), 1);
        assert_eq!(
            note(Some(&[]), &mut told),
            [(Kind::Unwritable, "secbeat_bans".to_owned())]
        );
        assert!(told.is_empty());
        // A bus that goes away ends no trouble. One that is there when it is back is told again.
        note(Some(&trouble), &mut told);
        assert_eq!(note(None, &mut told), []);
        assert!(told.is_empty());
    }
}
