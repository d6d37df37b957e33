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

fn parse(direction: &str) -> Result<Direction, JsError> {
    direction.parse().map_err(|problem: String| JsError::new(&problem))
}
