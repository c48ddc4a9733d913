//! A line as `caddy-json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::check("caddy-json", line));
