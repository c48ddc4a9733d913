//! Whatever a line of a firewall's audit log holds, an event of it keeps its limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::waf::check(line));
