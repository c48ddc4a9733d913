//! `enroll`: makes this host a member of a fleet.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use secbeat_daemon::credentials::{Credentials, Nats, Role};

use crate::config::Config;

/// Install the credentials that `secbeat-orchestrator enroll` wrote for this host.
#[derive(Debug, Args)]
pub struct Enroll {
    /// The file.
    file: PathBuf,
    /// Take the place of credentials that are here already.
    #[arg(long)]
    replace: bool,
}

impl Enroll {
    pub(super) fn execute(&self, config: &Path) -> anyhow::Result<()> {
        let credentials = Credentials::load(&self.file, Role::Edge)?;
        let nats = match config.exists() {
            true => Config::load(config)?.nats,
            false => Nats::default(),
        };
        let path = nats.path(Role::Edge, config);
        ensure!(
            path != self.file,
            "{} is where credentials belong already",
            path.display()
        );
        credentials.save(&path, self.replace)?;
        println!(
            "this host is the edge {} of the fleet at {}, by {}\n\
             restart the daemon, and delete {}: it holds the same secrets",
            credentials.name,
            credentials.url,
            path.display(),
            self.file.display()
        );
        Ok(())
    }
}
