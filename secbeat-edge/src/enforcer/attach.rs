//! Takes the host's interfaces under protection.

use std::{collections::HashMap, panic, sync::mpsc, thread};

use anyhow::Context as _;
use secbeat_common::{
    maps::{MAX_TRIE_NETS, allow},
    prefix::Prefix,
};
use secbeat_edge_core::{Allowlist, FilterMode, LocalAllowlist};
use tracing::warn;

use super::{KernelSide, kernel_side::Room, modes::Modes};
use crate::{
    kernel::{
        self, AllowedNets, BanMaps, DropEvents, Floods, InterfaceModes, ListTables, Object, ObjectSource,
        Pins, Probes, Program, SettingsMap, XdpSetup,
    },
    privileges,
};

/// What the kernel's side is made with.
#[derive(Clone, Debug)]
pub(crate) struct KernelConfig {
    pub setup: XdpSetup,
    pub mode: FilterMode,
    /// Those of single interfaces.
    pub modes: InterfaceModes,
    pub event_every: u32,
    pub object: ObjectSource,
}

/// Who is never banned, as far as this host knows.
#[derive(Debug)]
pub(crate) struct NeverBanned {
    /// Addresses that the host itself needs.
    pub host: HashMap<Prefix, u32>,
    /// The allowlist of its operators.
    pub local: LocalAllowlist,
}

/// Loads the program; once it is told who is never banned, it fills the allowlist, and only then attaches. It gives up all capabilities
/// but those that it takes to do so again.
///
/// Beside the kernel's side it returns the allowlist: what it was told, and what the kernel still held of the fleet's, which stays until
/// that is read.
///
/// # Errors
///
/// Whatever the kernel or the config does not allow; the host is then as it was.
pub(crate) fn attach(
    config: KernelConfig,
    never_banned: &mpsc::Receiver<NeverBanned>,
) -> anyhow::Result<(KernelSide, Allowlist)> {
    kernel::require_host()?;
    let setup = config.setup;
    let object = Object::open(&config.object)?;
    let pins = Pins::at(&setup.pin_dir);
    pins.or_undo(|| {
        let (mut program, (mut bans, mut lists)) = Program::load(&object, &setup, proven_tables)?;
        let clock = program.jiffy_clock()?;
        let floods = Floods::open(program.pins())?;
        let NeverBanned { host, local } = never_banned.recv().context("the start was given up")?;
        let mut allowed = AllowedNets::open(program.pins())?;
        allowed.set_listed(lists.allowing())?;
        lists.settle()?;
        let allowlist = Allowlist::new(host, allowed.of_reason(allow::FLEET)?).with_local(local.entries());
        allowed.set(allowlist.nets())?;
        let mut settings = SettingsMap::open(program.pins())?;
        let observing = config
            .modes
            .observing()
            .context("listing the interfaces that only observe")?;
        settings.set_observing(&observing)?;
        settings.set_mode(config.mode)?;
        settings.set_event_every(config.event_every)?;
        settings.set_ports(program.pins(), setup.ports.as_deref())?;
        let events = DropEvents::open(program.pins())?;
        program.carry_over(&mut bans, &clock)?;
        bans.own_lane(&allowed, &clock);
        let fill = bans.use_sieve(&mut settings)?;
        program.attach(&setup)?;
        privileges::drop_all_but_loading()?;
        let kernel = KernelSide {
            program,
            setup,
            object: config.object,
            room: Room::of(&fill),
            allow_failed: None,
            mode: config.mode,
            modes: Modes::new(config.modes),
            event_every: config.event_every,
            bans,
            floods,
            allowed,
            lists,
            settings,
            events,
            clock,
            walk: None,
            was_repaired: false,
        };
        Ok((kernel, allowlist))
    })
}

/// Opens the tables, and has the kernel read one of each kind, both at the same time: it waits for all processors when one is taken
/// away.
fn proven_tables(pins: &Pins, probes: Probes<'_>) -> anyhow::Result<(BanMaps, ListTables)> {
    let (mut bans, mut lists) = (BanMaps::open(pins)?, ListTables::open(pins)?);
    let Probes {
        tables: of_nets,
        lists: of_lists,
    } = probes;
    thread::scope(|scope| {
        let proving = scope.spawn(|| lists.prove(of_lists));
        if let Err(error) = bans.prove_tables(of_nets) {
            warn!("no more than {MAX_TRIE_NETS} networks can be banned: {error:#}");
        }
        let proven = proving.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        if let Err(error) = proven {
            warn!("no static list can come into force: {error:#}");
        }
    });
    Ok((bans, lists))
}
