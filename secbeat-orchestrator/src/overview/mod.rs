//! The present state, looked at once for all who have the web page open: each message is made once, and shared.

mod latest;
mod series;
mod stream;

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use secbeat_daemon::time::{now_ms, rfc3339};
use secbeat_orchestrator_core::ledger::{ActiveBan, BanOrder, BanQuery, SortKey};
use serde::Serialize;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use self::stream::{RECHECK, Watched};
use self::{
    latest::{BANS, Latest},
    series::{Counters, Steps},
};
use crate::{
    engine::{Glance, Happening},
    events::{Event, Events},
    view::{Alert, ApiStats, Change, EdgeGlance, FleetEdge, Overview, RuleGlance, alerts},
};

/// Seconds from look to look while nobody watches.
const UNWATCHED: u32 = 2;
/// Interval at which it is told what is so if nothing changes.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Events kept for those who come back.
const RING: usize = 1_000;
/// Who may watch at a time.
const MAX_WATCHERS: usize = 64;
/// Clients near a threshold that are shown.
pub(crate) const NEAREST: usize = 10;

/// Something that happened, on the stream: each event's data.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Happened {
    /// RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub change: Change,
}

/// An alarm that began or ended: the data of the event `alarm`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AlarmChange {
    /// RFC 3339.
    pub at: String,
    /// Whether it began; else it is over.
    pub is_raised: bool,
    #[serde(flatten)]
    pub alarm: Alert,
}

/// The end of an event of the stream, behind its id: made once for all.
pub(crate) type Frame = Bytes;

/// Source of the news of the web page. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    /// What happened, with ids.
    ring: Events<Frame>,
    /// What is so, and the same as a frame.
    now: Arc<watch::Sender<(Arc<Overview>, Frame)>>,
    seats: Arc<Semaphore>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            ring: Events::new(RING, now_ms()),
            now: Arc::new(watch::Sender::new(Default::default())),
            seats: Arc::new(Semaphore::new(MAX_WATCHERS)),
        }
    }
}

impl Hub {
    /// Returns what was so when it was last looked.
    pub(crate) fn overview(&self) -> Arc<Overview> {
        self.now.borrow().0.clone()
    }

    /// Returns who looks, for all who watch.
    pub(crate) fn watch(&self) -> Watch {
        Watch {
            hub: self.clone(),
            ticks: 0,
            told: None,
            latest: Latest::default(),
            is_filled: false,
            steps: Steps::default(),
            alarms: Vec::new(),
        }
    }

    fn is_watched(&self) -> bool {
        self.seats.available_permits() < MAX_WATCHERS
    }

    fn tell_alarms(&self, before: &[Alert], now: &[Alert], at_ms: i64) {
        let is_same = |one: &Alert, other: &Alert| one.alert == other.alert && one.about == other.about;
        let only_in = |these: &[Alert], those: &[Alert]| {
            let of_these = these
                .iter()
                .filter(|one| !those.iter().any(|other| is_same(one, other)));
            of_these.cloned().collect::<Vec<_>>()
        };
        for (is_raised, alarms) in [(true, only_in(now, before)), (false, only_in(before, now))] {
            for alarm in alarms {
                let at = rfc3339(at_ms);
                let change = AlarmChange { at, is_raised, alarm };
                self.ring.tell(frame("alarm", &change));
            }
        }
    }
}

/// Looks, and remembers what it saw.
pub(crate) struct Watch {
    hub: Hub,
    ticks: u32,
    told: Option<Instant>,
    latest: Latest,
    /// Whether `latest` has the bans from before the start.
    is_filled: bool,
    steps: Steps,
    alarms: Vec<Alert>,
}

impl Watch {
    /// Tells what has happened.
    pub(crate) fn note(&mut self, event: &Event<Happening>) {
        self.latest.note(&event.what);
        if let Some(change) = Change::new(&event.what) {
            let name = change.kind();
            let at = rfc3339(event.at_ms);
            self.hub.ring.tell(frame(name, &Happened { at, change }));
        }
    }

    /// Whether it is to be looked now, a second after the last time that this was asked.
    pub(crate) fn is_due(&mut self) -> bool {
        self.ticks = self.ticks.wrapping_add(1);
        self.hub.is_watched() || self.ticks.is_multiple_of(UNWATCHED)
    }

