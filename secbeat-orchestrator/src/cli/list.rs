//! Lists that people have, as `import` and `allowlist import` read them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use jiff::tz::TimeZone;
use secbeat_daemon::complain;

use crate::exchange::{self, Format, MAX_LIST_BYTES, Purpose, Reading, Request};

/// Invalid lines that are shown where nothing is imported.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct List {
    /// File to import; `-` is standard input.
    pub(super) file: PathBuf,
    /// Format of the file [default: detected].
    #[arg(long, short, value_enum)]
    format: Option<Format>,
    /// Time zone of times without an offset, such as Europe/Berlin [default: this host's].
    #[arg(long, value_name = "ZONE", value_parser = TimeZone::get)]
    time_zone: Option<TimeZone>,
    /// Merge adjacent networks, and leave out those within others.
    #[arg(long)]
    pub(super) aggregate: bool,
    /// Only report what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Skip invalid lines and import the others.
    #[arg(long)]
    pub(super) skip_invalid: bool,
}

/// Lines that are no entries, with what is wrong with them.
pub(super) type Bad = Vec<(u64, String)>;

impl List {
    /// Reads the list, and says what it is.
    pub(super) fn read(&self, purpose: Purpose) -> anyhow::Result<Reading> {
        let name = self.file.display();
        let request = Request {
            format: self.format,
            purpose,
            zone: self.time_zone.clone().unwrap_or_else(TimeZone::system),
        };
        let reading = exchange::read(&bytes(&self.file)?, &request)
            .map_err(|why| anyhow!("{name}: {why} (--format states one of {})", exchange::names()))?;
        let (what, entries) = (&reading.what, reading.entries.len());
        complain!(
            "{name}: {what}; {entries} {}",
            if entries == 1 { "entry" } else { "entries" }
        );
        if !reading.passed_over.is_empty() {
            complain!("{name}: passed over {}", reading.passed_over.join(", "));
        }
        if let Some(provider) = reading.provider.filter(|_| purpose == Purpose::Bans) {
            complain!(
                "{name}: these are the networks of {provider}: bans keep out whoever is a client from there, with proxies and crawlers"
            );
        }
        Ok(reading)
    }

    /// Names invalid lines; fails if there are any and they may not be skipped.
    pub(super) fn judge(&self, mut bad: Bad, lines: usize) -> anyhow::Result<()> {
        bad.sort();
        let name = self.file.display();
        let shown = if self.skip_invalid { bad.len() } else { SHOWN };
        for (line, why) in bad.iter().take(shown) {
            complain!("{name}:{line}: {why}");
        }
        if let Some(more) = bad.len().checked_sub(shown).filter(|more| *more > 0) {
            complain!("{name}: and {more} more");
        }
        if !bad.is_empty() && !self.skip_invalid {
            bail!(
                "nothing was imported: {} of {lines} lines are invalid (--skip-invalid imports the others)",
                bad.len()
            );
        }
        Ok(())
    }
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || match path == Path::new("-") {
        true => "reading standard input".to_owned(),
        false => format!("reading {}", path.display()),
    };
    let mut bytes = Vec::new();
    let limit = MAX_LIST_BYTES + 1;
    match path == Path::new("-") {
        true => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    }
    .with_context(reading)?;
    if bytes.len() as u64 > MAX_LIST_BYTES {
        bail!("{}: it is larger than {} MiB", reading(), MAX_LIST_BYTES >> 20);
    }
    Ok(bytes)
}
