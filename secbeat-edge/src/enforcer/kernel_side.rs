//! The kernel's side of the enforcer: the program and its maps, in the core's terms.

mod room;

use std::collections::HashMap;

use anyhow::Context as _;
use secbeat_common::prefix::Prefix;
use secbeat_edge_core::{Entry, Event, FilterMode, KernelBan, ObservedBan, Stamp, WriteOutcome};
use tracing::warn;

pub(super) use self::room::Room;
use super::modes::Modes;
use crate::kernel::{
    AllowedNets, Allowing, Attachment, BanMaps, DropEvents, Floods, HeldBack, InterfaceModes, JiffyClock,
    ListTables, ObjectSource, Program, SettingsMap, Staged, Walk, XdpSetup, observed,
};

/// The kernel's side of an edge that has one.
pub(crate) struct KernelSide {
    pub(super) program: Program,
    /// What it was loaded with.
    pub(super) setup: XdpSetup,
    /// Origin of the program.
    pub(super) object: ObjectSource,
    /// How full the maps of sources are.
    pub(super) room: Room,
    /// The reason why the allowlist could not be made what it was, until somebody is told.
    pub(super) allow_failed: Option<String>,
    /// The host's mode, as it was set last.
    pub(super) mode: FilterMode,
    /// Of single interfaces.
    pub(super) modes: Modes,
    /// Packets of a ban from one event to the next.
    pub(super) event_every: u32,
    pub(super) bans: BanMaps,
    pub(super) floods: Floods,
    pub(super) allowed: AllowedNets,
    pub(super) lists: ListTables,
    pub(super) settings: SettingsMap,
    pub(super) events: DropEvents,
    pub(super) clock: JiffyClock,
    /// How far the ban maps are read.
    pub(super) walk: Option<Walk>,
    /// Whether bans are to be compared soon: the allowlist was repaired, or their maps grew while they were read.
    pub(super) was_repaired: bool,
}

/// Entries that wait to be written together.
#[derive(Debug, Default)]
struct Puts {
    new: Vec<(Prefix, KernelBan)>,
    known: Vec<(Prefix, KernelBan)>,
}

impl KernelSide {
    /// Writes and removes in order, what is to be written between two removals in one go.
    pub(super) fn write(&mut self, entries: Vec<Entry>) -> WriteOutcome {
        self.make_room(&entries);
        let before = self.bans.added();
        let (mut puts, mut outcome) = (Puts::default(), WriteOutcome::default());
        for entry in entries {
            match entry {
                Entry::Add(target, ban) => puts.new.push((target, self.stamped(&target, ban))),
                Entry::Put(target, ban) => puts.known.push((target, self.stamped(&target, ban))),
                Entry::Remove(target) => {
                    self.put_all(&std::mem::take(&mut puts), &mut outcome);
                    if let Err(error) = self.bans.remove(&target) {
                        outcome.failed.push(target);
                        outcome.why = format!("{error:#}");
                    }
                }
            }
        }
        self.put_all(&puts, &mut outcome);
        self.room.wrote(before, self.bans.added());
        outcome
    }

    fn stamped(&self, target: &Prefix, ban: KernelBan) -> KernelBan {
        KernelBan {
            unallowed_in: self.allowed.stamp(target),
            ..ban
        }
    }

    fn put_all(&mut self, Puts { new, known }: &Puts, outcome: &mut WriteOutcome) {
        let unwritten = [
            self.bans.put_all_new(new, &self.clock),
            self.bans.put_all(known, &self.clock),
        ];
        for unwritten in unwritten.into_iter().filter_map(Result::err) {
            let targets = unwritten.targets.clone();
            // It names the first of them.
            outcome.why = format!("{:#}", anyhow::Error::from(unwritten));
            outcome.failed.extend(targets);
        }
    }

    pub(super) fn allow(&mut self, nets: &HashMap<Prefix, u32>) -> anyhow::Result<()> {
        self.allowed.set(nets)?;
        self.bans.allow(&self.allowed);
        Ok(())
    }

    /// Whether bans were changed beside the daemon, so that they should be compared.
    pub(super) fn is_outdated(&self) -> bool {
        self.was_repaired || self.bans.is_lane_outdated()
    }

    /// Brings a table of static lists into force, or none. Bans are compared with what it allows before it allows that, and slots begin to
    /// count from zero before anything counts in them.
    pub(super) fn bring_lists(
        &mut self,
        table: Option<(Box<Staged>, Allowing)>,
        reused: &[usize],
    ) -> anyhow::Result<()> {
        let Some((table, allowing)) = table else {
            self.lists.clear()?;
            return self.allow_listed(Allowing::default());
        };
        self.allow_listed(allowing.clone())?;
        reused.iter().try_for_each(|slot| self.lists.reset_count(*slot))?;
        self.lists.bring(*table, &allowing)
    }

