//! The enforcer's log lines and counters.

use secbeat_bus::{RefusalReason, RefusedCommands};
use secbeat_daemon::program;
use secbeat_edge_core::Fact;
use tracing::{debug, error, info, warn};

/// Returns who banned, for messages; empty on a host without a fleet.
fn by_whom() -> &'static str {
    if program::is_one_host() {
        ""
    } else {
        " by the fleet"
    }
}

/// Logs `fact`, and counts it where it is a command that was not accepted.
pub(super) fn report(fact: Fact, refused: &RefusedCommands) {
    match fact {
        Fact::Banned { target, reason, note } => {
            info!(target: "audit", %target, reason = reason.name(), note, "banned{}", by_whom());
        }
        Fact::Lifted(target) => info!(target: "audit", %target, "unbanned{}", by_whom()),
        Fact::BannedHere(target) => info!(target: "audit", %target, "banned on this host"),
        Fact::Detected { target, reason, note } => {
            info!(target: "audit", %target, reason = reason.name(), note, "banned on this host by its own detector");
        }
        Fact::Brought { bans } => info!(bans, "bans from before this host joined the fleet are in force"),
        Fact::TakenOver(target) => {
            info!(target: "audit", %target, "the fleet has taken over the ban of this host");
        }
        Fact::LiftedHere(target) => info!(target: "audit", %target, "unbanned on this host"),
        Fact::Refused { target, refusal } => {
            warn!(target: "audit", %target, "ban refused on this host: {refusal}");
        }
        Fact::ModeSwitched(mode) => info!(target: "audit", %mode, "mode switched on this host"),
        Fact::Unprotected(why) => error!("NOT PROTECTED: {why}"),
        Fact::Protected => info!("all configured interfaces are protected again"),
        Fact::StaleCommand => refused.count(RefusalReason::Stale),
        Fact::ExpiredCommand { target, late_ms } => {
            refused.count(RefusalReason::Expired);
            warn!(%target, late_ms, "a ban had ended before it came: is this host's clock right?");
        }
        Fact::SnapshotRead { bans } => info!(bans, "read the bans in force"),
        Fact::BucketReplaced => {
            warn!("the bans bucket was recreated: bans stay until they expire or are removed again");
        }
        Fact::AllowlistChanged => info!("the allowlist changed"),
        Fact::AllowlistFailed(why) => error!("{why}; trying again"),
        Fact::WriteFailed(why) => error!("{why}; reconciliation will try again"),
        Fact::Drifted(drift) => warn!(
            missing = drift.missing,
            evicted = drift.evicted,
            differing = drift.differing,
            foreign = drift.foreign,
            "the kernel's bans had drifted: repairing"
        ),
        Fact::Crowded { map, fill } => warn!(
            map,
            bans = fill.entries,
            slots = fill.slots,
            "over half full; an LRU map evicts bans before it is full: raise kernel.ban_slots"
        ),
        Fact::Reconciled(stats) => debug!(?stats, "reconciled"),
        Fact::ReconcileFailed(why) => error!("comparing the kernel's bans with the desired ones: {why}"),
    }
}
