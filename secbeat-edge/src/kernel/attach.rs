//! Attaching the program to interfaces, and replacing it there.
//!
//! The program for packets in several buffers comes first, since drivers refuse the plain one on jumbo MTUs; where the
//! driver wants the plain one, that is tried next. The link is pinned last, once everything it needs is in place.

use std::{collections::HashMap, io::ErrorKind, os::fd::AsFd as _, path::Path};

use anyhow::{Context, bail, ensure};
use aya::programs::{
    ProgramError, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    xdp::XdpLink,
};
use nix::{
    errno::Errno,
    net::if_::{if_indextoname, if_nametoindex},
};
use secbeat_common::maps;
use tracing::{error, info, warn};

use super::{
    Program, XdpSetup,
    attachment::{Attachment, NO_ETHERNET, examine},
    interface::{self, Interface, from_below, has_ethernet, name_of},
    migrate::BAN_MAPS,
    pins::{self, LinkPin, Mode, Pins},
    program::xdp,
    raw::link_facts,
    record::Record,
};

/// What was done to one interface.
enum Attached {
    /// The program on its live link was replaced.
    Replaced(Mode),
    Anew(Mode),
}

/// Why nothing is attached after the kill switch.
const DETACHED: &str = "detached by `secbeat-edge detach`; `secbeat-edge attach` takes that back";

impl Program {
    /// Attaches to those of `setup.interfaces` that there are, or replaces the program where a link is pinned already, and frees
    /// interfaces that are no longer configured. From then on the maps of this program are the pinned ones. After the kill switch
    /// nothing is attached.
    ///
    /// # Errors
    ///
    /// When an interface takes neither native nor (if allowed) generic XDP, or another program holds it.
    pub fn attach(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        if setup.is_detached() {
            warn!("NOTHING IS ATTACHED: {DETACHED}");
        } else {
            self.settle_links(setup)?;
            for interface in &from_below(&setup.interfaces) {
                if if_nametoindex(interface.as_str()).is_err() {
                    warn!(%interface, "NOT PROTECTED: there is no such interface yet; it is waited for");
                    continue;
                }
                let (Attached::Replaced(mode) | Attached::Anew(mode)) = self.attach_one(interface, setup)?;
                info!(%interface, mode = mode.name(), "XDP program attached");
            }
            // Only now, so that a refused start leaves the host as it was.
            self.free_others(setup)?;
        }
        self.note_layouts(setup);
        self.pins.publish()?;
        self.remember_maps();
        self.note_layouts(setup);
        self.repin_programs()
    }

    /// Compares what is configured with what the kernel says, and repairs what differs: pins that are gone, links that belong to
    /// other interfaces now, interfaces that have lost the program. What cannot be repaired is said in the result.
    pub fn keep(&mut self, setup: &XdpSetup) -> Vec<Attachment> {
        let ours = self.ids();
        let before = examine(&setup.interfaces, &ours);
        if setup.is_detached() {
            // A repair was on its way when the switch was thrown.
            if before.iter().any(|attachment| attachment.mode.is_ok())
                && let Err(error) = pins::detach(&self.pins)
            {
                error!("{error:#}");
            }
            return before.into_iter().map(|before| before.failed(DETACHED)).collect();
        }
        let has_pins = self.has_pins();
        if has_pins && before.iter().all(|before| before.mode.is_ok()) && self.has_links(setup) {
            return before;
        }
        if !has_pins && let Err(error) = self.pin_again() {
            self.is_stranded = true;
            let why = format!("the pins are gone, and cannot be made again: {error:#}");
            return before.into_iter().map(|before| before.failed(&why)).collect();
        }
        let mut refusals = HashMap::new();
        if let Err(error) = self.settle_links(setup).and_then(|()| self.free_others(setup)) {
            warn!("{error:#}");
        }
        for interface in from_below(&setup.interfaces) {
            if if_nametoindex(interface.as_str()).is_err() {
                continue;
            }
            match self.attach_one(&interface, setup) {
                Ok(Attached::Replaced(_)) => {}
                Ok(Attached::Anew(mode)) => {
                    warn!(%interface, mode = mode.name(), "the interface had lost the XDP program: attached again");
                }
                Err(error) => drop(refusals.insert(interface, format!("{error:#}"))),
            }
        }
        let mut after = examine(&setup.interfaces, &ours);
        for attachment in after.iter_mut().filter(|attachment| attachment.mode.is_err()) {
            if let Some(why) = refusals.remove(&attachment.interface) {
                attachment.mode = Err(why);
            }
        }
        after
    }

    /// The numbers of the programs that this one may have attached.
    fn ids(&mut self) -> Vec<u32> {
        let loaded = self.loaded.clone();
        let id = |name| Some(xdp(&mut self.ebpf, name).ok()?.info().ok()?.id());
        loaded.into_iter().filter_map(id).collect()
    }

