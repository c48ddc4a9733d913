//! The kernel side: the only user of aya. Everything above it speaks of prefixes, bans and times.

mod bans;
mod clock;
mod host;
mod nets;
mod object;
mod pins;
mod program;

pub use bans::{BanMaps, KernelBan};
pub use clock::{BootTime, JiffyClock, boot_now};
pub use host::require_host;
pub use nets::{AllowedNets, Totals, read_totals};
pub use object::{Object, ObjectSource};
pub use pins::{Pins, detach};
pub use program::{Attachment, Program, XdpSetup, attachments, jiffy_clock};
