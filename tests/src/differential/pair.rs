//! The program in the kernel and the model of it, side by side.

use std::net::IpAddr;

use secbeat_common::{
    maps::{Ban, ClockReading, DropEvent, family, origin},
    verdict::Verdict,
};
use secbeat_ebpf::oracle;

use crate::{
    differential::{changes::Change, packets::Packet},
    lab::{
        bpf::{Counters, Filter},
        model::Model,
    },
};

/// Both, told the same.
#[derive(Debug)]
pub struct Pair {
    pub filter: Filter,
    pub model: Model,
    /// One reading serves all packets: ends are long past or never come.
    now: ClockReading,
}

impl Pair {
    /// A fresh program, told all that `model` holds; counting starts at zero, but for what bans have counted.
    #[must_use]
    pub fn of(mut model: Model) -> Self {
        let mut filter = Filter::load_whole();
        for (source, ban) in &model.bans {
            filter.ban(source.addr(), *ban);
        }
        for (net, ban) in &model.nets {
            filter.ban_net(*net, *ban);
        }
        if !model.tabled.is_empty() {
            filter.set_net_table(&model.tabled);
        }
        for prefix in &model.allowed {
            filter.allow(*prefix);
        }
        filter.set_settings(model.settings);
        model.counters = Counters::default();
        model.events.clear();
        let now = filter.clocks();
        Self { filter, model, now }
    }

    /// The clocks when it was made.
    #[must_use]
    pub fn start(&self) -> ClockReading {
        self.now
    }

    /// Makes the same changes on both sides. The program may go on dropping from memory until the jiffy ends, so that is
    /// waited for.
    pub fn change(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.make(change);
        }
        self.filter.wait_for_next_jiffy();
    }

    fn make(&mut self, change: Change) {
        let Self { filter, model, .. } = self;
        match change {
            Change::Ban(source, ban) => {
                filter.ban(source.addr(), ban);
                model.bans.insert(source, ban);
            }
            Change::Unban(source) => {
                filter.unban(source.addr());
                model.bans.remove(&source);
            }
            Change::Stamp(source, unallowed_in) => {
                // As an edge does it: what the program has counted so far is read and written back, and what it holds
                // back stays there.
                let ban = filter.ban_of(source.addr()).expect("a ban to stamp");
                filter.ban(source.addr(), Ban { unallowed_in, ..ban });
                let ban = model.bans.get_mut(&source).expect("a ban to stamp");
                ban.unallowed_in = unallowed_in;
            }
            Change::BanNet(net, ban) => {
                filter.ban_net(net, ban);
                model.nets.insert(net, ban);
            }
            Change::UnbanNet(net) => {
                filter.unban_net(net);
                model.nets.remove(&net);
            }
            Change::Table(nets) => {
                filter.set_net_table(&nets);
                model.tabled = nets;
            }
            Change::Allow(prefix) => {
                filter.allow(prefix);
                model.allowed.insert(prefix);
            }
            Change::Disallow(prefix) => {
                filter.disallow(prefix);
                model.allowed.remove(&prefix);
            }
            Change::Settings(settings) => {
                filter.set_settings(settings);
                model.settings = settings;
            }
        }
    }

    /// Sends one packet through both.
    ///
    /// # Errors
    ///
    /// The difference, when the program does something else with the packet than the model, or changes it.
    pub fn send(&mut self, packet: &Packet) -> Result<(), String> {
        // The model has its parser from the program: whether that is right is another's word.
        oracle::check(&packet.bytes);
        let (verdict, action) = self.model.judge(&packet.bytes, self.now);
        let outcome = self
            .filter
            .try_test_run(packet.entry.program(), &packet.bytes)
            .map_err(|error| format!("the kernel refuses to run it: {error:?}"))?;
        if outcome.action != action {
            return Err(format!(
                "the model says {} (action {action}), the program action {}",
                verdict.name(),
                outcome.action
            ));
        }
        if outcome.packet != packet.bytes {
            return Err(format!("the program changed it to {:02x?}", outcome.packet));
        }
        Ok(())
    }

    /// Compares all that was counted.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn compare(&mut self) -> Result<(), String> {
        let counters = self.filter.counters();
        for verdict in Verdict::ALL {
            let slot = verdict as usize;
            same(
                &format!("counted as {}", verdict.name()),
                &counters[slot],
                &self.model.counters[slot],
            )?;
        }
        let floods = self.filter.floods();
        for (source, expected) in &self.model.bans {
            let mut ban = self.filter.ban_of(source.addr());
            // Exact: nothing is counted twice or lost between the map and the memories. How much of it is in which
            // depends on when jiffies end.
            if let Some(ban) = &mut ban {
                let (word, family) = flood_key(source.addr());
                let held_back = floods.iter().filter(|flood| {
                    (flood.source, flood.family, flood.expires_boot_ns) == (word, family, ban.expires_boot_ns)
                });
                for flood in held_back {
                    ban.dropped_packets += u64::from(flood.packets);
                    ban.dropped_bytes += flood.bytes;
                }
            }
            same(&format!("the ban of {source}"), &ban, &Some(*expected))?;
        }
        for (net, expected) in &self.model.nets {
            same(
                &format!("the ban of {net}"),
                &self.filter.ban_of_net(*net),
                &Some(*expected),
            )?;
        }
        for (net, expected) in &self.model.tabled {
            same(
                &format!("the ban of {net} in the table"),
                &self.filter.ban_in_net_table(*net),
                &Some(*expected),
            )?;
        }
        self.compare_events()
    }

    /// Which packet of a remembered source sends an event depends on when jiffies end. So those of stamped bans are left
    /// out: the fleet's (see `changes`).
    fn compare_events(&mut self) -> Result<(), String> {
        let exact = |events: Vec<DropEvent>| -> Vec<DropEvent> {
            let exact = events.into_iter().filter(|event| event.origin == origin::LOCAL);
            exact.map(|event| DropEvent { boot_ns: 0, ..event }).collect()
        };
        let (sent, expected) = (exact(self.filter.events()), exact(self.model.take_events()));
        for (number, (sent, expected)) in sent.iter().zip(&expected).enumerate() {
            same(&format!("event {number}"), sent, expected)?;
        }
        same("events", &sent.len(), &expected.len())?;
        same("lost events", &self.filter.lost_events(), &0)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, kernel: &T, model: &T) -> Result<(), String> {
    if kernel == model {
        return Ok(());
    }
    Err(format!(
        "{what}: {kernel:?} in the kernel, {model:?} in the model"
    ))
}

/// A source as `Flood` has it.
fn flood_key(source: IpAddr) -> (u64, u32) {
    match source {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            (u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), family::V4)
        }
        IpAddr::V6(v6) => {
            let upper_half = (u128::from(v6) >> 64) as u64;
            (u64::from_ne_bytes(upper_half.to_be_bytes()), family::V6)
        }
    }
}
