//! Attaching the program to interfaces, and seeing that it stays there. The links are pinned last, once everything that they need is in
//! place.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;
use nix::net::if_::{if_indextoname, if_nametoindex};
use secbeat_common::maps;
use secbeat_daemon::program;
use tracing::{error, info, warn};

use super::{
    Program, XdpSetup,
    attachment::{Attachment, examine},
    clsact::{self, Filter},
    hooks::Attached,
    interface::{Interface, from_below},
    migrate::BAN_MAPS,
    pins::{self, LinkPin, Pins},
    raw::link_facts,
    record::Record,
};

const LISTING: &str = "listing the interfaces to protect";

/// Returns why nothing is attached after the kill switch.
fn detached() -> String {
    let program = program::of_host();
    format!("detached by `{program} detach`; `{program} attach` undoes that")
}

impl Program {
    /// Attaches to those of `setup.interfaces` that there are, or replaces the program where a link is pinned already, and frees
    /// interfaces that are no longer configured. From then on the maps of this program are the pinned ones. After the kill switch
    /// nothing is attached.
    ///
    /// # Errors
    ///
    /// Returns an error if an interface takes neither native nor (if allowed) generic XDP, or another program holds it.
    pub fn attach(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        self.attach_all(setup, true)
    }

    /// The same for a program that takes the place of one which runs: an interface that does not take it keeps the others from nothing,
    /// and none changes its hook.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn take_over(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        self.attach_all(setup, false)
    }

    fn attach_all(&mut self, setup: &XdpSetup, is_start: bool) -> anyhow::Result<()> {
        if setup.is_detached() {
            warn!("NOTHING IS ATTACHED: {}", detached());
        } else {
            let mut interfaces = setup.interfaces.now().context(LISTING)?;
            if interfaces.is_empty() {
                // A route that is down just now takes no protection with it.
                let held = self.held(&clsact::held(self.pins.dir()).unwrap_or_default());
                interfaces = setup.interfaces.now_with(held).context(LISTING)?;
            }
            if interfaces.is_empty() {
                warn!(interfaces = %setup.interfaces, "NOTHING IS PROTECTED: {}", setup.interfaces.emptiness());
            }
            self.settle_links(&interfaces)?;
            let interfaces = from_below(&interfaces);
            let mut attached = Vec::new();
            for interface in &interfaces {
                if if_nametoindex(interface.as_str()).is_err() {
                    warn!(%interface, "NOT PROTECTED: there is no such interface yet; it is waited for");
                    continue;
                }
                match self.attach_one(interface, setup, is_start) {
                    Ok(Attached::Replaced(mode) | Attached::Anew(mode)) => attached.push((interface, mode)),
                    // Who names an interface shall not find it unprotected later.
                    Err(error) if is_start && setup.interfaces.names(interface) => return Err(error),
                    Err(error) => warn!(%interface, "NOT PROTECTED: {error:#}"),
                }
            }
            // Only now, so that a refused start leaves the host as it was.
            for (interface, mode) in attached {
                info!(%interface, mode = mode.name(), "program attached");
                self.free_other_hooks(interface, mode)?;
            }
            self.free_others(&interfaces)?;
        }
        self.note_layouts(setup);
        self.pins.publish()?;
        self.remember_pinned();
        self.note_layouts(setup);
        self.repin_programs()
    }

    /// Compares what is configured with what the kernel says, and repairs what differs: pins that are gone, links that belong to
    /// other interfaces now, interfaces that have lost the program. What cannot be repaired is said in the result.
    pub fn keep(&mut self, setup: &XdpSetup) -> Vec<Attachment> {
        let kept = self.keep_links(setup);
        match self.pins.require_trustworthy() {
            Err(error) if kept.iter().any(|it| it.mode.is_ok()) => {
                let why = format!("others may take the program off: {error:#}");
                let failed = |it: Attachment| if it.mode.is_ok() { it.failed(&why) } else { it };
                kept.into_iter().map(failed).collect()
            }
            _ => kept,
        }
    }

    fn keep_links(&mut self, setup: &XdpSetup) -> Vec<Attachment> {
        let filters = clsact::held(self.pins.dir());
        let held = self.held(filters.as_deref().unwrap_or_default());
        let interfaces = match setup.interfaces.now_with(held) {
            Ok(interfaces) => interfaces,
            Err(error) => {
                return vec![Attachment::unknown(
                    &setup.interfaces,
                    format!("{LISTING}: {error}"),
                )];
            }
        };
        if interfaces.is_empty() && !setup.is_detached() {
            let why = setup.interfaces.emptiness().to_owned();
            return vec![Attachment::unknown(&setup.interfaces, why)];
        }
        let before = examine(&interfaces, &self.own_numbers());
        if setup.is_detached() {
            // A repair was on its way when the switch was thrown.
            if before.iter().any(|attachment| attachment.mode.is_ok())
                && let Err(error) = pins::detach(&self.pins)
            {
                error!("{error:#}");
            }
            let why = detached();
            return before.into_iter().map(|before| before.failed(&why)).collect();
        }
        let has_pins = self.has_pins();
        let is_whole = has_pins && filters.is_ok_and(|filters| self.has_links(&interfaces, &filters));
        // Another program that makes ours void is not ours to remove.
        if is_whole && before.iter().all(|before| before.runs) {
            return before;
        }
        if !has_pins && let Err(error) = self.pin_again() {
            self.is_stranded = true;
            let why = format!("its pins are gone or cannot be opened, and cannot be made again: {error:#}");
            return before.into_iter().map(|before| before.failed(&why)).collect();
        }
        let mut refusals = HashMap::new();
        if let Err(error) = self
            .settle_links(&interfaces)
            .and_then(|()| self.free_others(&interfaces))
        {
            warn!("{error:#}");
        }
        for interface in from_below(&interfaces) {
            let runs = |before: &Attachment| before.interface == interface && before.runs;
            if if_nametoindex(interface.as_str()).is_err() || (is_whole && before.iter().any(runs)) {
                continue;
            }
            let attached = self.attach_one(&interface, setup, false).and_then(|attached| {
                let (Attached::Replaced(mode) | Attached::Anew(mode)) = attached;
                self.free_other_hooks(&interface, mode)?;
                Ok(attached)
            });
            match attached {
                Ok(Attached::Replaced(_)) => {
                    let before = before
                        .iter()
                        .find(|before| before.interface == interface && !before.runs);
                    if let Some(Err(why)) = before.map(|before| &before.mode) {
                        warn!(%interface, "something else had replaced the program on its link: put ours back; until then, {why}");
                    }
                }
                Ok(Attached::Anew(mode)) => {
                    warn!(%interface, mode = mode.name(), "program was not attached; attached it again");
                }
                Err(error) => drop(refusals.insert(interface, format!("{error:#}"))),
            }
        }
        // An interface may have needed one that no other had.
        let programs = self.numbered();
        if programs != self.program_ids {
            self.program_ids = programs;
            if let Err(error) = self.repin_programs() {
                warn!("{error:#}");
            }
        }
        let mut after = examine(&interfaces, &self.own_numbers());
        for attachment in after.iter_mut().filter(|attachment| attachment.mode.is_err()) {
            if let Some(why) = refusals.remove(&attachment.interface) {
                attachment.mode = Err(why);
            }
        }
        after
    }

    /// The interfaces that links are pinned for, or that have `filters`.
    fn held(&self, filters: &[(String, Filter)]) -> Vec<String> {
        let links = self.pins.links().unwrap_or_default();
        let links = links.into_iter().map(|pin| pin.interface);
        let filtered = filters.iter().map(|(name, _)| name.clone());
        links.chain(filtered).collect()
    }

    /// The numbers of the programs that were loaded when it was last looked.
    fn own_numbers(&self) -> Vec<u32> {
        self.program_ids.iter().map(|(_, id)| *id).collect()
    }

    /// The programs that are loaded and may be attached, with their numbers.
    fn numbered(&self) -> Vec<(&'static str, u32)> {
        let number = |name| Some((name, self.ebpf.program(name)?.info().ok()?.id()));
        maps::PROGRAMS.into_iter().filter_map(number).collect()
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
            let program = program::of_host();
            warn!("{error:#}; a change of kernel.ban_slots may need `{program} detach`");
        }
    }

    /// Notes which maps and programs are to be pinned.
    fn remember_pinned(&mut self) {
        self.program_ids = self.numbered();
        let pinned = maps::ALL.iter();
        self.map_ids = pinned
            .filter_map(|name| Some((*name, self.pins.map_id(name)?)))
            .collect();
    }

    /// Whether the pinned maps and programs are this one's.
    pub(crate) fn has_pins(&self) -> bool {
        let mut programs = self.program_ids.iter();
        self.map_ids.iter().all(|(name, id)| self.pins.has_map(name, *id))
            && programs.all(|(name, id)| self.pins.has_program(name, *id))
    }

    /// Whether each interface that there is has a pinned link of its own, or one of `filters`, and none is left over.
    fn has_links(&self, interfaces: &[String], filters: &[(String, Filter)]) -> bool {
        let Ok(links) = self.pins.links() else {
            return false;
        };
        let is_own = |pin: &LinkPin| {
            let index = if_nametoindex(pin.interface.as_str());
            let facts = link_facts(&self.pins.link(pin));
            interfaces.contains(&pin.interface)
                && matches!((index, facts), (Ok(index), Ok(facts)) if facts.ifindex == index)
        };
        let there_are = interfaces
            .iter()
            .filter(|name| if_nametoindex(name.as_str()).is_ok());
        links.iter().all(is_own)
            && filters.iter().all(|(name, _)| interfaces.contains(name))
            && links.len() + filters.len() == there_are.count()
    }

    /// Pins this program and its maps where nothing, or something else, is pinned.
    fn pin_again(&mut self) -> anyhow::Result<()> {
        self.pins.prepare()?;
        if !self.pins.is_locked_by(&self.lock)? {
            self.lock = Arc::new(self.pins.lock()?);
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
        warn!("pinned maps or programs were missing or replaced; pinned them again");
        self.repin_programs()
    }

    /// Removes the links and filters of interfaces that are not configured.
    fn free_others(&self, interfaces: &[String]) -> anyhow::Result<()> {
        for pin in self.pins.links()? {
            if !interfaces.contains(&pin.interface) {
                info!(interface = %pin.interface, "no longer configured: detaching");
                pins::remove(&self.pins.link(&pin))?;
            }
        }
        for (interface, filter) in clsact::held(self.pins.dir())? {
            if !interfaces.contains(&interface) {
                info!(%interface, "no longer configured: removing the filter");
                clsact::remove(&filter)?;
            }
        }
        Ok(())
    }

    /// Makes the names of the pinned links those of the interfaces that they are attached to now, and removes those that stand under
    /// the name of another interface, because theirs is gone, not configured, or in another network namespace.
    fn settle_links(&mut self, interfaces: &[String]) -> anyhow::Result<()> {
        let mut moving = Vec::new();
        for pin in self.pins.links()? {
            let facts = link_facts(&self.pins.link(&pin)).ok();
            let name = facts.and_then(|facts| {
                let name = if_indextoname(facts.ifindex).ok()?.into_string().ok()?;
                // Another namespace's interface may have the same number.
                let running = Interface::of(facts.ifindex).ok()?.running;
                let is_here = running.iter().any(|running| running.program == facts.program);
                (is_here && interfaces.contains(&name)).then_some((facts.ifindex, name))
            });
            match name {
                Some((_, name)) if name == pin.interface => {}
                Some((index, name)) => moving.push((pin, index, name)),
                None if interfaces.contains(&pin.interface) => {
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

    /// Points the programs' pins at the programs that are loaded now.
    fn repin_programs(&mut self) -> anyhow::Result<()> {
        for name in maps::PROGRAMS {
            let path = self.pins.program(name);
            pins::remove(&path)?;
            let program = self.ebpf.program_mut(name);
            let program = program.with_context(|| format!("the object has no program `{name}`"))?;
            if program.fd().is_ok() {
                program
                    .pin(&path)
                    .with_context(|| format!("pinning {}", path.display()))?;
            }
        }
        Ok(())
    }
}
