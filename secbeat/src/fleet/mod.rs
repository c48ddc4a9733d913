//! A host that is an edge of a fleet: what it takes along when it joins, and what it keeps when it leaves.

pub(crate) mod edit;
mod join;
mod leave;
mod marker;
mod member;
mod store;

pub(crate) use self::{
    join::Join,
    leave::Leave,
    marker::Marker,
    member::Member,
    store::{bans_in_force, keep},
};
