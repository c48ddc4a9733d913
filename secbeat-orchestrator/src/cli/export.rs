//! `export`.

use std::io::{self, BufWriter};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use secbeat_daemon::api::ApiClient;

use super::bans::Pages;
use crate::exchange::{BanEntry, Format, Writer};

/// Writes the active bans.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Format: `json` and `csv` keep all fields, `list` only the targets.
    #[arg(long, short, value_enum, default_value = "json")]
    format: Format,
}

impl Args {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let mut writer = Writer::new(BufWriter::new(io::stdout().lock()), self.format);
        for page in Pages::new(api, String::new()) {
            // One that edges do not agree on would hold on all of them after an import.
            for ban in page?.iter().filter(|ban| ban.edges.is_none()) {
                writer.write(&BanEntry::from(ban)).context("writing the bans")?;
            }
        }
        writer.finish().context("writing the bans")
    }
}
