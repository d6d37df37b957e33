//! One answer to everything that asks for one, in order and within bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::server(data));
