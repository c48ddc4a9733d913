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

/// The programs that say what the kernel finds in a table, loaded.
#[derive(Clone, Copy, Debug)]
pub struct Probes<'a> {
    /// Looks addresses up in a table.
    pub tables: &'a Xdp,
    /// Does the same in a table of lists.
    pub lists: &'a Xdp,
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
    /// Checks the pins, loads the program against the pinned maps (or new ones) and pins them. Nothing is attached yet. `meanwhile` is
    /// given the pins, and runs while the kernel verifies the program.
    ///
    /// # Errors
    ///
    /// Returns an error if another daemon works with these pins, one of them has a layout that cannot be carried over, the kernel
    /// refuses the program, or `meanwhile` fails.
    pub fn load<T>(
        object: &Object,
        setup: &XdpSetup,
        meanwhile: impl FnOnce(&Pins, Probes<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let pins = Pins::at(&setup.pin_dir);
        pins.prepare()?;
        let lock = Arc::new(pins.lock()?);
        let slots = Slots::at_start(&pins, setup.ban_slots);
        let record = Record::read(&setup.record());
        Self::load_with(object, setup, (slots, record), lock, meanwhile)
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
        let lock = self.lock.clone();
        let (mut larger, ()) = Self::load_with(object, setup, (slots, record), lock, |_, _| Ok(()))?;
        // Now, and not between two interfaces.
        for (name, _) in &self.program_ids {
            loaded(&mut larger.ebpf, name)?;
        }
        Ok(larger)
    }

    fn load_with<T>(
        object: &Object,
        setup: &XdpSetup,
        (slots, record): (Slots, Record),
        lock: Arc<Flock<File>>,
        meanwhile: impl FnOnce(&Pins, Probes<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let pins = Pins::at(&setup.pin_dir);
        pins.remove_staged()?;
        let migration = Migration::plan(&pins, slots, record)?;
        let pins = pins.staging(migration.names());
        let mut loader = thread::scope(|scope| {
            // Asks what the kernel can do while its types are read.
            scope.spawn(aya::features);
            EbpfLoader::new()
        });
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
        let (xdp, done) = load_programs(&mut ebpf, |probes| meanwhile(&pins, probes))?;
        let program = Self {
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
        };
        Ok((program, done))
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

    /// Reads the kernel's clocks.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel cannot run the probe.
    pub fn jiffy_clock(&mut self) -> anyhow::Result<JiffyClock> {
        JiffyClock::calibrate(xdp(&mut self.ebpf, maps::CLOCK_PROBE)?)
    }
}

impl<'a> Probes<'a> {
    /// Loads them, and the probe of the clocks with them.
    fn load(
        clock: &mut aya::programs::Program,
        tables: &'a mut aya::programs::Program,
        lists: &'a mut aya::programs::Program,
    ) -> anyhow::Result<Self> {
        load(clock).with_context(|| refused(maps::CLOCK_PROBE))?;
        load(tables).with_context(|| refused(maps::TABLE_PROBE))?;
        load(lists).with_context(|| refused(maps::LIST_PROBE))?;
        Ok(Self {
            tables: as_xdp(tables, maps::TABLE_PROBE)?,
            lists: as_xdp(lists, maps::LIST_PROBE)?,
        })
    }
}

/// Loads the probes and the first of [`maps::XDP_PROGRAMS`] that this kernel takes; which of them may be attached? The others are
/// loaded [when they are needed](loaded).
///
/// The kernel verifies that one on one processor, for a good part of a second. `meanwhile` runs beside it, with the probes.
fn load_programs<T>(
    ebpf: &mut Ebpf,
    meanwhile: impl FnOnce(Probes<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<(Vec<&'static str>, T)> {
    let (verified, done) = {
        let mut found: HashMap<_, _> = ebpf.programs_mut().collect();
        let mut take = |name: &'static str| {
            found
                .remove(name)
                .with_context(|| format!("the object has no program `{name}`"))
        };
        let (frags, clock) = (take(maps::PROGRAM_FRAGS)?, take(maps::CLOCK_PROBE)?);
        let (tables, lists) = (take(maps::TABLE_PROBE)?, take(maps::LIST_PROBE)?);
        thread::scope(|scope| {
            let verifying = scope.spawn(move || load(frags));
            let done = Probes::load(clock, tables, lists).and_then(meanwhile);
            let verified = verifying.join();
            (verified.unwrap_or_else(|panic| panic::resume_unwind(panic)), done)
        })
    };
    let done = done?;
    let mut candidates = maps::XDP_PROGRAMS.to_vec();
    if let Err(error) = verified {
        debug!(%error, "no program for packets in several buffers (needs Linux 5.18)");
        candidates.retain(|candidate| *candidate != maps::PROGRAM_FRAGS);
        loaded(ebpf, maps::PROGRAM)?;
    }
    Ok((candidates, done))
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
    as_xdp(program, name)
}

fn as_xdp<'a>(program: &'a aya::programs::Program, name: &str) -> anyhow::Result<&'a Xdp> {
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
