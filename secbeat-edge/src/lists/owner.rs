//! The owner of the lists: builds tables on a thread of its own, and has the enforcer bring them into force.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use anyhow::Context as _;
use secbeat_common::{
    lists::{Described, Entry, List, MAX_LISTS, NEVER, build},
    table::Line,
};
use secbeat_edge_core::Moment;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tracing::{error, info, warn};

use super::{InForce, ListError, Listed, Lists, Message, NewList, Origin, wall_ms};
use crate::{
    enforcer::EnforcerHandle,
    kernel::{Allowing, ListTables, Pins, Staged, moment_now},
    privileges::PrivilegedThread,
};

/// Changes that one table may bring.
const AT_ONCE: usize = 64;
/// The least time between two tables that are built only because entries have ended: the program does not enforce those anyway.
const BETWEEN_ENDS: Duration = Duration::from_secs(60);
/// Ends are rounded down to the first of these steps with which there are few different ones.
const STEPS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(60),
    Duration::from_secs(3600),
];
/// Most distinct expiry steps in one table.
const FEW_ENDS: usize = 4096;

/// Puts lists in force.
pub(crate) struct Owner {
    lists: Lists,
    waiting: mpsc::Receiver<Message>,
    pins: Pins,
    thread: PrivilegedThread,
    enforcer: EnforcerHandle,
    /// Bytes of kernel memory that a table may take.
    most: usize,
    /// Time at which the first entry ends that is in force.
    next_end: Option<u64>,
}

/// What a change asks for.
#[derive(Clone)]
enum Change {
    Put(NewList),
    Remove(String),
    Keep(Origin, Vec<String>),
}

/// The table that is to be in force next.
enum NextTable {
    /// The one in force now.
    Same,
    /// No list at all.
    Nothing,
    Table(Box<Staged>, Allowing),
}

/// A table that only waits for its pointer.
struct Prepared {
    table: NextTable,
    /// Slots that belong to other lists than before.
    reused: Vec<usize>,
    in_force: BTreeMap<String, InForce>,
    next_end: Option<u64>,
    prefixes: usize,
    bytes: usize,
}

/// A table that a change of the lists makes, as a host without a kernel could build it.
struct Drawn {
    lines: Vec<Line>,
    reused: Vec<usize>,
    in_force: BTreeMap<String, InForce>,
    next_end: Option<u64>,
    prefixes: usize,
}

impl Owner {
    /// The owner, and how to reach it once it runs. `thread` makes the kernel's maps.
    pub(crate) fn build(
        pins: Pins,
        thread: PrivilegedThread,
        enforcer: EnforcerHandle,
        most: usize,
    ) -> (Self, Lists) {
        let (lists, waiting) = Lists::channel();
        let owner = Self {
            lists: lists.clone(),
            waiting,
            pins,
            thread,
            enforcer,
            most,
            next_end: None,
        };
        (owner, lists)
    }

    /// Takes changes for as long as the daemon runs.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.apply(Vec::new(), false).await {
            error!("the lists that were in force cannot be read: {error}");
        }
        let mut taken = Vec::with_capacity(AT_ONCE);
        loop {
            let until_end = self.until_end();
            tokio::select! {
                count = self.waiting.recv_many(&mut taken, AT_ONCE) => match count {
                    0 => return std::future::pending().await,
                    _ => self.take(std::mem::take(&mut taken)).await,
                },
                () = sleep(until_end.unwrap_or_default()), if until_end.is_some() => {
                    if let Err(error) = self.apply(Vec::new(), true).await {
                        warn!("entries of lists have ended, and the table without them is not in force: {error}");
                        self.next_end = None;
                    }
                }
            }
        }
    }

    fn until_end(&self) -> Option<Duration> {
        let left = self.next_end?.saturating_sub(moment_now().boot.0);
        Some(Duration::from_nanos(left).max(BETWEEN_ENDS))
    }

    /// Puts what waits into one table; if that cannot be, each by itself.
    async fn take(&mut self, messages: Vec<Message>) {
        let (mut changes, mut replies) = (Vec::new(), Vec::new());
        for message in messages {
            let (change, reply) = message.split();
            changes.push(change);
            replies.push(reply);
        }
        if changes.len() > 1 && self.apply(changes.clone(), false).await.is_ok() {
            // The one who asked may have gone.
            replies.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
            return;
        }
        for (change, reply) in changes.into_iter().zip(replies) {
            let _ = reply.send(self.apply(vec![change], false).await);
        }
    }

    /// Brings a table with these changes into force, if they change anything, or what is in force is to be built from scratch (`anew`).
    async fn apply(&mut self, changes: Vec<Change>, anew: bool) -> Result<(), ListError> {
        let named = changes.iter().filter_map(Change::name).map(str::to_owned);
        let named: Vec<_> = named.collect();
        let outcome = self.try_apply(changes, anew).await;
        let now_ms = wall_ms();
        self.lists.change_state(|state| {
            for name in &named {
                state.problems.remove(name);
            }
            if let Ok(in_force) = &outcome {
                state.in_force.clone_from(in_force);
            }
        });
        let [name] = &named[..] else {
            return outcome.map(drop);
        };
        outcome.map(drop).inspect_err(|error| {
            error!(list = name, "the earlier list stays in force: {error}");
            if let Ok(name) = name.parse() {
                self.lists.note_problem(&name, &error.to_string(), now_ms);
            }
        })
    }

    async fn try_apply(
        &mut self,
        changes: Vec<Change>,
        anew: bool,
    ) -> Result<BTreeMap<String, InForce>, ListError> {
        let began = moment_now();
        let (pins, most) = (self.pins.clone(), self.most);
        let prepared = self
            .thread
            .call(move || prepare(&pins, changes, most, anew))
            .await
            .map_err(|error| other(&error))??;
        let Prepared {
            table,
            reused,
            in_force,
            next_end,
            prefixes,
            bytes,
        } = prepared;
        self.next_end = next_end;
        let table = match table {
            NextTable::Same => return Ok(in_force),
            NextTable::Nothing => None,
            NextTable::Table(staged, allowing) => Some((staged, allowing)),
        };
        self.enforcer
            .bring_lists(table, reused)
            .await
            .map_err(|error| ListError::Other(error.to_string()))?
            .map_err(ListError::Other)?;
        let took_ms = moment_now().boot.since(began.boot).as_millis() as u64;
        info!(
            lists = in_force.len(),
            prefixes, bytes, took_ms, "lists are in force"
        );
        Ok(in_force)
    }
}

