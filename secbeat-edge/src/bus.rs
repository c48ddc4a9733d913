//! The edge's side of the bus: what it publishes never blocks it, and what it watches ends up in the enforcer.

mod bans;
mod clock;
mod directives;
mod publisher;

pub(crate) use self::{
    bans::BanWatch,
    clock::bus_clock,
    directives::{Directed, follow_directives},
    publisher::{Dropped, Publisher},
};
