//! A line as a pattern, and a pattern with a line.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::check_pattern(line));
