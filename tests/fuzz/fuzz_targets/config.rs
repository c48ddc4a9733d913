//! Whatever a config file holds, a daemon takes it, or says in a line what is wrong with it.
#![no_main]

#[path = "../../src/configs.rs"]
mod configs;

libfuzzer_sys::fuzz_target!(|text: &[u8]| configs::check(text));