    /// From here on no ban in the express lane is touched by what lists allow, or are about to.
    fn allow_listed(&mut self, allowing: Allowing) -> anyhow::Result<()> {
        let set = self.allowed.set_listed(allowing);
        self.bans.allow(&self.allowed);
        set
    }

    /// The static lists in force, to be read by others; `None` if there are none.
    pub(super) fn lists_in_force(&self) -> anyhow::Result<Option<ListTables>> {
        match self.lists.id() {
            None => Ok(None),
            Some(_) => ListTables::open(self.program.pins()).map(Some),
        }
    }

    pub(super) fn set_mode(&mut self, mode: FilterMode) -> anyhow::Result<()> {
        self.settings.set_mode(mode)?;
        self.mode = mode;
        Ok(())
    }

    /// Makes one interface enforce bans, or only observe.
    pub(super) fn set_interface_mode(&mut self, interface: &str, mode: FilterMode) -> anyhow::Result<()> {
        self.modes.set(interface, mode);
        self.modes.apply(&mut self.settings).map(drop)
    }

    /// Takes the modes of single interfaces from the config.
    pub(super) fn configure_modes(&mut self, modes: InterfaceModes) {
        self.modes.configure(modes);
    }

    /// Names and patterns in the modes of single interfaces that stand for none.
    pub(super) fn modes_without_interface(&self) -> Vec<String> {
        self.modes.without_interface().to_vec()
    }

    /// Compares what is configured with what the kernel says, and repairs what it can.
    pub(super) fn keep_attached(&mut self) -> Vec<Attachment> {
        // Before a program is attached, which would drop packets there.
        let observing = self.modes.apply(&mut self.settings);
        let attachments = self.program.keep(&self.setup);
        let observing = observing.or_else(|_| self.settings.observing());
        let attachments = observed(attachments, &observing.unwrap_or_default());
        match self.keep_settings() {
            Ok(()) => attachments,
            Err(error) => {
                let why = format!("what the program goes by in the kernel cannot be seen to: {error:#}");
                let failed = |it: Attachment| if it.mode.is_ok() { it.failed(&why) } else { it };
                attachments.into_iter().map(failed).collect()
            }
        }
    }

    /// Has the program go by what was set, no matter who else has written there: else it would let banned packets pass while all is green.
    fn keep_settings(&mut self) -> anyhow::Result<()> {
        let ports = self.setup.ports.as_deref();
        let mut differed = self
            .settings
            .keep(self.program.pins(), self.mode, ports, self.event_every)?;
        differed.extend(self.bans.keep()?);
        if self.lists.keep()? {
            differed.push("which lists are in force");
        }
        if !differed.is_empty() {
            let what = differed.join(" and ");
            warn!("something else had changed {what} in the kernel: set again");
        }
        // SecBeat's own processes move the generation on, others do not.
        if self.allowed.are_few() || self.allowed.is_outdated()? {
            self.keep_allowed();
        }
        Ok(())
    }

    fn keep_allowed(&mut self) {
        match self.allowed.keep() {
            Ok(false) => {}
            Ok(true) => {
                warn!("something else had changed the allowlist in the kernel: set again");
                self.bans.allow(&self.allowed);
                self.was_repaired = true;
            }
            Err(error) => self.allow_failed = Some(format!("{error:#}")),
        }
    }

    /// Whether only a new start can enforce bans again.
    pub(super) fn is_stranded(&self) -> bool {
        self.program.is_stranded()
    }

    /// Begins to read all bans.
    pub(super) fn begin_read(&mut self) -> anyhow::Result<Event> {
        self.keep_allowed();
        self.was_repaired = false;
        self.clock = self.program.jiffy_clock()?;
        self.bans.set_clock(&self.clock);
        self.walk = Some(self.bans.begin());
        self.room.walks();
        self.read_on()
    }

    /// Reads the next few thousand bans.
    pub(super) fn read_on(&mut self) -> anyhow::Result<Event> {
        let mut walk = self.walk.take().context("no read is under way")?;
        let Some(found) = self.bans.next(&mut walk)? else {
            self.bans.settle(&walk)?;
            self.lists.settle()?;
            let fill = self.bans.fill(&walk);
            self.room.walked(&fill);
            return Ok(Event::KernelEnd(fill));
        };
        self.walk = Some(walk);
        let observed = |(target, ban): (Prefix, KernelBan)| ObservedBan {
            target,
            ban,
            stamp: if self.allowed.is_current(&target, ban.unallowed_in) {
                Stamp::Current
            } else {
                Stamp::Outdated
            },
        };
        Ok(Event::KernelBans(found.into_iter().map(observed).collect()))
    }

    /// The kernel's ban of `target`, if it has one and can be read.
    pub(super) fn ban(&self, target: &Prefix) -> Option<KernelBan> {
        self.bans.get(target).ok()?
    }

    /// The drops that CPUs have not yet added to the bans.
    pub(super) fn held_back(&self) -> HeldBack {
        self.floods.read().unwrap_or_default()
    }
}
