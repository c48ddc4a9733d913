//! Questions to both daemons.

use std::time::Instant;

use clap::Subcommand;
use serde::Deserialize;

use crate::{api::ApiClient, say};

/// Questions to the running daemon.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Asked {
    /// Ask the running daemon whether it answers.
    Ping,
    /// Show the version of this program and of the running daemon.
    Version,
    /// Print the metrics of the running daemon, as Prometheus reads them.
    Metrics,
}

/// What a daemon tells of itself among its statistics.
#[derive(Debug, Deserialize)]
struct Running {
    version: String,
}

impl Asked {
    /// Asks the daemon behind `api`; this is `program` of the `version`.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not answer.
    pub fn execute(self, api: &ApiClient, program: &str, version: &str) -> anyhow::Result<()> {
        match self {
            Self::Ping => {
                let began = Instant::now();
                api.text("/healthz")?;
                let took = began.elapsed().as_secs_f64() * 1000.0;
                say!("{program} answers at {} after {took:.1} ms", api.place());
            }
            Self::Version => {
                say!("{program} {version}");
                let Running { version } = api.get("/api/v1/stats")?;
                say!("daemon at {}: {version}", api.place());
            }
            Self::Metrics => say!("{}", api.text("/metrics")?.trim_end()),
        }
        Ok(())
    }
}
