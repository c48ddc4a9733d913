//! `export`.

use std::io::{self, BufWriter};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use secbeat_daemon::{api::ApiClient, complain, time::now_ms};

use super::bans::Pages;
use crate::exchange::{BanEntry, Layout, Writer};

/// Writes the active bans.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "json")]
    format: Layout,
}

impl Args {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let mut writer = Writer::new(BufWriter::new(io::stdout().lock()), self.format, now_ms());
        for page in Pages::new(api, String::new()) {
            // One that edges do not agree on would hold on all of them after an import.
            for ban in page?.iter().filter(|ban| ban.edges.is_none()) {
                writer.write(&BanEntry::from(ban)).context("writing the bans")?;
            }
        }
        for unsaid in writer.finish().context("writing the bans")? {
            complain!("{unsaid}");
        }
        Ok(())
    }
}
