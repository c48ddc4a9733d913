//! `leave`: an edge of a fleet decides by itself again.

use std::path::Path;

use secbeat_daemon::{exit::Coded, say};
use secbeat_edge::cli as edge;

use super::edit;
use crate::{
    config::{self, Config},
    setup::{self, agreed, entry, restart},
};

/// Leave the fleet: detect on this host again, keep all bans in force and the allowlist.
#[derive(Debug, clap::Args)]
pub struct Leave {
    /// Leave without asking.
    #[arg(long, short)]
    yes: bool,
    /// Show what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Leave {
    /// Shows what follows, asks, and changes the config at `path`. The fleet need not answer.
    ///
    /// # Errors
    ///
    /// Returns an error if this host is not an edge of a fleet, or the config cannot be changed.
    pub(crate) fn execute(&self, path: &Path) -> anyhow::Result<()> {
        let config = Config::load(path)?;
        let Some(fleet) = &config.fleet else {
            return Err(Coded::usage(format!(
                "{}: this host is not an edge of a fleet; `secbeat join FILE` makes it one",
                path.display()
            ))
            .into());
        };
        let bans = edge::banned_in_kernel(&config::edge_file(Some(path)));
        let kept = match &bans {
            Ok(bans) => format!(
                "{} bans in force here, the fleet's among them, until they end; the fleet's allowlist",
                bans.len()
            ),
            Err(error) => format!("no bans ({error:#}); the fleet's allowlist"),
        };
        say!("{}", entry("kept", &kept));
        say!("{}", entry("rules", "those of this host"));
        let mut document = edit::read(path)?;
        edit::leave(&mut document);
        let text = document.to_string();
        setup::check_text(&text)?;
        if self.dry_run {
            say!("\nNothing was changed.");
            return Ok(());
        }
        if !self.yes
            && !agreed(&format!(
                "\nTake [fleet] out of {} and restart? [Y/n] ",
                path.display()
            ))?
        {
            say!("Nothing was changed.");
            return Ok(());
        }
        setup::write(path, &text)?;
        say!(
            "\nThis host decides by itself. The fleet shows it as an edge that is down, for a day. `secbeat-orchestrator expel` removes it from the fleet."
        );
        let credentials = path.parent().unwrap_or(Path::new("")).join(&fleet.credentials);
        say!(
            "`secbeat join {0}` joins again; else delete {0}, which has secrets.",
            credentials.display()
        );
        restart(path, "`secbeat status` shows what it does.")
    }
}
