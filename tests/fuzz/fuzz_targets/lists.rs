//! Whatever a list holds, every format reads it, or says which line is wrong.
#![no_main]

libfuzzer_sys::fuzz_target!(|list: &[u8]| secbeat_lists::check(list));