fn other(error: &anyhow::Error) -> ListError {
    ListError::Other(format!("{error:#}"))
}

/// Builds the table of what is in force with `changes`, in the kernel, if it is another one or to be built from scratch (`anew`).
fn prepare(pins: &Pins, changes: Vec<Change>, most: usize, anew: bool) -> Result<Prepared, ListError> {
    let mut tables = ListTables::open(pins).map_err(|error| other(&error))?;
    tables.refresh().map_err(|error| other(&error))?;
    let now = moment_now();
    let Some(drawn) = draw(&tables, changes, now, anew)? else {
        let view = tables.view();
        let lists = view.iter().flat_map(|view| view.lists());
        let in_force: BTreeMap<_, _> = lists.map(|(_, described)| told_of(&described)).collect();
        return Ok(Prepared {
            table: NextTable::Same,
            reused: Vec::new(),
            prefixes: in_force.values().map(|list| list.prefixes as usize).sum(),
            in_force,
            next_end: view.and_then(|view| view.next_end()),
            bytes: 0,
        });
    };
    let bytes = drawn.lines.len() * size_of::<Line>();
    if bytes > most {
        return Err(ListError::TooLarge { bytes, most });
    }
    let staged = || {
        let staged = tables.stage(&drawn.lines)?;
        let allowing = staged.allowing().context("reading the new table of lists")?;
        anyhow::Ok(NextTable::Table(Box::new(staged), allowing))
    };
    let table = match drawn.lines.is_empty() {
        true => NextTable::Nothing,
        false => staged().map_err(|error| other(&error))?,
    };
    Ok(Prepared {
        table,
        reused: drawn.reused,
        in_force: drawn.in_force,
        next_end: drawn.next_end,
        prefixes: drawn.prefixes,
        bytes,
    })
}

/// A list in the making, by its name.
struct Drafted {
    slot: Option<usize>,
    described: Described,
    /// `None` for what the kernel has.
    entries: Option<Vec<Entry>>,
}

/// The table of what is in force with `changes`; `None` if they change nothing, and it need not be built from scratch (`anew`).
fn draw(
    tables: &ListTables,
    changes: Vec<Change>,
    now: Moment,
    anew: bool,
) -> Result<Option<Drawn>, ListError> {
    let view = tables.view();
    let in_force = view.iter().flat_map(|view| view.lists());
    let in_force = in_force.map(|(slot, described)| {
        let drafted = Drafted {
            slot: Some(slot),
            described,
            entries: None,
        };
        (drafted.described.name.clone(), drafted)
    });
    let mut lists: BTreeMap<String, Drafted> = in_force.collect();
    let mut is_other = anew;
    for change in changes {
        is_other |= match change {
            Change::Put(list) => put(&mut lists, list, now)?,
            Change::Remove(name) => lists.remove(&name).is_some(),
            Change::Keep(origin, names) => {
                let before = lists.len();
                lists.retain(|name, list| list.described.origin != origin as u32 || names.contains(name));
                lists.len() != before
            }
        };
    }
    if !is_other {
        return Ok(None);
    }
    if lists.len() > MAX_LISTS {
        return Err(ListError::TooMany(MAX_LISTS));
    }
    let taken: Vec<_> = lists.values().filter_map(|list| list.slot).collect();
    let mut free = (0..MAX_LISTS).filter(|slot| !taken.contains(slot));
    let (mut reused, mut built) = (Vec::new(), Vec::with_capacity(lists.len()));
    for list in lists.into_values() {
        let slot = match list.slot {
            Some(slot) => slot,
            None => free.next().ok_or(ListError::TooMany(MAX_LISTS))?,
        };
        if list.slot.is_none() {
            reused.push(slot);
        }
        let kept = || {
            view.iter()
                .flat_map(|view| view.entries(slot, now.boot.0))
                .collect()
        };
        built.push(List {
            slot,
            described: list.described,
            entries: list.entries.unwrap_or_else(kept),
        });
    }
    let table = build(&built, u64::try_from(now.wall_ms).unwrap_or_default())
        .map_err(|error| ListError::Other(error.to_string()))?;
    Ok(Some(Drawn {
        // No list needs no table.
        lines: if built.is_empty() { Vec::new() } else { table.lines },
        reused,
        in_force: built.iter().map(|list| told_of(&list.described)).collect(),
        next_end: table.next_end,
        prefixes: built.iter().map(|list| list.described.prefixes as usize).sum(),
    }))
}

