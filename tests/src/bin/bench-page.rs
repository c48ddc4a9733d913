//! `cargo xtask bench page`: how quick the web page is in Chromium, on a host with 100,000 bans.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a developer's tool: a failure here is the failure to report"
)]

use secbeat_tests::lab::{browser::drive, interrupt::install, one_host::OneHost};
use serde_json::Value;

const URL: &str = "http://127.0.0.1:3030";
const BANS: &str = "100000";
/// The default, which has room for them.
const BAN_SLOTS: u32 = 262_144;

fn main() {
    install();
    let host = OneHost::start_with_slots("[api]\nlisten = \"127.0.0.1:3030\"\n", BAN_SLOTS);
    let link = host.secbeat(&["dashboard", "-o", "json"]);
    assert!(link.status.success(), "{link:?}");
    let link: Value = serde_json::from_slice(&link.stdout).expect("a link");
    let arguments = [URL, link["url"].as_str().expect("its URL"), BANS];
    let said = drive(&host.host, "measure.mjs", &arguments, |what| {
        panic!("nobody knows how to `{what}`")
    });
    print!("{said}");
}
