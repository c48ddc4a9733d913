//! A kernel in memory, for tests and simulations of the enforcer.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use secbeat_common::{maps::MAX_BANNED_NETS, prefix::Prefix};

use crate::{
    BAN_MAPS, BootTime, Effect, Enforcer, Entry, Event, Fill, FilterMode, KernelBan, Moment, ObservedBan,
    Stamp, Step, WriteOutcome,
};

/// What the XDP program goes by. It outlives an enforcer, as the kernel's maps outlive the daemon.
#[derive(Clone, Debug)]
pub struct MemoryKernel {
    pub bans: BTreeMap<Prefix, KernelBan>,
    pub allowed: Arc<HashMap<Prefix, u32>>,
    pub mode: FilterMode,
    /// Whether it refuses every write.
    pub broken: bool,
    /// Most single sources. Past it the ban that was written first is evicted, as by an LRU map.
    pub slots: u32,
    /// Single sources, in the order in which they were written.
    written: VecDeque<Prefix>,
}

impl Default for MemoryKernel {
    fn default() -> Self {
        Self {
            bans: BTreeMap::new(),
            allowed: Arc::default(),
            mode: FilterMode::default(),
            broken: false,
            slots: 4096,
            written: VecDeque::new(),
        }
    }
}

impl MemoryKernel {
    /// Hands `event` to `enforcer`, carries out all that concerns the kernel and hands in the outcomes, until there is no
    /// more to do. Returns the other effects, in their order.
    pub fn drive(&mut self, enforcer: &mut Enforcer, event: Event, now: Moment) -> Vec<Effect> {
        let (mut events, mut effects, mut others) = (VecDeque::from([event]), Vec::new(), Vec::new());
        while let Some(event) = events.pop_front() {
            enforcer.handle(event, now, &mut effects);
            for effect in effects.drain(..) {
                match self.carry_out(&effect) {
                    Carried::Events(outcomes) => events.extend(outcomes),
                    Carried::NotMine => others.push(effect),
                }
            }
        }
        others
    }

    /// Carries out one effect.
    pub fn carry_out(&mut self, effect: &Effect) -> Carried {
        let why = || "the kernel is broken".to_owned();
        Carried::Events(match effect {
            Effect::Write(id, entries) => {
                let failed: Vec<_> = entries.iter().filter_map(|entry| self.write(*entry)).collect();
                let why = if failed.is_empty() { String::new() } else { why() };
                vec![Event::Written(*id, WriteOutcome { failed, why })]
            }
            Effect::Allow(_) if self.broken => vec![Event::AllowlistFailed(why())],
            Effect::Allow(nets) => {
                self.allowed = nets.clone();
                Vec::new()
            }
            Effect::SetMode(ticket, mode) if self.broken => {
                vec![Event::ModeSet(*ticket, *mode, Err(why()))]
            }
            Effect::SetMode(ticket, mode) => {
                self.mode = *mode;
                vec![Event::ModeSet(*ticket, *mode, Ok(()))]
            }
            Effect::Next(Step::BeginRead) if self.broken => vec![Event::KernelUnreadable(why())],
            Effect::Next(Step::BeginRead) => vec![Event::KernelBans(self.observed())],
            Effect::Next(Step::ReadOn) => vec![Event::KernelEnd(self.fill())],
            Effect::Next(Step::Repair) => vec![Event::Repair],
            _ => return Carried::NotMine,
        })
    }

    /// Returns the target if the entry was refused.
    fn write(&mut self, entry: Entry) -> Option<Prefix> {
        let target = entry.target();
        if self.broken {
            return Some(target);
        }
        let (Entry::Add(_, ban) | Entry::Put(_, ban)) = entry else {
            self.evict(&target);
            return None;
        };
        let counts = match entry {
            Entry::Put(..) => self.bans.get(&target),
            _ => None,
        };
        let (dropped_packets, dropped_bytes) =
            counts.map_or((0, 0), |ban| (ban.dropped_packets, ban.dropped_bytes));
        self.evict(&target);
        if target.is_single() {
            if self.written.len() >= self.slots as usize
                && let Some(oldest) = self.written.front().copied()
            {
                self.evict(&oldest);
            }
            self.written.push_back(target);
        }
        let ban = KernelBan {
            dropped_packets,
            dropped_bytes,
            ..ban
        };
        self.bans.insert(target, ban);
        None
    }

    /// Loses the ban of `target`, as an LRU map may.
    pub fn evict(&mut self, target: &Prefix) {
        self.bans.remove(target);
        self.written.retain(|written| written != target);
    }

    /// Whether packets of `source` are dropped at `now`. Of the source's own ban and the networks around it the program
    /// looks at the source first, and then at the longest network.
    #[must_use]
    pub fn drops(&self, source: IpAddr, now: BootTime) -> bool {
        if self.mode == FilterMode::Observe || self.allowed.keys().any(|net| net.contains(source)) {
            return false;
        }
        let own = self.bans.get(&Prefix::single(source));
        let nets = self
            .bans
            .iter()
            .filter(|(net, _)| !net.is_single() && net.contains(source));
        let longest = nets.max_by_key(|(net, _)| net.len()).map(|(_, ban)| ban);
        own.into_iter().chain(longest).any(|ban| ban.ends > now)
    }

    fn observed(&self) -> Vec<ObservedBan> {
        let observe = |(target, ban): (&Prefix, &KernelBan)| ObservedBan {
            target: *target,
            ban: *ban,
            stamp: Stamp::Current,
        };
        self.bans.iter().map(observe).collect()
    }

    fn fill(&self) -> [Fill; BAN_MAPS.len()] {
        let count = |of: fn(&Prefix) -> bool| self.bans.keys().filter(|target| of(target)).count() as u64;
        let fill = |entries, slots| Fill { entries, slots };
        [
            fill(
                count(|target| target.is_single() && target.addr().is_ipv4()),
                self.slots,
            ),
            fill(
                count(|target| target.is_single() && target.addr().is_ipv6()),
                self.slots,
            ),
            fill(count(|target| !target.is_single()), MAX_BANNED_NETS),
        ]
    }
}

/// Outcome of an effect.
#[derive(Clone, Debug)]
pub enum Carried {
    /// It was carried out, with these outcomes.
    Events(Vec<Event>),
    /// It does not concern the kernel.
    NotMine,
}
