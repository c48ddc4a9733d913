//! `allowlist list`, `allowlist add`, `allowlist import` and `allowlist remove`.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use secbeat_common::{
    coverage::Coverage,
    wire::{self, ListUse, MAX_ALLOWED},
};
use secbeat_daemon::{
    allowing::{AllowRequest, AllowView, Disallowed},
    api::ApiClient,
    cli::{ENTRIES, NewEntry, Output, Records, Target, counted, print_json},
    complain, program,
    term::Term,
    time::{now_ms, rfc3339},
};

use super::list::{Bad, List, conclude};
use crate::exchange::{self, End, Listed, Purpose};

/// Manage the allowlist.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the entries.
    #[command(alias = "show")]
    List(Records),
    /// Add a client or a network.
    Add(NewEntry),
    /// Add the clients and networks of a list.
    Import(Import),
    /// Remove an entry; what is left of bans of it is enforced again.
    #[command(aliases = ["delete", "del", "rm"])]
    Remove {
        #[command(flatten)]
        target: Target,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    list: List,
    /// Duration of entries without an expiry in the file, such as 30m, 4h or 7d [default: no expiry].
    #[arg(long, short)]
    duration: Option<Term>,
    /// Reason for entries without a note in the file.
    #[arg(long, default_value = "", hide_default_value = true)]
    comment: String,
}

impl Command {
    /// Returns how the entries are to be listed, if they are.
    #[must_use]
    pub const fn listing(&self) -> Option<&Records> {
        match self {
            Self::List(records) => Some(records),
            Self::Add(_) | Self::Import(_) | Self::Remove { .. } => None,
        }
    }

    /// Whether one entry is added or removed.
    #[must_use]
    pub const fn is_of_one(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Remove { .. })
    }

    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        match self {
            Self::List(records) => records.show(&ENTRIES, api.get("/api/v1/allowlist")?, &no_entries()),
            Self::Add(new) => {
                let entry: AllowView = api.post("/api/v1/allowlist", &new.request()?)?;
                new.tell(&entry, program::everywhere())
            }
            Self::Import(import) => import.execute(api),
            Self::Remove { target, output } => {
                let removed: Disallowed = api.delete(&format!("/api/v1/allowlist/{}", target.prefix()?))?;
                if *output == Output::Json {
                    return print_json(&removed);
                }
                secbeat_daemon::say!("removed {} from {}", removed.network, program::allowlist());
                Ok(())
            }
        }
    }
}

/// Returns what people read where there are none.
fn no_entries() -> String {
    let (list, program) = (program::allowlist(), program::of_host());
    format!("{list} is empty (`{program} allowed` lists all that is never banned on a host)")
}

impl Import {
    fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let now_ms = now_ms();
        let (reading, origin) = self.list.read(Purpose::Allowlist)?;
        let lines = reading.entries.len() + reading.bad.len();
        let mut entries = reading.entries;
        let mut bad: Bad = reading.bad.into_iter().map(|bad| (bad.line, bad.why)).collect();
        for entry in &mut entries {
            entry.about.end = entry.about.end.or(self.duration.map(End::For));
        }
        let is_over = |entry: &Listed| entry.about.end.is_some_and(|end| end.ms(now_ms) <= now_ms);
        let before = entries.len();
        entries.retain(|entry| !is_over(entry));
        let ended = before - entries.len();
        let again = exchange::distinct(&mut entries, now_ms);
        if self.list.aggregate {
            entries = exchange::aggregate(entries, now_ms);
        }
        let Requests { requests, known } = self.requests(api, entries, &mut bad, now_ms)?;
        let skipped = bad.len();
        self.list.judge(bad, lines)?;
        if !self.list.dry_run {
            let mut list = origin.begin(ListUse::Allow);
            list.left_out = (ended + skipped) as u64;
            let sent = send(api, &requests, &known, &mut list);
            list.complete = sent.is_ok();
            if list.new + list.longer > 0 {
                conclude(api, &list);
            }
            sent?;
        }
        let verb = if self.list.dry_run {
            "would import"
        } else {
            "imported"
        };
        let entries = counted(requests.len(), "entry", "entries");
        let mut said = format!("{verb} {entries} of the allowlist");
        for (count, what) in [
            (ended, "expired already"),
            (again, "listed more than once"),
            (skipped, "skipped"),
        ] {
            if count > 0 {
                said += &format!(", {count} {what}");
            }
        }
        secbeat_daemon::say!("{said}");
        Ok(())
    }

    /// Returns what the API is to be asked for; what it would refuse goes to `bad`.
    fn requests(
        &self,
        api: &ApiClient,
        entries: Vec<Listed>,
        bad: &mut Bad,
        now_ms: i64,
    ) -> anyhow::Result<Requests> {
        let known: Vec<AllowView> = api.get("/api/v1/allowlist")?;
        let mut room = MAX_ALLOWED.saturating_sub(known.len());
        let mut requests = Vec::new();
        for entry in entries {
            let request = self.request(&entry);
            if let Err(failure) = request.clone().entry(String::new(), now_ms) {
                bad.push((entry.line, failure.detail().to_owned()));
                continue;
            }
            if !known.iter().any(|known| known.network == request.network) {
                let Some(left) = room.checked_sub(1) else {
                    let why = format!(
                        "{}: the allowlist has room for {MAX_ALLOWED} entries, and {} are there",
                        entry.network,
                        known.len()
                    );
                    bad.push((entry.line, why));
                    continue;
                };
                room = left;
            }
            requests.push(request);
        }
        let names = known.iter().map(|entry| entry.network.as_str());
        let listed = names.chain(requests.iter().map(|request| request.network.as_str()));
        for part in Coverage::of(listed.filter_map(|network| network.parse().ok())) {
            let (family, percent) = (part.family, part.percent());
            if part.is_everybody() {
                bail!(
                    "nothing was imported: the allowlist would cover all {family} addresses: no client there could be banned any more"
                );
            }
            if part.is_wide() {
                complain!(
                    "with this, the allowlist holds {percent} % of the {family} addresses that could be banned: no client there is banned"
                );
            }
        }
        let known = known.into_iter().map(|known| known.network).collect();
        Ok(Requests { requests, known })
    }

    fn request(&self, Listed { network, about, .. }: &Listed) -> AllowRequest {
        let (duration, until) = match about.end {
            None | Some(End::For(Term::Permanent)) => (None, None),
            Some(End::For(term)) => (Some(term.to_string()), None),
            Some(End::At(at)) => (None, Some(rfc3339(at.as_millisecond()))),
        };
        AllowRequest {
            network: network.to_string(),
            comment: if about.note.is_empty() {
                self.comment.clone()
            } else {
                about.note.clone()
            },
            duration,
            until,
            list: None,
        }
    }
}

/// What the API is to be asked for, and the networks that are on the allowlist before.
struct Requests {
    requests: Vec<AllowRequest>,
    known: HashSet<String>,
}

/// Adds entries as those of `list`, and counts them there.
fn send(
    api: &ApiClient,
    requests: &[AllowRequest],
    known: &HashSet<String>,
    list: &mut wire::List,
) -> anyhow::Result<()> {
    for (done, request) in requests.iter().enumerate() {
        let request = AllowRequest {
            list: Some(list.id),
            ..request.clone()
        };
        let _: AllowView = api.post("/api/v1/allowlist", &request).with_context(|| {
            let (all, network) = (requests.len(), &request.network);
            format!("{done} of {all} entries were imported before {network}")
        })?;
        match known.contains(&request.network) {
            true => list.longer += 1,
            false => list.new += 1,
        }
    }
    Ok(())
}
