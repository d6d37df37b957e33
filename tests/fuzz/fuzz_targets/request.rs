//! Decodes any payload: a valid one round-trips, and an invalid one has its fault within it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::request(data));
