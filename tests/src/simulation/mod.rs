//! A fleet in one thread: two orchestrators and three edges, made of the daemons' cores, over a simulated bus that loses,
//! delays, repeats and reorders, with crashes at every step and clocks that differ. One seed, one course of events.
//!
//! * `server`: the bus's server: the bucket of bans, the leases, telemetry, the audit.
//! * `orchestrator`, `edge`: a process around each core, as thin as can be.
//! * `world`: what happens, and when.
//! * `raid`: attackers that know the safety limits; `queue` is an account of who waits for one.
//! * `verdict`: what must be true once the fleet has healed.

mod edge;
mod orchestrator;
mod queue;
mod raid;
mod server;
mod verdict;
mod world;

use self::{raid::Limit, world::World};

/// Runs the fleet of `seed` through two minutes of trouble and one of peace.
///
/// # Errors
///
/// When afterwards two members disagree, or a ban was lost, doubled, prolonged, ended by a shorter one that may not, or brought
/// back after its unban; the message says how to run it again.
pub fn run(seed: u64) -> Result<Summary, String> {
    play(World::new(seed, None), seed)
}

/// Runs the fleet of `seed` through a raid of attackers that know its safety limits, and the same trouble.
///
/// # Errors
///
/// As [`run`]; also when a loud attacker is not banned within a minute of quiet, when one of the crowd is banned before it, when one
/// network has more than its part, when something waits that no limit holds back, or when a client that did nothing wrong is banned.
pub fn run_raid(seed: u64) -> Result<Summary, String> {
    play(World::new(seed, Some(Limit::of(seed))), seed)
}

fn play(mut world: World, seed: u64) -> Result<Summary, String> {
    world.trouble();
    world.heal();
    let checked = verdict::check(&world).and_then(|()| match world.forgotten() {
        0 => Ok(()),
        count => Err(format!("{count} findings wait, and no limit holds them back")),
    });
    checked.map_err(|wrong| {
        let story = world.story();
        format!("{story}\nseed {seed:#x}: {wrong}\nSECBEAT_SEED={seed:#x} runs it again")
    })?;
    Ok(world.summary())
}

/// What a run went through: a run in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bans that reached the bucket, by their ids.
    pub bans: usize,
    /// Orders that were carried out.
    pub orders: usize,
    /// Those among them that lifted a ban.
    pub unbans: usize,
    pub crashes: usize,
    /// Operations and answers that were lost.
    pub lost: usize,
    /// Writes that met something else under their key.
    pub conflicts: usize,
    /// Findings that a safety limit held back.
    pub held_back: usize,
}

impl Summary {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bans: self.bans + other.bans,
            orders: self.orders + other.orders,
            unbans: self.unbans + other.unbans,
            crashes: self.crashes + other.crashes,
            lost: self.lost + other.lost,
            conflicts: self.conflicts + other.conflicts,
            held_back: self.held_back + other.held_back,
        }
    }
}
