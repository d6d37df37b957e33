//! The inspector's composer for the browser: `chanwire-inspect` behind JavaScript's types, and no logic of its own. It
//! is small, so that the page can be used before there is any traffic.
//!
//! Everything that leaves is a plain object of strings, numbers, booleans and arrays, as `types.d.ts` declares it.

use std::collections::BTreeMap;

use chanwire_inspect::{
    Problem,
    plan::{Faults, Step},
};
use serde::{Serialize, Serializer};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

/// Returns a form for each command that there is.
#[wasm_bindgen(unchecked_return_type = "CommandForm[]")]
pub fn commands() -> Result<JsValue, JsError> {
    plain(&chanwire_inspect::commands())
}

/// Returns the canonical bytes of a request from the values of its fields, or the problems that the server would
/// report. An empty field is absent.
///
/// # Errors
///
/// Values that are no object of strings.
#[wasm_bindgen(unchecked_return_type = "Composed")]
pub fn compose(
    command: &str,
    #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] values: JsValue,
) -> Result<JsValue, JsError> {
    let values: BTreeMap<String, String> = serde_wasm_bindgen::from_value(values)?;
    plain(&match chanwire_inspect::compose(command, &values) {
        Ok(bytes) => Composed::Bytes { bytes },
        Err(problems) => Composed::Problems { problems },
    })
}

/// Returns the form that composes exactly these bytes, if there is one.
#[wasm_bindgen(unchecked_return_type = "Filled | undefined")]
pub fn fill(bytes: &[u8]) -> Result<JsValue, JsError> {
    plain(&chanwire_inspect::fill(bytes))
}

/// Returns the steps by which these bytes are sent under a fault plan with these values.
///
/// # Errors
///
/// Values that are no object of strings.
#[wasm_bindgen(unchecked_return_type = "Planned")]
pub fn plan(
    bytes: &[u8],
    #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] faults: JsValue,
) -> Result<JsValue, JsError> {
    let typed: BTreeMap<String, String> = serde_wasm_bindgen::from_value(faults)?;
    let steps = Faults::read(&typed).and_then(|faults| faults.steps(bytes).map_err(|problem| vec![problem]));
    plain(&match steps {
        Ok(steps) => Planned::Steps { steps },
        Err(problems) => Planned::Problems { problems },
    })
}

/// Returns the server's verdicts on these bytes, were they all that a connection sends.
#[wasm_bindgen(unchecked_return_type = "Row[]")]
pub fn check(bytes: &[u8]) -> Result<JsValue, JsError> {
    plain(&chanwire_inspect::check(bytes))
}

/// Returns the version of this package.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

#[derive(Serialize)]
#[serde(untagged)]
enum Composed {
    Bytes {
        #[serde(serialize_with = "byte_array")]
        bytes: Vec<u8>,
    },
    Problems {
        problems: Vec<Problem>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Planned {
    Steps { steps: Vec<Step> },
    Problems { problems: Vec<Problem> },
}

fn byte_array<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

fn plain(value: &impl Serialize) -> Result<JsValue, JsError> {
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true))?)
}
