//! A server's deadlines and its way to the end.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::deadlines(data));
