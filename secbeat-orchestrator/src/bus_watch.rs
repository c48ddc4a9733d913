//! Looks after the bus: whether its servers keep what they should.

use std::{collections::BTreeSet, fmt, time::Duration};

use secbeat_bus::{Bus, Offline, Writing, broker::broker, offline};
use secbeat_common::subjects::{ALLOW_BUCKET, BANS_BUCKET, LEASES_BUCKET, TELEMETRY_STREAM};
use strum::{EnumIter, IntoEnumIterator as _, IntoStaticStr};
use tokio::sync::watch;
use tracing::{info, warn};

/// How often it is looked at.
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
    /// The bucket or log.
    pub of: String,
    pub why: String,
}

impl BusTrouble {
    /// Whether no ban can be made while it lasts.
    pub(crate) fn stops_bans(&self) -> bool {
        self.kind != Kind::Slow
            && [BANS_BUCKET, LEASES_BUCKET, ALLOW_BUCKET, TELEMETRY_STREAM].contains(&self.of.as_str())
    }
}

impl fmt::Display for BusTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, of, why } = self;
        match kind {
            Kind::Offline => write!(f, "{of} is offline on {}: {why}", broker()),
            Kind::Unwritable => write!(
                f,
                "{} stores nothing in {of}: {why}. If its disk is full, free it{}",
                broker(),
                match broker() {
                    "NATS" => " and restart nats-server",
                    _ => "",
                }
            ),
            Kind::Slow => write!(f, "{} is slow to store what is written to {of}: {why}", broker()),
        }
    }
}

/// Looks at the bus until nobody wants to know.
pub(crate) async fn watch_bus(bus: Bus, tell: watch::Sender<Vec<BusTrouble>>) {
    let mut told = BTreeSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = tell.closed() => return,
        }
        // What cannot be reached is said elsewhere, and what it held before says nothing of now.
        let troubles = match bus.is_connected() {
            true => troubles(offline(&bus).await, bus.writing()),
            false => Vec::new(),
        };
        note(&troubles, &mut told);
        tell.send_replace(troubles);
    }
}

fn troubles(offline: Vec<Offline>, writing: Vec<Writing>) -> Vec<BusTrouble> {
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
            }),
            (_, Some(median)) if median >= SLOW => Some(BusTrouble {
                kind: Kind::Slow,
                of,
                why: format!("half of the writes take {} ms or more", median.as_millis()),
            }),
            _ => None,
        }
    });
    let mut troubles: Vec<_> = unwritable.collect();
    troubles.extend(offline.into_iter().map(|Offline { name, error }| BusTrouble {
        kind: Kind::Offline,
        of: name,
        why: error.to_string(),
    }));
    // What stops bans first.
    troubles.sort_by_key(|trouble| !trouble.stops_bans());
    troubles
}

/// Says what is new among troubles, and what is over.
fn note(troubles: &[BusTrouble], told: &mut BTreeSet<(Kind, String)>) {
    for trouble in troubles {
        if told.insert((trouble.kind, trouble.of.clone())) {
            warn!(trouble = trouble.kind.name(), of = trouble.of, "{trouble}");
        }
    }
    told.retain(|(kind, of)| {
        let lasts = troubles
            .iter()
            .any(|trouble| trouble.kind == *kind && trouble.of == *of);
        if !lasts {
            info!(
                trouble = kind.name(),
                of,
                "this trouble with {} is over",
                broker()
            );
        }
        lasts
    });
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
    fn a_trouble_is_told_once_and_its_end() {
        let mut told = BTreeSet::new();
        let trouble = troubles(Vec::new(), vec![writing("secbeat_bans", Some(7), 3)]);
        note(&trouble, &mut told);
        note(&trouble, &mut told);
        assert_eq!(told.len(), 1);
        note(&[], &mut told);
        assert!(told.is_empty());
    }
}
