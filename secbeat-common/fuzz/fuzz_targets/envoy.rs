//! A line as `envoy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_common::logs::check("envoy", line));
