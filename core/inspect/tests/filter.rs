//! The filter says of each row what a naive reading of the language says.

#![cfg(test)]

mod filter {
    mod asked;
    mod completions;
    mod facts;
    mod mistakes;
    mod naive;
    mod properties;
}
