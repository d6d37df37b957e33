//! Compares the end of an object, its validity and the offset of its fault with another parser's.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::oracle(data));