    /// The bans that are missing: those from before the start, once they are known.
    pub(crate) fn missing(&self, stats: &ApiStats) -> Option<BanQuery> {
        (stats.engine.restored && !self.is_filled).then(|| BanQuery {
            order: BanOrder {
                by: SortKey::Issued,
                is_descending: true,
            },
            limit: Some(BANS),
            ..BanQuery::default()
        })
    }

    /// Takes them in.
    pub(crate) fn fill(&mut self, earlier: &[ActiveBan]) {
        self.is_filled = true;
        self.latest.fill(earlier);
    }

    /// The bans that are shown.
    pub(crate) fn commands(&self) -> Vec<Uuid> {
        self.latest.commands()
    }

    /// Nothing happens any more.
    pub(crate) fn end(self) {
        self.hub.ring.end();
    }

    /// Takes in what is so.
    pub(crate) fn look(&mut self, stats: &ApiStats, edges: &[FleetEdge], glance: Glance) {
        self.latest.answered(&glance.answers);
        let at_ms = now_ms();
        self.steps
            .take(counters(glance.counted, edges, &self.latest), at_ms);
        let alarms = alerts(stats, edges);
        self.hub.tell_alarms(&self.alarms, &alarms, at_ms);
        self.alarms.clone_from(&alarms);
        let overview = Overview {
            at: rfc3339(at_ms),
            version: stats.version.clone(),
            instance: stats.leases.instance.clone(),
            alarms,
            active_bans: stats.engine.active_bans,
            tracked_sources: stats.engine.tracked_sources,
            series: self.steps.series(),
            edges: edges.iter().map(|edge| at_a_glance(edge, &self.steps)).collect(),
            rules: rules(stats, &self.latest),
            nearest: glance.nearest.into_iter().map(Into::into).collect(),
            latest: self.latest.bans(),
        };
        let is_news = self.hub.now.borrow().0.is_unlike(&overview);
        let is_late = self.told.is_none_or(|told| told.elapsed() >= KEEP_ALIVE);
        if is_news || is_late {
            self.told = Some(Instant::now());
            let frame = frame("overview", &overview);
            self.hub.now.send_replace((Arc::new(overview), frame));
        }
    }
}

impl Overview {
    /// Whether somebody sees a difference, beside the time that passes.
    fn is_unlike(&self, other: &Self) -> bool {
        let without_time = |overview: &Self| {
            let mut overview = overview.clone();
            overview.at.clear();
            overview.series.end_ms = 0;
            overview
        };
        without_time(self) != without_time(other)
    }
}

fn counters((requests, errors): (u64, u64), edges: &[FleetEdge], latest: &Latest) -> Counters {
    let of_edge = |edge: &FleetEdge| {
        let requests = edge.telemetry.as_ref().map_or(0, |telemetry| telemetry.requests);
        (
            edge.standing.edge_id.clone(),
            (edge.record.drops.packets, requests),
        )
    };
    Counters {
        requests,
        errors,
        bans: latest.made(),
        lifted: latest.lifted(),
        edges: edges.iter().map(of_edge).collect(),
    }
}

fn at_a_glance(edge: &FleetEdge, steps: &Steps) -> EdgeGlance {
    let record = &edge.record;
    let (dropped_last_minute, requests_last_minute) = steps.last_minute(&record.edge_id);
    EdgeGlance {
        edge_id: record.edge_id.clone(),
        state: edge.standing.state.name().to_owned(),
        observe_only: record.observe_only,
        is_unprotected: record
            .interfaces
            .iter()
            .any(|interface| interface.unprotected.is_some()),
        bans: record.bans.active,
        dropped_packets: record.drops.packets,
        dropped_bytes: record.drops.bytes,
        dropped_last_minute,
        requests_last_minute,
    }
}

fn rules(stats: &ApiStats, latest: &Latest) -> Vec<RuleGlance> {
    let rules = stats.engine.rules.iter().map(|(rule, outcomes)| RuleGlance {
        rule: rule.clone(),
        outcomes: *outcomes,
        lately: latest.findings_of(rule),
    });
    rules.collect()
}

/// An event of the stream without its id. Our own types always have a JSON, which has no line ends.
fn frame(name: &str, data: &impl Serialize) -> Frame {
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}
