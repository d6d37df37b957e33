//! What can be read comes back; what cannot is wrong somewhere in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::request(data));
