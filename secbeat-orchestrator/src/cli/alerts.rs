//! `alerts`: what is wrong right now.

use anyhow::bail;
use clap::Args;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Cell, Column, Records},
    program,
};

use crate::view::{Alert, ApiStats, FleetEdge, alerts};

/// Show what is wrong right now; fails if anything is.
#[derive(Debug, Args)]
pub struct Alerts {
    #[command(flatten)]
    records: Records,
}

const ALERTS: [Column<Alert>; 4] = [
    Column("ALERT", "alert", |alert| Cell::Text(alert.alert.clone())),
    Column("ABOUT", "about", |alert| Cell::Text(alert.about.clone())),
    Column("SINCE", "since", |alert| Cell::time(alert.since.clone())),
    Column("WHAT", "what", |alert| Cell::Text(alert.what.clone())),
];

impl Alerts {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let stats: ApiStats = api.get("/api/v1/stats")?;
        let edges: Vec<FleetEdge> = api.get("/api/v1/edges")?;
        let found = alerts(&stats, &edges);
        let count = found.len();
        let empty = match program::is_one_host() {
            true => "nothing is wrong".to_owned(),
            false => format!(
                "nothing is wrong: the orchestrator is ready, edges: {}",
                edges.len()
            ),
        };
        self.records.show(&ALERTS, found, &empty)?;
        match count {
            0 => Ok(()),
            1 => bail!("one alert"),
            count => bail!("{count} alerts"),
        }
    }
}
