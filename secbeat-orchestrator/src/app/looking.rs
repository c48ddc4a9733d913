//! Brings what is so to the web page.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    api::{Api, Failure},
    engine::Input,
    events::NextEvent,
    overview::{NEAREST, Watch},
};

/// Interval at which it is looked what is so, while somebody has the page open.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until the events of `api` end.
pub(super) async fn run(api: Api) {
    let mut watch = api.hub.watch();
    let mut events = api.events.follow(None);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = events.next() => match told {
                Some(NextEvent::Event(event)) => watch.note(&event),
                // So many that nobody could read them all.
                Some(NextEvent::Lagged(_)) => {}
                None => return watch.end(),
            },
            _ = ticks.tick() => {
                if watch.is_due() {
                    // An engine that is too busy to answer is asked again.
                    let _ = look(&api, &mut watch).await;
                }
            }
        }
    }
}

async fn look(api: &Api, watch: &mut Watch) -> Result<(), Failure> {
    let stats = api.stats().await?;
    let edges = api.edges().await?;
    if let Some(query) = watch.missing(&stats) {
        let earlier = api.ask(|reply| Input::List { query, reply }).await?;
        watch.fill(&earlier.bans);
    }
    let commands = watch.commands();
    let glance = |reply| Input::Glance {
        commands,
        nearest: NEAREST,
        reply,
    };
    watch.look(&stats, &edges, api.ask(glance).await?);
    Ok(())
}