    /// Notes how the maps are laid out that are pinned now, for a start that may not ask the kernel.
    fn note_layouts(&self, setup: &XdpSetup) {
        let pinned = [self.pins.clone(), self.pins.staging(Vec::new())];
        let ids = |pins: &Pins| {
            BAN_MAPS
                .map(|name| pins.map_id(name))
                .into_iter()
                .flatten()
                .collect()
        };
        let [ours, old]: [Vec<u32>; 2] = pinned.each_ref().map(ids);
        let mut record = Record::read(&setup.record());
        record.keep(&old);
        record.note(ours);
        if let Err(error) = record.write(&setup.record()) {
            warn!("{error:#}; a change of kernel.ban_slots may need `secbeat-edge detach`");
        }
    }

    /// Notes which maps are this program's.
    fn remember_maps(&mut self) {
        let pinned = maps::ALL.iter();
        self.map_ids = pinned
            .filter_map(|name| Some((*name, self.pins.map_id(name)?)))
            .collect();
    }

    /// Whether the pinned maps are this program's.
    fn has_pins(&self) -> bool {
        self.map_ids.iter().all(|(name, id)| self.pins.has_map(name, *id))
    }

    /// Whether each interface that there is has a pinned link of its own, and none is left over.
    fn has_links(&self, setup: &XdpSetup) -> bool {
        let Ok(links) = self.pins.links() else {
            return false;
        };
        let is_own = |pin: &LinkPin| {
            let index = if_nametoindex(pin.interface.as_str());
            let facts = link_facts(&self.pins.link(pin));
            setup.interfaces.contains(&pin.interface)
                && matches!((index, facts), (Ok(index), Ok(facts)) if facts.ifindex == index)
        };
        let there_are = setup
            .interfaces
            .iter()
            .filter(|name| if_nametoindex(name.as_str()).is_ok());
        links.iter().all(is_own) && links.len() == there_are.count()
    }

    /// Pins this program and its maps where nothing, or something else, is pinned.
    fn pin_again(&mut self) -> anyhow::Result<()> {
        self.pins.prepare()?;
        if !self.pins.is_locked_by(&self.lock)? {
            self.lock = self.pins.lock()?;
        }
        for (name, id) in &self.map_ids {
            if self.pins.has_map(name, *id) {
                continue;
            }
            let path = self.pins.map(name);
            pins::remove(&path)?;
            let map = self
                .ebpf
                .map(name)
                .with_context(|| format!("there is no map {name}"))?;
            map.pin(&path)
                .with_context(|| format!("pinning {}", path.display()))?;
        }
        warn!("the pinned maps were gone, or others: pinned again");
        self.repin_programs()
    }

    /// Removes the links of interfaces that are not configured.
    fn free_others(&self, setup: &XdpSetup) -> anyhow::Result<()> {
        for pin in self.pins.links()? {
            if !setup.interfaces.contains(&pin.interface) {
                info!(interface = %pin.interface, "no longer configured: detaching");
                pins::remove(&self.pins.link(&pin))?;
            }
        }
        Ok(())
    }

    /// Makes the names of the pinned links those of the interfaces that they are attached to now, and removes those that stand under
    /// the name of another interface, because theirs is gone, not configured, or in another network namespace.
    fn settle_links(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        let mut moving = Vec::new();
        for pin in self.pins.links()? {
            let facts = link_facts(&self.pins.link(&pin)).ok();
            let name = facts.and_then(|facts| {
                let name = if_indextoname(facts.ifindex).ok()?.into_string().ok()?;
                // Another namespace's interface may have the same number.
                let running = Interface::of(facts.ifindex).ok()?.running;
                let is_here = running.iter().any(|running| running.program == facts.program);
                (is_here && setup.interfaces.contains(&name)).then_some((facts.ifindex, name))
            });
            match name {
                Some((_, name)) if name == pin.interface => {}
                Some((index, name)) => moving.push((pin, index, name)),
                None if setup.interfaces.contains(&pin.interface) => {
                    info!(interface = %pin.interface, "a link is no longer that interface's: detaching");
                    pins::remove(&self.pins.link(&pin))?;
                }
                None => {}
            }
        }
        // By names that no interface has, since two may have swapped theirs.
        let mut waiting = Vec::new();
        for (pin, index, interface) in moving {
            info!(from = %pin.interface, to = %interface, "the interface has another name: its link is taken over");
            let between = LinkPin {
                interface: format!("{index} moving"),
                mode: pin.mode,
            };
            self.pins.rename(&pin, &between)?;
            waiting.push((between, interface));
        }
        for (between, interface) in waiting {
            let mode = between.mode;
            self.pins.rename(&between, &LinkPin { interface, mode })?;
        }
        Ok(())
    }

    fn attach_one(&mut self, interface: &str, setup: &XdpSetup) -> anyhow::Result<Attached> {
        match self.replace(interface)? {
            Some(mode) => Ok(Attached::Replaced(mode)),
            None => Ok(Attached::Anew(self.attach_new(interface, setup.allow_generic)?)),
        }
    }

