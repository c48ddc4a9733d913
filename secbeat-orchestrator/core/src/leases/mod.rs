//! Partitions shared among orchestrators: who owns which, and for how long that is certain.
//!
//! [`Keeper`] decides what to take, keep and give back; [`LeaseTable`] is what follows for all others in the process.

mod keeper;
mod table;
#[cfg(test)]
mod tests;

pub use self::{
    keeper::{Entry, Identity, Keeper, Terms, Write},
    table::{LeaseTable, Standing, Tenure},
};

/// A partition that this orchestrator has taken or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Taken {
        partition: u16,
        /// Of its bans: greater than that of any owner before.
        epoch: u64,
    },
    /// It was given back, or another orchestrator has it.
    Lost { partition: u16 },
}
