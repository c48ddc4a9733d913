//! Loading the XDP program.
//!
//! Program, links and maps are pinned, so enforcement does not depend on this process: a restart adopts the maps and
//! replaces the program on the pinned link in one atomic step (see [`super::attach`]).

use std::{
    collections::HashMap,
    fs::File,
    panic,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use anyhow::{Context, bail};
use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, SchedClassifier, Xdp},
};
use nix::fcntl::Flock;
use schemars::JsonSchema;
use secbeat_common::{lane, maps};
use serde::Deserialize;
use tracing::debug;

use super::{
    BanMaps,
    clock::JiffyClock,
    migrate::{BAN_MAPS, Migration},
    object::{Object, ObjectSource},
    pins::Pins,
    record::Record,
    selection::Selection,
    slots::Slots,
};

/// Hook of an interface at which the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// In the driver (XDP), before the network stack sees a packet: the fastest.
    Xdp,
    /// In the stack's ingress hook: also for tunnels, for drivers without XDP, and beside another XDP program.
    Tc,
    /// `xdp` where the driver can and nothing else is there, else `tc`.
    #[default]
    Auto,
}

/// What to load and where.
#[derive(Clone, Debug)]
pub struct XdpSetup {
    pub pin_dir: PathBuf,
    pub interfaces: Selection,
    /// Hook at which the program runs.
    pub hook: Hook,
    /// Whether links can be attached to the stack's ingress hook (tcx); else filters are.
    pub has_tcx: bool,
    /// The TCP and UDP ports that bans reach; `None` for every packet.
    pub ports: Option<Vec<u16>>,
    /// Fall back to generic XDP where the driver has no native support.
    pub allow_generic: bool,
    /// Folder for what outlives the daemon.
    pub state_dir: PathBuf,
    /// Most slots of each map of banned sources.
    pub ban_slots: u32,
}

/// The loaded program. Dropping it leaves everything attached.
pub struct Program {
    pub(super) ebpf: Ebpf,
    pub(super) pins: Pins,
    migration: Migration,
    slots: Slots,
    /// Those of [`maps::XDP_PROGRAMS`] that may be attached, the preferred one first.
    pub(super) xdp: Vec<&'static str>,
    /// The numbers of its maps, by name.
    pub(super) map_ids: Vec<(&'static str, u32)>,
    /// The same of the programs that it may have attached.
    pub(super) program_ids: Vec<(&'static str, u32)>,
    /// Whether its pins were taken away, and it may not make them again.
    pub(super) is_stranded: bool,
    /// The reason why the kernel refused programs. Verifying one again would take as long, and end alike.
    refused: HashMap<&'static str, String>,
    /// Keeps other daemons from these pins.
    pub(super) lock: Arc<Flock<File>>,
}

/// What the file in the state's folder is called that is there after the kill switch.
pub const DETACHED: &str = "detached";

/// Returns where a daemon with this folder for what outlives it notes how its maps are laid out.
pub(super) fn record_in(state_dir: &Path) -> PathBuf {
    state_dir.join("layouts.json")
}

impl XdpSetup {
    /// Whether the kill switch was thrown.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        // Who cannot look must not undo it.
        self.state_dir.join(DETACHED).try_exists().unwrap_or(true)
    }

    /// Returns where is noted how the maps are laid out.
    pub(super) fn record(&self) -> PathBuf {
        record_in(&self.state_dir)
    }
}

impl Program {
    /// Checks the pins, loads the program against the pinned maps (or new ones) and pins them. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// Returns an error if another daemon works with these pins, one of them has a layout that cannot be carried over, or the
    /// kernel refuses the program.
    pub fn load(object: &Object, setup: &XdpSetup) -> anyhow::Result<Self> {
        let pins = Pins::at(&setup.pin_dir);
        pins.prepare()?;
        let lock = Arc::new(pins.lock()?);
        let slots = Slots::at_start(&pins, setup.ban_slots);
        Self::load_with(object, setup, slots, Record::read(&setup.record()), lock)
    }

    /// Loads the same program once more, with larger maps that are staged beside those of this one.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_larger(&self, object: &Object, setup: &XdpSetup, slots: Slots) -> anyhow::Result<Self> {
        let mut record = Record::read(&setup.record());
        // The file may be gone.
        record.note(BAN_MAPS.iter().filter_map(|name| self.pins.map_id(name)));
        let mut larger = Self::load_with(object, setup, slots, record, self.lock.clone())?;
        // Now, and not between two interfaces.
        for (name, _) in &self.program_ids {
            loaded(&mut larger.ebpf, name)?;
        }
        Ok(larger)
    }

    fn load_with(
        object: &Object,
        setup: &XdpSetup,
        slots: Slots,
        record: Record,
        lock: Arc<Flock<File>>,
    ) -> anyhow::Result<Self> {
        let pins = Pins::at(&setup.pin_dir);
        pins.remove_staged()?;
        let migration = Migration::plan(&pins, slots, record)?;
        let pins = pins.staging(migration.names());
        let mut loader = EbpfLoader::new();
        for name in maps::ALL {
            loader.map_pin_path(name, pins.map(name));
        }
        let sieve = maps::sieve_words(slots.most());
        let shift = maps::sieve_shift(sieve);
        loader
            .map_max_entries(maps::BANNED_V4, slots.v4)
            .map_max_entries(maps::BANNED_V6, slots.v6)
            .map_max_entries(maps::SIEVE, sieve)
            .map_max_entries(maps::LANE, lane::map_lines(slots.most()))
            .override_global(maps::SIEVE_SHIFT, &shift, true);
        let mut ebpf = loader
            .load(object.bytes())
            .with_context(|| format!("loading the XDP object {}", object.name()))?;
        let xdp = load_programs(&mut ebpf)?;
        Ok(Self {
            ebpf,
            pins,
            migration,
            slots,
            xdp,
            map_ids: Vec::new(),
            program_ids: Vec::new(),
            refused: HashMap::new(),
            is_stranded: false,
            lock,
        })
    }

