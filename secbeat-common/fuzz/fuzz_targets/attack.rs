//! What a client sends, written by servers and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|sent: &[u8]| secbeat_logs::check_attack(sent));
