//! The kernel side: the only user of aya. Everything above it speaks of prefixes, bans and times.

mod attach;
mod bans;
mod btf;
mod clock;
mod host;
mod layout;
mod migrate;
mod nets;
mod object;
mod pins;
mod program;
#[expect(unsafe_code, reason = "bpf(2), which aya does not offer for untyped maps")]
mod raw;
mod settings;

pub use attach::{Attachment, attachments};
pub use bans::{BanMaps, KernelBan};
pub use clock::{BootTime, JiffyClock, boot_now};
pub use host::require_host;
pub use nets::{AllowedNets, Totals, read_totals};
pub use object::{Object, ObjectSource};
pub use pins::{Pins, detach};
pub use program::{Program, XdpSetup, jiffy_clock};
pub use settings::SettingsMap;
