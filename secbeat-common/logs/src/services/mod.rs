//! Lines of services that are not web servers, such as sshd and mail servers, read by filters that are data.
//!
//! A [`Filter`] is a TOML file: what its service writes before a message, patterns of messages that blame a client, and
//! lines to test them with. [`Filter::judge`] says whom a line blames.
//!
//! **A client never chooses whom a line blames.** A pattern names where the service itself writes the address. Each address
//! in a line is tried there, and a line that can be read with two different clients blames nobody ([`Verdict::Ambiguous`]).
//! So what a client puts into a user name can make its own line ambiguous where the layout leaves it open, and no more.
//! A service that writes a line break as it came is the exception: there a client can write whole lines. Where a filter can tell how far
//! these reach, [`OpenLines::after_broken_ones`](crate::OpenLines::after_broken_ones) has them blame nobody (`docs/services.md`).

mod addresses;
mod attempts;
mod containers;
mod doubt;
mod filter;
mod head;
pub mod import;
mod journald;
mod judge;
mod lazy;
mod pattern;
mod prefilter;
mod shipped;
#[cfg(test)]
mod tests;

pub use self::{
    attempts::Attempts,
    doubt::Reach,
    filter::{Attempt, Class, DefaultRule, Filter, FilterError, SelfTest},
    head::{Clock, Input},
    journald::{Journald, facility, is_unit, slice_of_instances},
    judge::{Blame, Forgiven, Judged, Verdict},
    shipped::{shipped, shipped_names},
};
pub(crate) use self::{containers::Containers, doubt::Doubt};
