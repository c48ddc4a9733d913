//! Whatever comes over the bus, a message that is read comes back from its encoding, and nothing counts as signed.
#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| secbeat_common::wire::check(message));
