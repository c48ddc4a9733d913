//! Lists that people have, as `import` and `allowlist import` read them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use jiff::tz::TimeZone;
use secbeat_common::{
    coverage::Coverage,
    prefix::Prefix,
    wire::{self, ListRecord, ListUse},
};
use secbeat_daemon::{api::ApiClient, complain, program};
use uuid::Uuid;

use crate::exchange::{self, Format, MAX_LIST_BYTES, Purpose, Reading, Request, Rounded};

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

/// Characters of a file's name that are recorded.
const MAX_NAME: usize = 64;

/// Origin of a list.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) digest: String,
    pub(super) format: String,
    pub(super) name: String,
}

impl Origin {
    /// A list that was made here, of `targets`.
    pub(super) fn of_targets<'a>(targets: impl Iterator<Item = &'a Prefix>) -> Self {
        let lines: String = targets.map(|target| format!("{target}\n")).collect();
        Self {
            digest: digest(lines.as_bytes()),
            format: "targets".to_owned(),
            name: String::new(),
        }
    }

    /// The list, with nothing done of it.
    pub(super) fn begin(self, what: ListUse) -> wire::List {
        wire::List {
            id: Uuid::now_v7(),
            what,
            digest: Some(self.digest),
            format: self.format,
            name: self.name,
            note: String::new(),
            new: 0,
            longer: 0,
            unchanged: 0,
            left_out: 0,
            complete: false,
        }
    }
}

/// Has what became of `list` recorded. That it cannot be is only said: what was done is done.
pub(super) fn conclude(api: &ApiClient, list: &wire::List) {
    if let Err(error) = api.post::<_, ListRecord>("/api/v1/lists", list) {
        complain!("the audit has no record of this list, {}: {error:#}", list.id);
    }
}

/// `sha256:` and 64 hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", digits.collect::<String>())
}

/// Lines that are not entries, with what is wrong with them.
pub(super) type Bad = Vec<(u64, String)>;

impl List {
    /// Reads the list, and says what it is.
    pub(super) fn read(&self, purpose: Purpose) -> anyhow::Result<(Reading, Origin)> {
        let name = self.file.display();
        let request = Request {
            format: self.format,
            purpose,
            zone: self.time_zone.clone().unwrap_or_else(TimeZone::system),
        };
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(why) = exchange::misfit(&file, purpose) {
            let (command, other) = match purpose {
                Purpose::Bans => ("import", "`allowlist import` allows its clients"),
                Purpose::Allowlist => ("allowlist import", "`import` bans its clients"),
            };
            bail!(
                "nothing was imported: {name} has the name of a list {why}: {other}; if it means something else: `{command} - < {name}`"
            );
        }
        let bytes = bytes(&self.file)?;
        let reading = exchange::read(&bytes, &request)
            .map_err(|why| anyhow!("{name}: {why} (--format states one of {})", exchange::names()))?;
        let (what, entries) = (&reading.what, reading.entries.len());
        complain!(
            "{name}: {what}; {entries} {}",
            if entries == 1 { "entry" } else { "entries" }
        );
        if !reading.passed_over.is_empty() {
            complain!("{name}: passed over {}", reading.passed_over.join(", "));
        }
        if let Rounded {
            count,
            first: Some((line, text)),
        } = &reading.rounded
        {
            let entries = if *count == 1 {
                "1 entry is an address"
            } else {
                &format!("{count} entries are addresses")
            };
            complain!(
                "{name}: {entries} with the length of a network, which is taken whole; the first is {text} on line {line}"
            );
        }
        if let Some(provider) = reading.provider.filter(|_| purpose == Purpose::Bans) {
            complain!(
                "{name}: these are the networks of {provider}: bans keep out every client from there, proxies and crawlers too"
            );
        }
        if purpose == Purpose::Bans {
            for part in Coverage::of(reading.entries.iter().map(|entry| entry.network)) {
                if part.is_wide() {
                    complain!(
                        "{name}: these are {} % of the {} addresses that clients have, and no client there could connect any more",
                        part.percent(),
                        part.family
                    );
                }
            }
        }
        let origin = Origin {
            digest: digest(&bytes),
            format: reading.format.clone(),
            name: file.chars().take(MAX_NAME).collect(),
        };
        Ok((reading, origin))
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

fn is_url(path: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| path.starts_with(scheme))
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || match path == Path::new("-") {
        true => "reading standard input".to_owned(),
        false => format!("reading {}", path.display()),
    };
    if let Some(url) = path.to_str().filter(|path| is_url(path)) {
        let program = program::of_fleet();
        bail!(
            "expected a file, found the URL {url}: `curl -fsS {url} | {program} import -` imports it once, `{program} feed test {url}` shows it as a feed, which is read again and again"
        );
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_from_a_file() {
        let url = "https://lists.example/x.txt";
        let error = bytes(Path::new(url)).unwrap_err().to_string();
        let expected = format!("expected a file, found the URL {url}: `curl");
        assert!(error.starts_with(&expected), "{error}");
    }
}