    /// Replaces the program on a pinned link; `None` if there is no live one.
    fn replace(&mut self, interface: &str) -> anyhow::Result<Option<Mode>> {
        let Some(pin) = self
            .pins
            .links()?
            .into_iter()
            .find(|pin| pin.interface == interface)
        else {
            return Ok(None);
        };
        let path = self.pins.link(&pin);
        let mut refusal = None;
        for name in self.loaded.clone() {
            match self.try_replace(&path, name)? {
                Ok(()) => return Ok(Some(pin.mode)),
                Err(error) if is_gone(&error) => {
                    pins::remove(&path)?;
                    return Ok(None);
                }
                Err(error) => refusal = Some(error),
            }
        }
        let error = refusal.context("no program is loaded")?;
        Err(error).with_context(|| format!("replacing the program on {interface}"))
    }

    /// Puts program `name` on the link pinned at `path`, and looks whether the kernel runs it now. The inner error is the
    /// kernel's refusal.
    fn try_replace(&mut self, path: &Path, name: &str) -> anyhow::Result<Result<(), ProgramError>> {
        let opening = || format!("opening the pinned link {}", path.display());
        let open = || PinnedLink::from_pin(path).map(FdLink::from).with_context(opening);
        let link =
            XdpLink::try_from(open()?).with_context(|| format!("{} is no XDP link", path.display()))?;
        let program = xdp(&mut self.ebpf, name)?;
        let id = match program.attach_to_link(link) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        };
        // The pin keeps it; a descriptor of it is not needed.
        drop(program.take_link(id).context("taking the link")?);
        let (expected, running) = (program.info()?.id(), open()?.info()?.program_id());
        ensure!(
            expected == running,
            "{} runs program {running} after it was given program {expected}",
            path.display()
        );
        Ok(Ok(()))
    }

    fn attach_new(&mut self, interface: &str, allow_generic: bool) -> anyhow::Result<Mode> {
        let found = Interface::find(interface).with_context(|| format!("looking at {interface}"))?;
        ensure!(has_ethernet(found.kind), "{interface}: {NO_ETHERNET}");
        let (mode, link) = match self.try_modes(interface, XdpMode::Driver) {
            Ok(link) => (Mode::Native, link),
            Err(error) if is_busy(&error) => match found.running.first() {
                Some(other) => bail!(
                    "another XDP program is attached to {interface}: {}; SecBeat does not replace it",
                    name_of(other.program)
                ),
                None => bail!(
                    "the kernel allows no XDP program on {interface}: {}",
                    self.refusal(&found, Mode::Native)
                        .unwrap_or_else(|| format!("{error:#}"))
                ),
            },
            Err(error) if !allow_generic => {
                let why = self.refusal(&found, Mode::Native);
                let why = why.map_or_else(String::new, |why| format!(" ({why})"));
                return Err(error).with_context(|| {
                    format!("{interface} takes no native XDP{why}; kernel.allow_generic = true would run it in the stack, slower")
                });
            }
            Err(error) => {
                warn!(
                    interface,
                    error = format!("{error:#}"),
                    "NO NATIVE XDP on this interface: falling back to generic mode, several times slower"
                );
                let link = self
                    .try_modes(interface, XdpMode::Skb)
                    .with_context(|| format!("attaching to {interface} in generic mode"))?;
                (Mode::Generic, link)
            }
        };
        let pin = LinkPin {
            interface: interface.to_owned(),
            mode,
        };
        // A netlink attachment, to which aya falls back silently, cannot be pinned and would end with this process.
        FdLink::try_from(link)
            .map_err(|error: LinkError| anyhow::Error::from(error))
            .and_then(|link| Ok(link.pin(self.pins.link(&pin))?))
            .with_context(|| format!("pinning the link of {interface}"))?;
        Ok(mode)
    }

    /// Why the kernel refuses the program on an interface, in its own words.
    fn refusal(&mut self, interface: &Interface, mode: Mode) -> Option<String> {
        let name = *self.loaded.last()?;
        let program = xdp(&mut self.ebpf, name).ok()?.fd().ok()?;
        interface::refusal(interface.index, program.as_fd(), mode)
    }

    /// Attaches the first program that the driver takes in `mode`; the error is that of the last one.
    fn try_modes(&mut self, interface: &str, mode: XdpMode) -> anyhow::Result<XdpLink> {
        let mut refusal = None;
        for name in self.loaded.clone() {
            let program = xdp(&mut self.ebpf, name)?;
            match program.attach(interface, mode) {
                Ok(id) => return program.take_link(id).context("taking the link"),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.context("no program is loaded")?.into())
    }

    /// Points the programs' pins at the programs that are attached now.
    fn repin_programs(&mut self) -> anyhow::Result<()> {
        for name in self.loaded.clone() {
            let path = self.pins.program(name);
            pins::remove(&path)?;
            xdp(&mut self.ebpf, name)?
                .pin(&path)
                .with_context(|| format!("pinning {}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether the link's interface no longer exists.
fn is_gone(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(error)
        if error.io_error.raw_os_error() == Some(Errno::ENOLINK as i32))
}

fn is_busy(error: &anyhow::Error) -> bool {
    let busy = |cause: &std::io::Error| {
        cause.kind() == ErrorKind::ResourceBusy || cause.kind() == ErrorKind::AlreadyExists
    };
    error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(busy))
}
