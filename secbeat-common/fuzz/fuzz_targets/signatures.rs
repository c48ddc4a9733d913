//! A text as each field of a request, with all shipped signatures.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| secbeat_signatures::check(line));
