//! `import`.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use secbeat_common::maps::MAX_BANNED_NETS;
use secbeat_daemon::{api::ApiClient, term::Term};

use crate::{
    api::bans::ImportRequest,
    exchange::{self, BanEntry, Format, Numbered},
    view::Imported,
};

/// Bans in one request.
const CHUNK: usize = 2000;
/// Bad lines that are shown.
const SHOWN: usize = 20;

/// Imports bans from a file.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// File to import; `-` is standard input.
    file: PathBuf,
    /// Format of the file [default: detected].
    #[arg(long, short, value_enum)]
    format: Option<Format>,
    /// Duration of bans without an expiry in the file, such as 30m, 4h, 7d or permanent.
    #[arg(long, short, default_value = "4h")]
    duration: Term,
    /// Never expire, unless the file has an expiry.
    #[arg(long, conflicts_with = "duration")]
    permanent: bool,
    /// Reason for bans without a note in the file.
    #[arg(long, short, default_value = "", hide_default_value = true)]
    note: String,
    /// Only report what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Skip invalid lines and import the others.
    #[arg(long)]
    skip_invalid: bool,
}

impl Args {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let began = Instant::now();
        let text = read(&self.file)?;
        let (entries, bad) = exchange::read(&text, self.format);
        let lines = entries.len() + bad.len();
        let mut bad: Vec<_> = bad.into_iter().map(|bad| (bad.line, bad.why)).collect();
        let entries = self.complete(entries);
        // Nothing is imported before all of it is known to be good.
        let looked = self.send(api, &entries, true)?;
        let refused = looked.refused.iter().map(|refused| {
            let line = entries.get(refused.index).map_or(0, |entry| entry.line);
            (line, refused.why.clone())
        });
        bad.extend(refused);
        bad.sort();
        self.complain(&bad);
        if looked.new_networks > looked.free_networks && !self.skip_invalid {
            bail!(
                "nothing was imported: {} new networks, but room for only {} more (limit {MAX_BANNED_NETS}, not counting single sources)",
                looked.new_networks,
                looked.free_networks
            );
        }
        if !bad.is_empty() && !self.skip_invalid {
            bail!(
                "nothing was imported: {} of {lines} lines are invalid (--skip-invalid imports the others)",
                bad.len()
            );
        }
        if self.dry_run {
            secbeat_daemon::say!("would import {}", counts(&looked, bad.len()));
            return Ok(());
        }
        let imported = self.send(api, &entries, false)?;
        secbeat_daemon::say!(
            "imported {} in {:.1} s",
            counts(&imported, bad.len()),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Fills in what the entries leave open.
    fn complete(&self, mut entries: Vec<Numbered>) -> Vec<Numbered> {
        let term = if self.permanent {
            Term::Permanent
        } else {
            self.duration
        };
        for Numbered { entry, .. } in &mut entries {
            if !entry.has_end() {
                entry.duration = Some(term);
            }
            if entry.note.is_empty() {
                entry.note.clone_from(&self.note);
            }
        }
        entries
    }

    fn send(&self, api: &ApiClient, entries: &[Numbered], dry_run: bool) -> anyhow::Result<Imported> {
        let mut all = Imported::default();
        for (number, chunk) in entries.chunks(CHUNK).enumerate() {
            let request = ImportRequest {
                bans: chunk
                    .iter()
                    .map(|read| read.entry.clone())
                    .collect::<Vec<BanEntry>>(),
                skip_refused: self.skip_invalid,
                dry_run,
            };
            let some: Imported = api
                .post("/api/v1/bans/import", &request)
                .with_context(|| progress(&all, dry_run))?;
            if number == 0 {
                all.free_networks = some.free_networks;
            }
            all.banned += some.banned;
            all.kept += some.kept;
            all.ended += some.ended;
            all.new_networks += some.new_networks;
            all.refused.extend(some.refused.into_iter().map(|mut refused| {
                refused.index += number * CHUNK;
                refused
            }));
        }
        Ok(all)
    }

    fn complain(&self, bad: &[(u64, String)]) {
        let name = self.file.display();
        for (line, why) in bad.iter().take(SHOWN) {
            secbeat_daemon::complain!("{name}:{line}: {why}");
        }
        if let Some(more) = bad.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            secbeat_daemon::complain!("{name}: and {more} more");
        }
    }
}

fn progress(imported: &Imported, dry_run: bool) -> String {
    match (dry_run, imported.banned) {
        (true, _) | (false, 0) => "nothing was imported".to_owned(),
        (false, banned) => format!("{banned} bans were imported before this"),
    }
}

fn counts(imported: &Imported, skipped: usize) -> String {
    let mut text = format!("{} bans", imported.banned);
    let others = [
        (imported.kept, "banned already for as long"),
        (imported.ended, "expired already"),
        (skipped, "skipped"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    text
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("reading standard input")?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
