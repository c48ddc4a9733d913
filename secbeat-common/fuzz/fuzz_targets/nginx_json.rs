//! A line as `nginx-json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::check("nginx-json", line));
