//! The inspector's engine for the browser: `chanwire-inspect` behind JavaScript's types, and no logic of its own.

mod import;
mod viewer;

use chanwire_inspect::Direction;
pub use import::{Importer, preview};
pub use viewer::{ExportPart, Viewer};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Which way bytes go, seen from the client: requests go out, answers and pushes come in. */
export type Direction = "out" | "in";
"#;

/// Returns the memory of this instance of the module, in bytes. It never gives any back.
#[wasm_bindgen]
#[must_use]
pub fn heap() -> f64 {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size(0);
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0_usize;
    pages as f64 * 65_536.0
}

fn parse(direction: &str) -> Result<Direction, JsError> {
    direction.parse().map_err(|problem: String| JsError::new(&problem))
}
