//! The kernel side: the only user of aya. Everything above it speaks of prefixes, bans and times.

mod attach;
mod attachment;
mod banned_nets;
mod bans;
#[expect(unsafe_code, reason = "the bpf(2) calls that aya does not have")]
mod batch;
mod btf;
mod clock;
mod clsact;
mod counters;
mod entry;
mod events;
mod floods;
mod hooks;
mod host;
mod interface;
mod lane;
mod layout;
mod list_tables;
mod memory;
mod migrate;
mod modes;
mod names;
mod net_tables;
mod nets;
#[expect(
    unsafe_code,
    reason = "maps with described types, which aya makes of objects alone"
)]
mod new_table;
mod object;
mod pins;
mod places;
mod probe;
mod program;
#[expect(unsafe_code, reason = "bpf(2), which aya does not offer for untyped maps")]
mod raw;
mod record;
mod rtnetlink;
mod selection;
mod settings;
#[expect(
    unsafe_code,
    reason = "memory shared with the kernel, which aya does not offer"
)]
mod shared;
mod sieve;
mod slots;
mod source_bans;
mod survey;
mod swapped;
#[expect(unsafe_code, reason = "the one place of bpf(2)")]
mod syscall;
mod unpinned;

pub(crate) use attachment::observed;
pub use attachment::{Attachment, attachments};
pub use bans::{BanMaps, Walk};
pub use clock::{JiffyClock, boot_now, moment_now};
pub use counters::{Totals, packets, read_totals};
pub use entry::Unwritten;
pub use events::DropEvents;
pub use floods::{Floods, HeldBack};
pub use host::{has_tcx, release, require_host};
pub use interface::with_our_programs;
pub use list_tables::{Allowing, ListTables, Listing, read_lists};
pub use memory::memory;
pub use modes::InterfaceModes;
pub use names::primary;
pub use nets::{AllowedNets, read_allowed};
pub use new_table::new_table;
pub use object::{Object, ObjectSource};
pub use pins::{Pins, detach};
pub use places::{Place, Places};
pub use probe::{Carries, is_dropped};
pub use program::{DETACHED, Hook, Probes, Program, XdpSetup, jiffy_clock};
pub use secbeat_edge_core::KernelBan;
pub use selection::Selection;
pub use settings::SettingsMap;
pub use slots::Slots;
pub use survey::{Surveyed, survey};
pub use swapped::Staged;
pub use unpinned::detach_noted;
