//! Bans that a host takes along when it joins a fleet, and keeps when it leaves.

use anyhow::Context as _;
use secbeat_common::{
    maps::allow,
    wire::{Action, AllowEntry, BlockCommand, Layer, NO_LEASE, PERMANENT, Reason, Scope},
};
use secbeat_edge_core::BootTime;
use secbeat_orchestrator_core::stand_in::Orders;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    config::Config,
    kernel::{AllowedNets, BanMaps, Pins, moment_now},
    notes::Notes,
    stand_in::Kept,
};

/// What an edge begins with, beside what the kernel holds.
#[derive(Debug, Default)]
pub struct Brought {
    /// Bans that were in force before this host joined the fleet.
    pub bans: Vec<BlockCommand>,
    /// What its detector goes by until the fleet says something else.
    pub orders: Option<Orders>,
    /// Whether it was an edge of a fleet, and is none any more: bans that the kernel holds as this host's own are the bus's then.
    pub is_back: bool,
    /// Told once the kernel holds all that it should.
    pub settled: Option<oneshot::Sender<()>>,
}

/// What was in force on an edge.
#[derive(Debug, Default)]
pub struct InForce {
    /// Bans that the kernel holds, by `issuer`; `None` if no program is pinned.
    pub bans: Option<Vec<BlockCommand>>,
    /// The fleet's allowlist, as it was heard last.
    pub allowed: Vec<AllowEntry>,
}

impl InForce {
    /// Looks into the kernel and the state of the edge with this config. The bans that are found are to be those of `issuer`.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel's maps cannot be read.
    pub fn look(config: &Config, issuer: &str) -> anyhow::Result<Self> {
        let pins = Pins::at(&config.kernel.pin_dir);
        let is_pinned = config.enforcement.in_kernel() && pins.are_there();
        let bans = is_pinned.then(|| in_kernel(&pins, config, issuer));
        let bans = bans
            .transpose()
            .with_context(|| format!("reading the bans in {}", pins.dir().display()))?;
        let allowed = Kept::in_folder(&config.state_dir).allowlist();
        Ok(Self {
            bans,
            allowed: allowed.unwrap_or_default(),
        })
    }
}

impl InForce {
    /// Adds the entries of the bus's allowlist that the kernel holds: it knows neither their ends nor their comments.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel's maps cannot be read.
    pub fn with_the_kernels_allowlist(mut self, config: &Config) -> anyhow::Result<Self> {
        let pins = Pins::at(&config.kernel.pin_dir);
        if !config.enforcement.in_kernel() || !pins.are_there() {
            return Ok(self);
        }
        let added_at_ms = moment_now().wall_ms;
        let nets = AllowedNets::open(&pins).and_then(|allowed| allowed.of_reason(allow::FLEET));
        let nets = nets.with_context(|| format!("reading the allowlist in {}", pins.dir().display()))?;
        let known: Vec<_> = self.allowed.iter().map(|entry| entry.network).collect();
        let unknown = nets.into_iter().filter(|net| !known.contains(net));
        self.allowed.extend(unknown.map(|network| AllowEntry {
            network,
            comment: "taken over from the kernel, which knows no end of it".to_owned(),
            until_ms: None,
            added_by: "secbeat".to_owned(),
            added_at_ms,
        }));
        Ok(self)
    }

    /// Whether nothing is banned or allowed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.bans.as_ref().is_none_or(Vec::is_empty) && self.allowed.is_empty()
    }
}

/// The bans that the kernel holds and that have not ended. It knows rules of SecBeat's own by name alone: what another rule banned counts as
/// an operator's.
fn in_kernel(pins: &Pins, config: &Config, issuer: &str) -> anyhow::Result<Vec<BlockCommand>> {
    let now = moment_now();
    let notes = Notes::in_folder(&config.state_dir).read(now.boot);
    let bans = BanMaps::open(pins)?.all()?.into_iter();
    let bans = bans.filter(|(_, ban)| ban.ends > now.boot);
    Ok(bans
        .map(|(target, ban)| BlockCommand {
            id: Uuid::now_v7(),
            action: Action::Block,
            target,
            reason: Reason::from_code(ban.reason).unwrap_or(Reason::Manual),
            note: notes.of(&target, ban.ends).unwrap_or_default().to_owned(),
            evidence: None,
            list: None,
            scope: Scope::Fleet,
            strikes: ban.strikes,
            issued_at_ms: now.wall_ms,
            expires_at_ms: match ban.ends {
                BootTime::NEVER => PERMANENT,
                ends => {
                    let left = ends.since(now.boot).as_millis();
                    now.wall_ms
                        .saturating_add(i64::try_from(left).unwrap_or(i64::MAX))
                }
            },
            issuer: issuer.to_owned(),
            layer: Layer::Kernel,
            epoch: NO_LEASE,
        })
        .collect())
}
