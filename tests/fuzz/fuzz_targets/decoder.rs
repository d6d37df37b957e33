//! The frame decoder: invariance, tiling, a naive decoder, and what is kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chanwire_tests::fuzz_bodies::decoder(data, |work| {
    allocation_counter::measure(work).bytes_current
}));
