//! Takes the host's interfaces under protection.

use secbeat_common::{maps::allow, prefix::Prefix};
use secbeat_daemon::protect::Protected;

use crate::{
    config::Config,
    enforcer::KernelSide,
    kernel::{
        self, AllowedNets, BanMaps, DropEvents, Floods, Object, ObjectSource, Pins, Program, SettingsMap,
    },
    privileges,
};

/// Loads the program, fills the allowlist, and only then attaches; gives up the capabilities that this took.
/// Beside the kernel's side it returns what that still held of the fleet's allowlist, which stays in it until the fleet
/// is heard.
pub(super) fn attach(
    config: &Config,
    object: &ObjectSource,
    protected: &Protected,
) -> anyhow::Result<(KernelSide, Vec<Prefix>)> {
    kernel::require_host()?;
    let setup = config.xdp();
    let object = Object::open(object)?;
    let pins = Pins::at(&setup.pin_dir);
    pins.or_undo(|| {
        let mut program = Program::load(&object, &setup)?;
        let clock = program.jiffy_clock()?;
        let mut bans = BanMaps::open(program.pins())?;
        let floods = Floods::open(program.pins())?;
        let mut allowed = AllowedNets::open(program.pins())?;
        let of_fleet = allowed.of_reason(allow::FLEET)?;
        let mut nets = (*protected.nets()).clone();
        for network in &of_fleet {
            nets.entry(*network).or_insert(allow::FLEET);
        }
        allowed.set(&nets)?;
        let mut settings = SettingsMap::open(program.pins())?;
        settings.set_mode(config.kernel.mode)?;
        settings.set_event_every(config.kernel.event_every)?;
        let events = DropEvents::open(program.pins())?;
        program.carry_over(&mut bans, &clock)?;
        bans.use_sieve(&mut settings)?;
        program.attach(&setup)?;
        privileges::drop_what_loading_needed()?;
        let kernel = KernelSide {
            program,
            setup,
            bans,
            floods,
            allowed,
            settings,
            events,
            clock,
        };
        Ok((kernel, of_fleet))
    })
}
