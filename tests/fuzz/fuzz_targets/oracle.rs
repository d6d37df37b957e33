//! Where an object ends, what is JSON and where it goes wrong, against another parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::oracle(data));
