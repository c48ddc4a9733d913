//! Changes to what is banned, allowed and set, as an edge makes them while packets arrive.

use std::collections::BTreeMap;

use secbeat_common::{
    maps::{Ban, ClockReading, Settings, mode, origin, reason},
    prefix::{Prefix, canonical},
};

use crate::{
    differential::packets::any_source,
    lab::{model::Model, random::Random},
};

/// Few, so that all occur together in one packet's way.
const MOST_NETS: usize = 12;
const MOST_ALLOWED: usize = 8;

/// One change, to be made on both sides.
#[derive(Clone, Debug)]
pub enum Change {
    Ban(Prefix, Ban),
    Unban(Prefix),
    /// A new [`Ban::unallowed_in`] for a ban that keeps its counts.
    Stamp(Prefix, u32),
    BanNet(Prefix, Ban),
    UnbanNet(Prefix),
    /// A new table, in place of the one before.
    Table(BTreeMap<Prefix, Ban>),
    Allow(Prefix),
    Disallow(Prefix),
    Settings(Settings),
}

/// Makes changes that fit what there is.
#[derive(Clone, Debug)]
pub struct Changes {
    /// When the comparison started: ends in the past and in the future are told from it.
    start: ClockReading,
    /// Bans made so far. No two end at the same instant, as the program requires of bans of one source.
    bans: u64,
}

impl Changes {
    #[must_use]
    pub fn starting_at(start: ClockReading) -> Self {
        Self { start, bans: 0 }
    }

    /// The next few.
    pub fn some(&mut self, random: &mut Random, model: &Model) -> Vec<Change> {
        let mut changes = Vec::new();
        let settings = self.settings(random, model.settings);
        // The generation changes before the allowlist does.
        changes.push(Change::Settings(settings));
        if settings.allow_generation != model.settings.allow_generation {
            changes.extend(allowlist(random, model));
        }
        let generation = settings.allow_generation;
        changes.extend(stamps(random, model, generation));
        let mut sources: Vec<Prefix> = (0..random.below(4))
            .map(|_| Prefix::single(any_source(random)))
            .collect();
        sources.sort();
        sources.dedup();
        for source in sources {
            changes.push(if model.bans.contains_key(&source) && random.once_in(2) {
                Change::Unban(source)
            } else {
                Change::Ban(source, self.ban(random, generation))
            });
        }
        if model.nets.len() == MOST_NETS {
            changes.push(Change::UnbanNet(any_key(random, model.nets.keys())));
        } else if random.once_in(2) {
            changes.push(Change::BanNet(any_net(random), self.ban(random, generation)));
        }
        if random.once_in(16) {
            let net = |_| (any_net(random), self.ban(random, generation));
            changes.push(Change::Table((0..MOST_NETS).map(net).collect()));
        }
        changes
    }

    fn settings(&self, random: &mut Random, before: Settings) -> Settings {
        let allow_generation = match random.below(24) {
            // As it was in the beginning, when no edge has written an allowlist.
            0 | 1 => 0,
            2..=6 => before.allow_generation + 1,
            _ => before.allow_generation,
        };
        Settings {
            mode: random.pick(&[mode::ENFORCE, mode::ENFORCE, mode::ENFORCE, mode::OBSERVE, 77]),
            allow_generation,
            nets_in_use: random.pick(&[0, 1, 1, 2, 3, 3]),
            event_every: random.pick(&[0, 1, 64, 256]),
            sieve_in_use: random.pick(&[0, 1]),
            ports_in_use: 0,
        }
    }

    /// A ban that lasts, or that has ended by either clock. Those of origin `LOCAL` are never stamped, and so never
    /// remembered: what they count is in the map at once.
    fn ban(&mut self, random: &mut Random, generation: u32) -> Ban {
        self.bans += 1;
        let lasting = Ban {
            expires_jiffies: random.pick(&[u64::MAX, self.start.jiffies + 1_000_000_000]),
            expires_boot_ns: u64::MAX - self.bans,
            dropped_packets: random.pick(&[0, 0, 60, 1000]),
            reason: reason::MANUAL,
            strikes: random.any() as u16,
            ..Ban::default()
        };
        let ban = match random.below(6) {
            0 => Ban {
                expires_jiffies: random.pick(&[1, self.start.jiffies]),
                dropped_packets: random.below(130) as u64,
                ..lasting
            },
            1 => Ban {
                expires_boot_ns: self.bans,
                dropped_packets: random.below(130) as u64,
                ..lasting
            },
            _ => lasting,
        };
        if random.once_in(3) {
            Ban {
                origin: origin::LOCAL,
                ..ban
            }
        } else {
            Ban {
                origin: origin::FLEET,
                unallowed_in: generation,
                ..ban
            }
        }
    }
}

fn allowlist(random: &mut Random, model: &Model) -> Option<Change> {
    if model.allowed.len() == MOST_ALLOWED || (!model.allowed.is_empty() && random.once_in(3)) {
        return Some(Change::Disallow(any_key(random, model.allowed.iter())));
    }
    let prefix = any_net(random);
    // Mostly long ones: a short one leaves hardly anybody to drop.
    let long = prefix.len() >= if prefix.addr().is_ipv4() { 28 } else { 61 };
    (long || random.once_in(50)).then_some(Change::Allow(prefix))
}

/// Some of the fleet's bans are compared with the allowlist, some were and are not any more. Nobody makes sure that the
/// allowlist does not touch them: the program believes the stamp.
fn stamps(random: &mut Random, model: &Model, generation: u32) -> Vec<Change> {
    let fleet = model.bans.iter().filter(|(_, ban)| ban.origin == origin::FLEET);
    let mut changes = Vec::new();
    for (source, _) in fleet {
        if random.once_in(3) {
            let stamp = random.pick(&[
                generation,
                generation,
                generation,
                generation,
                generation.wrapping_sub(1),
                0,
            ]);
            changes.push(Change::Stamp(*source, stamp));
        }
    }
    changes
}

/// Around one of the sources, of any length.
fn any_net(random: &mut Random) -> Prefix {
    let addr = canonical(any_source(random));
    let len = if addr.is_ipv4() {
        random.pick(&[0, 8, 24, 27, 28, 29, 30, 31, 32])
    } else {
        random.pick(&[0, 32, 48, 61, 62, 63, 64, 124, 126, 128])
    };
    Prefix::new(addr, len).expect("a length of its family")
}

fn any_key<'a>(random: &mut Random, mut keys: impl ExactSizeIterator<Item = &'a Prefix>) -> Prefix {
    let number = random.below(keys.len());
    *keys.nth(number).expect("a number below the length")
}
