//! Hosts, links, daemons, clients and the kernel's tables, each removed when its guard is dropped.

pub mod bpf;
pub mod chain;
pub mod client;
pub mod files;
pub mod fleet;
pub mod frames;
pub mod host;
pub mod http;
pub mod interrupt;
pub mod journal;
pub mod login;
pub mod model;
pub mod nats;
pub mod netns;
pub mod nginx;
pub mod old_layout;
pub mod paths;
mod pin_folder;
pub mod pinned;
pub mod process;
pub mod udp;
pub mod visitor;
pub mod wait;
pub mod wire;
