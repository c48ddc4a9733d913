//! The edge's side of the bus: what it publishes never blocks it, and what it watches ends up in the enforcer.

mod bans;
mod publisher;
mod wanted;

pub(crate) use self::{
    bans::BanWatch,
    publisher::{Dropped, Publisher},
    wanted::watch_wanted,
};
