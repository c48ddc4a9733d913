//! ipset, matched by iptables before routing and connection tracking.

use std::fmt::Write as _;

use secbeat_programs::FilterPeer;

use super::{
    Dropped,
    iptables::{self, Variant},
    tool,
};
use crate::{
    bench::sources::{BANNED_V4, others},
    lab::netns::Namespace,
};

const SET: &str = "banned";

pub(super) fn install(host: &Namespace) -> Result<Dropped, String> {
    let mut set = format!("create {SET} hash:ip timeout 14400\nadd {SET} {BANNED_V4}\n");
    for other in others() {
        // Writing to a string does not fail.
        let _ = writeln!(set, "add {SET} {other}");
    }
    tool::run(host, FilterPeer::Ipset, &["restore"], &set)?;
    let rule = format!("*raw\n-A PREROUTING -m set --match-set {SET} src -j DROP\nCOMMIT\n");
    iptables::load(host, Variant::Nft, &rule)?;
    let host = host.clone();
    Ok(Box::new(move || {
        iptables::dropped(&host, Variant::Nft, "raw", "PREROUTING")
    }))
}
