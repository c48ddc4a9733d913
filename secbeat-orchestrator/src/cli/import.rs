//! `import`.

use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Args as ClapArgs;
use secbeat_common::{
    maps::MAX_BANNED_NETS,
    wire::{self, ListUse},
};
use secbeat_daemon::{
    api::{ApiClient, CallError},
    term::Term,
    time::now_ms,
};
use uuid::Uuid;

use super::list::{Bad, List, conclude};
use crate::{
    api::bans::ImportRequest,
    exchange::{self, BanEntry, End, Listed, Purpose, Reading},
    view::{Imported, ROOM},
};

/// Bans in one request.
const CHUNK: usize = 2000;
/// Time that one request may take: the daemon waits up to 5 s, and 10 ms for each of its bans.
const PATIENCE: Duration = Duration::from_secs(60);

/// Imports bans from a file.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    list: List,
    /// Duration of bans without an expiry in the file, such as 30m, 4h, 7d or permanent.
    #[arg(long, short, default_value = "4h")]
    duration: Term,
    /// Never expire, unless the file has an expiry.
    #[arg(long, conflicts_with = "duration")]
    permanent: bool,
    /// Reason for bans without a note in the file.
    #[arg(long, short, aliases = ["reason", "comment"], default_value = "", hide_default_value = true)]
    note: String,
}

/// The code of an answer that came before the daemon was done.
const LATE: &str = "timed_out";
/// Lines of progress for a person who waits.
const PROGRESS: usize = 20;

/// What an import would do, or did.
struct Looked {
    imported: Imported,
    /// New networks for which there is no room.
    without_room: usize,
}

