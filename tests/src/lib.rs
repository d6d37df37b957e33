//! Helpers shared by the tests of the whole project: the protocol's examples, ways to run and show streams, naive
//! models to compare with, and generators.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod chance;
pub mod examples;
pub mod fault_table;
pub mod fuzz_bodies;
pub mod generate;
pub mod hub_model;
pub mod hub_trial;
pub mod link;
pub mod model;
pub mod name;
#[cfg(unix)]
pub mod process;
pub mod recorded;
pub mod respell;
pub mod show;
pub mod sim;
pub mod store;
pub mod stream;
pub mod tree;
pub mod wire_examples;
