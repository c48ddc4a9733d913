//! Notifications: who is told of bans and of troubles, by webhook, mail or a program.
//!
//! [`Notifier`] hears what this orchestrator decides and looks at what is so, and hands each notice to the couriers of those that want
//! it. Nothing waits for a courier: notices that do not fit are counted, and the next message says so. What a message says, and
//! when there is one, is decided in [`secbeat_orchestrator_core::notices`].

mod command;
mod courier;
mod email;
mod entry;
mod filter;
mod message;
mod notice;
mod outcome;
mod receiver;
mod report;
mod secret_file;
mod severity;
mod shapes;
mod stats;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod trial;
mod webhook;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use secbeat_daemon::geo::Geo;
pub(crate) use secbeat_orchestrator_core::notices::{EdgeFacts, Facts};
use secbeat_orchestrator_core::notices::{Every, Notice, Watch};
use tokio::{sync::mpsc, task::JoinSet};

pub(crate) use self::entry::NotifyEntry;
use self::{courier::Courier, filter::Filter, stats::Tally};
pub(crate) use self::{
    receiver::Receiver,
    stats::ReceiverStats,
    trial::{listed, try_all},
};
use crate::{
    clock::moment,
    engine::Happening,
    events::{Events, NextEvent},
};

/// Notices that may wait for one courier, which takes them in at once unless the host is very busy.
const QUEUE: usize = 1024;

/// Names of files are those in systemd's folder of credentials, or else those in `folder`, that of the config.
pub(crate) fn resolve(entries: &mut [NotifyEntry], folder: &Path) {
    for entry in entries {
        entry.resolve(folder);
    }
}

/// Checks `entries` of a config with rules of these names.
///
/// # Errors
///
/// The key that does not do, as `notify[0].url`, and why.
pub(crate) fn check(entries: &[NotifyEntry], rules: &[&str]) -> Result<(), (String, String)> {
    for (index, entry) in entries.iter().enumerate() {
        if let Some(unknown) = entry.rules.iter().find(|rule| !rules.contains(&rule.as_str())) {
            let why = format!("no rule is called `{unknown}`, or it is not enabled");
            return Err((format!("notify[{index}].rules"), why));
        }
    }
    Receiver::all(entries).map(drop)
}

/// Tells all receivers.
pub(crate) struct Notifier {
    desks: Vec<Desk>,
    couriers: JoinSet<()>,
    watch: Watch,
}

/// Where notices for one courier go.
struct Desk {
    filter: Filter,
    notices: mpsc::Sender<Notice>,
    missed: Arc<AtomicU64>,
}

/// What became of all messages; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifyStats(Arc<[Arc<Tally>]>);

impl NotifyStats {
    pub(crate) fn read(&self) -> Vec<ReceiverStats> {
        self.0.iter().map(|tally| tally.read()).collect()
    }
}

impl Notifier {
    /// A notifier of the orchestrator called `name`. Its couriers run from now on, and say by `geo` where addresses belong.
    pub(crate) fn start(receivers: Vec<Receiver>, name: &str, geo: &Geo) -> (Self, NotifyStats) {
        let (mut desks, mut tallies, mut couriers) = (Vec::new(), Vec::new(), JoinSet::new());
        for receiver in receivers {
            let (notices, taken) = mpsc::channel(QUEUE);
            let tally = Arc::new(Tally::new(receiver.name.clone(), receiver.kind));
            let missed = Arc::<AtomicU64>::default();
            desks.push(Desk {
                filter: receiver.filter.clone(),
                notices,
                missed: missed.clone(),
            });
            tallies.push(tally.clone());
            let courier = Courier {
                receiver: Arc::new(receiver),
                notices: taken,
                missed,
                tally,
                orchestrator: name.to_owned(),
                geo: geo.clone(),
            };
            couriers.spawn(courier.run());
        }
        let notifier = Self {
            desks,
            couriers,
            watch: Watch::new(name.to_owned()),
        };
        (notifier, NotifyStats(tallies.into()))
    }

    /// Whether there is nobody to tell.
    pub(crate) fn is_idle(&self) -> bool {
        self.desks.is_empty()
    }

    /// Of what there are to be reports.
    pub(crate) fn reports(&self) -> BTreeSet<Every> {
        self.desks.iter().filter_map(|desk| desk.filter.report).collect()
    }

    /// Tells of `events`, of what is so by `facts`, and of `reports`, until the events end. Then waits for the couriers.
    pub(crate) async fn run(
        mut self,
        events: Events<Happening>,
        mut facts: mpsc::Receiver<Facts>,
        mut reports: mpsc::Receiver<Notice>,
    ) {
        let mut reader = events.follow(None);
        loop {
            tokio::select! {
                told = reader.next() => match told {
                    Some(NextEvent::Event(event)) => {
                        if let Some(notice) = notice::of(event.at_ms, &event.what) {
                            self.tell(&notice);
                        }
                    }
                    Some(NextEvent::Lagged(missed)) => self.missed(missed.unwrap_or_default()),
                    None => break,
                },
                Some(facts) = facts.recv() => {
                    for notice in self.watch.look(facts, moment()) {
                        self.tell(&notice);
                    }
                }
                Some(report) = reports.recv() => self.tell(&report),
            }
        }
        self.desks.clear();
        self.couriers.join_all().await;
    }

    fn tell(&self, notice: &Notice) {
        for desk in self.desks.iter().filter(|desk| desk.filter.wants(notice)) {
            if desk.notices.try_send(notice.clone()).is_err() {
                desk.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn missed(&self, missed: u64) {
        for desk in &self.desks {
            desk.missed.fetch_add(missed, Ordering::Relaxed);
        }
    }
}
