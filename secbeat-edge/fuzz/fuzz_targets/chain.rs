//! Whatever a forwarding header holds, nobody but its last untrusted hop is named.
#![no_main]

libfuzzer_sys::fuzz_target!(|lines: &[u8]| secbeat_edge_fuzz::check_chain(lines));
