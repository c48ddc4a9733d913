//! Feeds: lists of networks that others publish. One orchestrator at a time asks their sources; what it takes goes to all edges over the
//! bus, with a record that also the next orchestrator goes by.

mod entry;
mod fetch;
mod keeper;
mod look;
mod plan;
mod presets;
mod sift;
#[cfg(test)]
mod tests;

pub use self::{
    entry::{FeedEntry, FeedMode},
    presets::{PUBLIC_FEEDS, Preset, PublicFeed, table},
};
pub(crate) use self::{
    entry::{check, resolve},
    keeper::{Entries, Feeds, Refusal, Tested, keep},
    look::{Looked, try_here},
    sift::Sifted,
};
