//! Brings what is so to the notifier.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use secbeat_common::subjects::PRESENCE_TTL;
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::{
    notices::{Every, Notice},
    presence::{Agreement, DownCause, Edge, State},
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::debug;

use super::reported;
use crate::{
    api::Api,
    engine::Input,
    notify::{EdgeFacts, Facts, Notifier},
    view::ApiStats,
};

/// Interval at which it is looked what is so.
const LOOK: Duration = Duration::from_secs(2);
/// Interval at which it is looked whether there is something to report.
const REPORT: Duration = Duration::from_secs(20);
/// How long after a connection every edge has been heard of, or is not there.
const ALL_HEARD: Duration = PRESENCE_TTL.saturating_add(Duration::from_secs(5));

/// Notifies until the events of `api` end, and those who are to be told have been.
pub(super) async fn run(notifier: Notifier, api: Api) {
    if notifier.is_idle() {
        return;
    }
    let (tell, facts) = mpsc::channel(1);
    let (tell_report, reports) = mpsc::channel(1);
    let (events, every) = (api.events.clone(), notifier.reports());
    tokio::select! {
        () = notifier.run(events, facts, reports) => {}
        () = look(&api, &tell) => {}
        () = report(&api, &every, &tell_report) => {}
    }
}

/// Brings reports of each time that is over, for ever: for the fleet, the orchestrator does that has the first partition.
async fn report(api: &Api, every: &BTreeSet<Every>, tell: &mpsc::Sender<Notice>) {
    let mut ticks = tokio::time::interval(REPORT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let tells = api.leases.borrow().owns_the_first();
        for every in every.iter().filter(|_| tells) {
            match api.reports.to_tell(*every, now_ms()).await {
                Ok(None) => {}
                // The notifier takes it.
                Ok(Some(over)) => drop(tell.send(reported::notice(&over)).await),
                Err(error) => debug!(
                    "cannot report on the last {} yet, retrying: {error:#}",
                    every.name()
                ),
            }
        }
    }
}

/// Looks for ever.
async fn look(api: &Api, tell: &mpsc::Sender<Facts>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connected = None;
    loop {
        ticks.tick().await;
        // An engine that is too busy to answer is asked again.
        if let Some(facts) = facts(api, &mut connected).await {
            let _ = tell.try_send(facts);
        }
    }
}

async fn facts(api: &Api, connected: &mut Option<Instant>) -> Option<Facts> {
    let stats = api.stats().await.ok()?;
    let edges = api.ask(|reply| Input::Edges { reply }).await.ok()?;
    *connected = match stats.bus_connected {
        true => Some(connected.unwrap_or_else(Instant::now)),
        false => None,
    };
    let all_heard = connected.is_some_and(|since| since.elapsed() >= ALL_HEARD);
    let edges = edges.iter().map(|(edge, _)| of_edge(edge));
    Some(Facts {
        tells_of_edges: api.leases.borrow().owns_the_first(),
        brake: brake(&stats),
        not_ready: stats.not_ready,
        edges: all_heard.then(|| edges.collect()),
        feeds: all_heard.then(|| api.feeds.untaken()),
    })
}

fn brake(stats: &ApiStats) -> Option<String> {
    let engine = &stats.engine;
    let limit = match &engine.brake {
        Some(brake) => format!("the safety limit `{brake}` is reached"),
        None if engine.held_back > 0 => format!("a safety limit is reached{}", engine.limits()),
        None => return None,
    };
    Some(format!("{limit}, and {} clients wait", engine.held_back))
}

fn of_edge(edge: &Edge) -> EdgeFacts {
    let unprotected = edge.record.interfaces.iter().find_map(|interface| {
        let why = interface.unprotected.as_ref()?;
        Some(format!("{}: {why}", interface.name))
    });
    let difference = match edge.agreement {
        Agreement::Differs(difference) => {
            format!("it holds {} of {} bans", difference.held, difference.issued)
        }
        Agreement::Agrees | Agreement::Unknown => "for longer than edges.drift_grace".to_owned(),
    };
    EdgeFacts {
        edge_id: edge.record.edge_id.clone(),
        down: match edge.state {
            State::Up => None,
            State::Down(DownCause::Stopped) => Some("it was stopped".to_owned()),
            State::Down(DownCause::Lost | DownCause::Unheard) => {
                Some("it sends no heartbeat any more".to_owned())
            }
        },
        unprotected,
        drift: edge.drifting_since_ms.map(|_| difference),
    }
}