    /// Loads one of its programs, unless it is loaded. One that was refused is not tried again.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses it, or has refused it.
    pub(super) fn load_once(&mut self, name: &'static str) -> anyhow::Result<()> {
        if let Some(why) = self.refused.get(name) {
            bail!("{why}");
        }
        if let Err(error) = loaded(&mut self.ebpf, name) {
            self.refused.insert(name, format!("{error:#}"));
            return Err(error);
        }
        Ok(())
    }

    /// Whether its pins were taken away, and only a new start, with more rights, may make them again.
    #[must_use]
    pub fn is_stranded(&self) -> bool {
        self.is_stranded
    }

    /// The slots of its maps of banned sources.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// Returns where the maps are that this program uses.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Copies the live bans of maps that had another layout into `bans`, this program's maps.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn carry_over(&self, bans: &mut BanMaps, clock: &JiffyClock) -> anyhow::Result<()> {
        let old = self.pins.staging(Vec::new());
        self.migration.carry_over(&old, &self.pins, bans, clock)
    }

    /// The program that looks addresses up in a table.
    ///
    /// # Errors
    ///
    /// Returns an error if the object has none.
    pub fn table_probe(&self) -> anyhow::Result<&Xdp> {
        probe(&self.ebpf, maps::TABLE_PROBE)
    }

    /// The same in a table of lists.
    ///
    /// # Errors
    ///
    /// Returns an error if the object has none.
    pub fn list_probe(&self) -> anyhow::Result<&Xdp> {
        probe(&self.ebpf, maps::LIST_PROBE)
    }

    /// Reads the kernel's clocks.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel cannot run the probe.
    pub fn jiffy_clock(&mut self) -> anyhow::Result<JiffyClock> {
        JiffyClock::calibrate(xdp(&mut self.ebpf, maps::CLOCK_PROBE)?)
    }
}

/// Loads the probes and the first of [`maps::XDP_PROGRAMS`] that this kernel takes; which of them may be attached? The others are
/// loaded [when they are needed](loaded).
///
/// The kernel verifies one program on one processor, for a good part of a second; so they are loaded at the same time.
fn load_programs(ebpf: &mut Ebpf) -> anyhow::Result<Vec<&'static str>> {
    let now = [
        maps::PROGRAM_FRAGS,
        maps::CLOCK_PROBE,
        maps::TABLE_PROBE,
        maps::LIST_PROBE,
    ];
    let mut outcomes: HashMap<_, _> = thread::scope(|scope| {
        let loading: Vec<_> = ebpf
            .programs_mut()
            .filter_map(|(name, program)| {
                let name = now.into_iter().find(|now| *now == name)?;
                Some((name, scope.spawn(|| load(program))))
            })
            .collect();
        let outcome = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
        };
        let ended = loading.into_iter();
        ended.map(|(name, thread)| (name, outcome(thread))).collect()
    });
    let mut candidates = maps::XDP_PROGRAMS.to_vec();
    for name in now {
        let outcome = outcomes.remove(name);
        match outcome.with_context(|| format!("the object has no program `{name}`"))? {
            Ok(()) => {}
            Err(error) if name == maps::PROGRAM_FRAGS => {
                debug!(%error, "no program for packets in several buffers (needs Linux 5.18)");
                candidates.retain(|candidate| *candidate != name);
                loaded(ebpf, maps::PROGRAM)?;
            }
            Err(error) => return Err(error).with_context(|| refused(name)),
        }
    }
    Ok(candidates)
}

/// A program of the object, loaded now if it is not yet.
fn loaded<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut aya::programs::Program> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program `{name}`"))?;
    if program.fd().is_err() {
        load(program).with_context(|| refused(name))?;
    }
    Ok(program)
}

fn load(program: &mut aya::programs::Program) -> Result<(), ProgramError> {
    use aya::programs::Program;
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn refused(name: &str) -> String {
    format!("the kernel refused program `{name}`")
}

/// Reads the kernel's clocks without the daemon, with the clock probe of the embedded object.
///
/// # Errors
///
/// Returns an error if there is no object, or the kernel refuses it.
pub fn jiffy_clock() -> anyhow::Result<JiffyClock> {
    let object = Object::open(&ObjectSource::Embedded)?;
    let mut ebpf = EbpfLoader::new()
        .load(object.bytes())
        .context("loading the XDP object")?;
    JiffyClock::calibrate(xdp(&mut ebpf, maps::CLOCK_PROBE)?)
}

/// One of the probes, which [were loaded](load_programs).
fn probe<'a>(ebpf: &'a Ebpf, name: &str) -> anyhow::Result<&'a Xdp> {
    let program = ebpf
        .program(name)
        .with_context(|| format!("the object has no program `{name}`"))?;
    program
        .try_into()
        .with_context(|| format!("`{name}` is not an XDP program"))
}

pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Xdp> {
    loaded(ebpf, name)?
        .try_into()
        .with_context(|| format!("`{name}` is not an XDP program"))
}

pub(super) fn tc<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut SchedClassifier> {
    loaded(ebpf, name)?
        .try_into()
        .with_context(|| format!("`{name}` is not a program for the stack's hook"))
}