fn told_of(described: &Described) -> (String, InForce) {
    let Described {
        name,
        digest,
        prefixes,
        ..
    } = described;
    let in_force = InForce {
        digest: *digest,
        prefixes: *prefixes,
    };
    (name.clone(), in_force)
}

/// Takes a list in; tells whether it is another one than before.
fn put(lists: &mut BTreeMap<String, Drafted>, list: NewList, now: Moment) -> Result<bool, ListError> {
    let NewList {
        name,
        verdict,
        origin,
        entries,
    } = list;
    let known = lists.get(name.as_str());
    if let Some(other) = known
        .and_then(|known| Origin::of(known.described.origin))
        .filter(|known| *known != origin)
    {
        return Err(ListError::Taken(other));
    }
    let entries = with_ends(entries, now);
    let (digest, verdict) = (digest(&entries), verdict.code());
    if known.is_some_and(|known| (known.described.digest, known.described.verdict) == (digest, verdict)) {
        return Ok(false);
    }
    let drafted = Drafted {
        slot: known.and_then(|known| known.slot),
        described: Described {
            name: name.as_str().to_owned(),
            verdict,
            prefixes: entries.len() as u32,
            updated_ms: u64::try_from(now.wall_ms).unwrap_or_default(),
            digest,
            origin: origin as u32,
        },
        entries: Some(entries),
    };
    lists.insert(name.as_str().to_owned(), drafted);
    Ok(true)
}

/// The entries that have not ended, with ends as the kernel knows them: never later, and at few different times.
fn with_ends(listed: Vec<Listed>, now: Moment) -> Vec<Entry> {
    let wall_ms = u64::try_from(now.wall_ms).unwrap_or_default();
    let entries = listed.into_iter().filter_map(|(net, expires_at_ms)| {
        let ends = match expires_at_ms {
            None => NEVER,
            Some(at) => {
                let left = Duration::from_millis(at.checked_sub(wall_ms).filter(|left| *left > 0)?);
                let left = u64::try_from(left.as_nanos()).unwrap_or(NEVER);
                now.boot.0.saturating_add(left)
            }
        };
        Some(Entry { net, ends })
    });
    let mut entries: Vec<_> = entries.collect();
    for step in STEPS {
        let step = step.as_nanos() as u64;
        let rounded = |ends: u64| if ends == NEVER { NEVER } else { ends - ends % step };
        let mut different: Vec<_> = entries.iter().map(|entry| rounded(entry.ends)).collect();
        different.sort_unstable();
        different.dedup();
        if different.len() <= FEW_ENDS {
            entries
                .iter_mut()
                .for_each(|entry| entry.ends = rounded(entry.ends));
            break;
        }
    }
    entries
}

/// Of the entries in any order.
fn digest(entries: &[Entry]) -> u64 {
    let one = |entry: &Entry| {
        let mut hasher = DefaultHasher::new();
        (entry.net, entry.ends).hash(&mut hasher);
        hasher.finish()
    };
    entries.iter().map(one).fold(0, u64::wrapping_add)
}

impl Message {
    fn split(self) -> (Change, oneshot::Sender<Result<(), ListError>>) {
        match self {
            Self::Replace(list, reply) => (Change::Put(list), reply),
            Self::Remove(name, reply) => (Change::Remove(name.as_str().to_owned()), reply),
            Self::Keep(origin, names, reply) => {
                let names = names.iter().map(|name| name.as_str().to_owned());
                (Change::Keep(origin, names.collect()), reply)
            }
        }
    }
}

impl Change {
    /// The list that it is about.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Put(list) => Some(list.name.as_str()),
            Self::Remove(name) => Some(name),
            Self::Keep(..) => None,
        }
    }
}