impl Args {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let api = &api.clone().patient(PATIENCE);
        let (began, now_ms) = (Instant::now(), now_ms());
        let (Reading { entries, bad, .. }, origin) = self.list.read(Purpose::Bans)?;
        let lines = entries.len() + bad.len();
        let mut bad: Bad = bad.into_iter().map(|bad| (bad.line, bad.why)).collect();
        let mut entries = self.complete(entries, now_ms, &mut bad);
        let again = exchange::distinct(&mut entries, now_ms);
        // Nothing is imported before all of it is known to be good.
        let mut looked = self.look(api, &mut entries, &mut bad, self.list.aggregate)?;
        let listed = entries.len();
        if self.list.aggregate {
            entries = exchange::aggregate(entries, now_ms);
            looked = self.look(api, &mut entries, &mut bad, false)?;
        }
        let merged = listed.saturating_sub(entries.len() + looked.without_room);
        let skipped = bad.len();
        let invalid = self.list.judge(bad, lines);
        if looked.without_room > 0 && !self.list.skip_invalid {
            bail!(
                "nothing was imported: {} new networks, but room for only {} more (limit {MAX_BANNED_NETS}, not counting single sources){}",
                looked.imported.new_networks + looked.without_room,
                looked.imported.free_networks,
                if self.list.aggregate {
                    ""
                } else {
                    "; --aggregate merges adjacent ones"
                }
            );
        }
        invalid?;
        let others = [
            (again, "listed more than once"),
            (merged, "merged into others"),
            (skipped, "skipped"),
        ];
        if self.list.dry_run {
            secbeat_daemon::say!("would import {}", counts(&looked.imported, &others));
            return Ok(());
        }
        let mut list = origin.begin(ListUse::Ban);
        let mut imported = Imported::default();
        let sent = self.ask(api, &entries, Some(list.id), &mut imported);
        let wire::List {
            new,
            longer,
            unchanged,
            left_out,
            complete,
            ..
        } = &mut list;
        (*new, *longer) = ((imported.banned - imported.longer) as u64, imported.longer as u64);
        *unchanged = imported.kept as u64;
        *left_out = (imported.ended + imported.refused.len() + skipped) as u64;
        *complete = sent.is_ok();
        if sent.is_ok() || imported.banned > 0 {
            conclude(api, &list);
        }
        sent?;
        let late: Bad = imported
            .refused
            .iter()
            .map(|refused| {
                let line = entries.get(refused.index).map_or(0, |entry| entry.line);
                (line, refused.why.clone())
            })
            .collect();
        for (line, why) in &late {
            secbeat_daemon::complain!("{}:{line}: {why}", self.list.file.display());
        }
        let [again, merged, (_, what)] = others;
        secbeat_daemon::say!(
            "imported {} in {:.1} s",
            counts(&imported, &[again, merged, (skipped + late.len(), what)]),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Fills in what the entries leave open, and sorts out those that are not bans.
    fn complete(&self, entries: Vec<Listed>, now_ms: i64, bad: &mut Bad) -> Vec<Listed> {
        let term = if self.permanent {
            Term::Permanent
        } else {
            self.duration
        };
        let complete = |mut entry: Listed| {
            entry.about.end.get_or_insert(End::For(term));
            if entry.about.note.is_empty() {
                entry.about.note.clone_from(&self.note);
            }
            match exchange::manual_ban(BanEntry::from(&entry), String::new(), now_ms) {
                Ok(_) => Some(entry),
                Err(why) => {
                    bad.push((entry.line, why.to_string()));
                    None
                }
            }
        };
        entries.into_iter().filter_map(complete).collect()
    }

    /// Asks what an import would do, and sorts out what would be refused; networks without room only if they are to be skipped
    /// and are not merged first.
    fn look(
        &self,
        api: &ApiClient,
        entries: &mut Vec<Listed>,
        bad: &mut Bad,
        is_merged: bool,
    ) -> anyhow::Result<Looked> {
        let mut imported = Imported::default();
        self.ask(api, entries, None, &mut imported)?;
        let mut without_room = 0;
        let mut is_refused = vec![false; entries.len()];
        for refused in &imported.refused {
            let is_room = refused.code == ROOM;
            without_room += usize::from(is_room);
            if is_room && (is_merged || !self.list.skip_invalid) {
                continue;
            }
            if let (Some(mark), Some(entry)) = (is_refused.get_mut(refused.index), entries.get(refused.index))
            {
                *mark = true;
                bad.push((entry.line, refused.why.clone()));
            }
        }
        let mut is_refused = is_refused.into_iter();
        entries.retain(|_| !is_refused.next().unwrap_or_default());
        Ok(Looked {
            imported,
            without_room,
        })
    }

    /// Imports `entries` as those of `list`, or only tells what that would do if there is none. What was done is in `all`, also of an
    /// import that broke off.
    fn ask(
        &self,
        api: &ApiClient,
        entries: &[Listed],
        list: Option<Uuid>,
        all: &mut Imported,
    ) -> anyhow::Result<()> {
        let dry_run = list.is_none();
        let what = if dry_run { "looked at" } else { "imported" };
        // Programs that call this one read of the end only.
        let step = (entries.len() / CHUNK / PROGRESS).max(1);
        let is_told = entries.len() > CHUNK && stderr().is_terminal();
        for (number, chunk) in entries.chunks(CHUNK).enumerate() {
            let request = ImportRequest {
                bans: chunk.iter().map(BanEntry::from).collect(),
                skip_refused: self.list.skip_invalid,
                dry_run,
                list,
                networks_before: if dry_run { all.new_networks } else { 0 },
            };
            let some: Imported = api.post("/api/v1/bans/import", &request).map_err(|error| {
                let so_far = progress(all, dry_run, goes_on(&error));
                anyhow::Error::from(error).context(so_far)
            })?;
            if number == 0 {
                all.free_networks = some.free_networks;
            }
            all.banned += some.banned;
            all.longer += some.longer;
            all.kept += some.kept;
            all.ended += some.ended;
            all.new_networks += some.new_networks;
            all.exempting += some.exempting;
            all.fates.extend(some.fates);
            all.refused.extend(some.refused.into_iter().map(|mut refused| {
                refused.index += number * CHUNK;
                refused
            }));
            if is_told && (number + 1).is_multiple_of(step) {
                let done = (number + 1) * CHUNK;
                secbeat_daemon::complain!("{what} {} of {} bans", done.min(entries.len()), entries.len());
            }
        }
        Ok(())
    }
}

/// Returns what was imported before an error; the rest of the request may be imported yet if it `goes_on`.
fn progress(imported: &Imported, dry_run: bool, goes_on: bool) -> String {
    match (dry_run, imported.banned, goes_on) {
        (true, ..) | (false, 0, false) => "nothing was imported".to_owned(),
        (false, 0, true) => "these bans may have been imported, or may be yet: look at `bans`".to_owned(),
        (false, banned, false) => format!("{banned} bans were imported before this"),
        (false, banned, true) => {
            format!(
                "{banned} bans were imported before this, and more may have been, or may be yet: look at `bans`"
            )
        }
    }
}

/// Whether a request that ended so may be carried out all the same.
fn goes_on(error: &CallError) -> bool {
    match error {
        CallError::Unreachable(_) => false,
        CallError::Refused(problem) => problem.status >= 500 && problem.code == LATE,
        CallError::Late(_) | CallError::Other(_) => true,
    }
}

fn counts(imported: &Imported, others: &[(usize, &str)]) -> String {
    let mut text = match imported.banned {
        1 => "1 ban".to_owned(),
        banned => format!("{banned} bans"),
    };
    let known = [
        (imported.kept, "banned already for as long"),
        (imported.ended, "expired already"),
        (
            imported.exempting,
            "of them around networks on the allowlist, which stay exempt",
        ),
    ];
    for (count, what) in known.iter().chain(others).filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use secbeat_daemon::api::Problem;

    use super::*;

    #[test]
    fn what_may_go_on_is_not_told_as_not_done() {
        let refused = |status, code: &str| {
            let problem = serde_json::json!({ "title": "", "status": status, "code": code, "detail": "" });
            CallError::Refused(serde_json::from_value::<Problem>(problem).unwrap())
        };
        let said = |banned, error: &CallError| {
            let imported = Imported {
                banned,
                ..Imported::default()
            };
            progress(&imported, false, goes_on(error))
        };
        assert_eq!(said(0, &refused(409, "some_refused")), "nothing was imported");
        assert_eq!(said(0, &refused(503, "nats_unreachable")), "nothing was imported");
        assert_eq!(
            said(2000, &refused(409, "x")),
            "2000 bans were imported before this"
        );
        let may = "these bans may have been imported, or may be yet: look at `bans`";
        assert_eq!(said(0, &refused(503, LATE)), may);
        assert_eq!(said(0, &CallError::Other("it hung up".to_owned())), may);
        assert!(said(9, &refused(503, LATE)).starts_with("9 bans were imported before this, and more may"));
    }
}
