//! Every frame that libFuzzer thinks of is parsed as the oracle says.
#![no_main]

libfuzzer_sys::fuzz_target!(|frame: &[u8]| secbeat_ebpf::oracle::check(frame));
