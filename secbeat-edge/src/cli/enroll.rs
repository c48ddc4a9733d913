//! `enroll`: makes this host a member of a fleet.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use secbeat_daemon::credentials::{Credentials, Nats, Role};

use crate::config::Config;

/// Install the credentials that `secbeat-orchestrator enroll` wrote for this host.
#[derive(Debug, Args)]
pub struct Enroll {
    /// File to install.
    file: PathBuf,
    /// Replace existing credentials.
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
            "{} is already the place of the credentials; name another file",
            path.display()
        );
        credentials.save(&path, self.replace)?;
        secbeat_daemon::say!(
            "installed the credentials of edge {} for NATS at {} as {}\n\
             restart the daemon, and delete {}: it has the same secrets",
            credentials.name,
            credentials.servers()?,
            path.display(),
            self.file.display()
        );
        Ok(())
    }
}
