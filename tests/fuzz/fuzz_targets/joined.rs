//! Pushes, pages, slow readers and the end of a connection that has joined.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::joined(data));
