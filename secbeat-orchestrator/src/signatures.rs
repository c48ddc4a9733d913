//! Signatures: those that edges have of their own, those that the fleet publishes, and what became of what they recognised.

mod catalogue;
mod counts;
mod keeper;

use tokio::sync::watch;

pub(crate) use self::{
    catalogue::{Catalogue, shipped},
    counts::{Counts, LOOKED_UP},
    keeper::{Keeper, Known, Refusal, follow},
};

/// Follows what the fleet published, keeps it on the bus, and counts what became of it, for ever.
pub(crate) async fn keep(
    following: impl Future<Output = ()>,
    keeper: Keeper,
    counts: Counts,
    mut made: watch::Receiver<bool>,
) {
    let keeping = async {
        // The buckets are made by then.
        if made.wait_for(|made| *made).await.is_ok() {
            tokio::join!(keeper.restore_lost(), counts.run());
        }
    };
    tokio::join!(following, keeping);
}
