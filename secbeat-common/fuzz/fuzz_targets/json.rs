//! What is read of JSON by a key map, in pieces and beside `serde_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_logs::check_json(line));
