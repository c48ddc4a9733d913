//! Whatever a connection begins with, a PROXY header in it has bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| secbeat_edge_fuzz::check_proxy_header(bytes));
