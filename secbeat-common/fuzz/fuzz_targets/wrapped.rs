//! Lines in wrappers, and lines that are divided.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::check_wrapped(line));
