//! A line as `traefik-json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::check("traefik-json", line));
