//! Parses the header of a proxy in any pieces, and headers that a proxy writes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::proxy_header(data));
