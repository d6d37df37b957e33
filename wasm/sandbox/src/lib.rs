//! The sandbox for the browser: `chanwire-inspect`'s behind JavaScript's types, and no logic of its own.
//!
//! A module of its own, because the page is whole without it: it is fetched when all else is there. Everything that
//! leaves is a plain object of strings, numbers, booleans, arrays and bytes, as `types.d.ts` declares it.

use std::{collections::BTreeMap, net::IpAddr};

use chanwire_inspect::{
    plan::Step,
    sandbox::{self, Scenario, Settings, StoreMode},
    visible,
};
use serde::Serialize;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

/// A whole server in memory. Times are milliseconds since it was made.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Sandbox(sandbox::Sandbox);

#[wasm_bindgen]
impl Sandbox {
    /// Returns a server with an empty store, and the values typed into the settings. `wall` is the time of day, in
    /// seconds since 1970.
    ///
    /// # Errors
    ///
    /// Settings that [`settings_problems`] finds wrong.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] values: JsValue,
        wall: f64,
    ) -> Result<Self, JsError> {
        let values: BTreeMap<String, String> = serde_wasm_bindgen::from_value(values)?;
        let settings = Settings::read(&values, wall as i64);
        let settings = settings.map_err(|problems| {
            let words: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
            JsError::new(&words.join("; "))
        })?;
        Ok(Self(sandbox::Sandbox::new(settings)))
    }

    /// Returns a sandbox in which the scenario of this name was played.
    ///
    /// # Errors
    ///
    /// A name that no scenario has.
    pub fn play(name: &str, seed: u32, wall: f64) -> Result<Self, JsError> {
        let scenario = Scenario::named(name);
        let scenario = scenario.ok_or_else(|| JsError::new(&format!("no scenario is called '{}'", visible(name))))?;
        Ok(Self(scenario.play(seed.into(), wall as i64)))
    }

    /// Connects a client from an IP address, as `unix` one without address rights, or as
    /// `operator` the server's operator; returns its connection's number.
    ///
    /// # Errors
    ///
    /// If the address is neither, or there are too many connections.
    pub fn connect(&mut self, from: &str) -> Result<u32, JsError> {
        let number = match from {
            "operator" => self.0.connect_operator(),
            "unix" => self.0.connect_without_rights(),
            _ => {
                let address: Result<IpAddr, _> = from.trim().parse();
                let address = address.map_err(|_| JsError::new(&format!("'{}' is no IP address", visible(from))))?;
                self.0.connect(address)
            }
        };
        number.ok_or_else(|| JsError::new("no more clients fit into the sandbox: disconnect one"))
    }

    /// Returns the reason why a client cannot queue this many more actions and bytes, if there is one.
    #[must_use]
    pub fn refusal(&self, connection: u32, steps: usize, bytes: usize) -> Option<String> {
        self.0.refusal(connection, steps, bytes)
    }

    /// Makes a client write these bytes, after its earlier actions. False if it cannot.
    pub fn write(&mut self, connection: u32, bytes: &[u8]) -> bool {
        self.0.push(connection, Step::Bytes(bytes.to_vec()))
    }

    /// Makes a client wait for this number of milliseconds. Returns false if it cannot.
    pub fn wait(&mut self, connection: u32, ms: f64) -> bool {
        self.0.push(connection, Step::Wait(ms as u64))
    }

    /// Makes a client shut down its sending half. False if it cannot.
    pub fn end(&mut self, connection: u32) -> bool {
        self.0.push(connection, Step::End)
    }

    /// Makes a client reset its connection. False if it cannot.
    pub fn reset(&mut self, connection: u32) -> bool {
        self.0.push(connection, Step::Reset)
    }

    /// Closes a client's connection, of which nothing more is reported.
    pub fn close(&mut self, connection: u32) {
        self.0.close(connection);
    }

    /// Makes a client read or stop reading.
    #[wasm_bindgen(js_name = setReading)]
    pub fn set_reading(&mut self, connection: u32, reading: bool) {
        self.0.set_reading(connection, reading);
    }

    /// Makes the store behave in this way from now on.
    ///
    /// # Errors
    ///
    /// A mode that there is not.
    #[wasm_bindgen(js_name = setStore)]
    pub fn set_store(&mut self, #[wasm_bindgen(unchecked_param_type = "StoreMode")] mode: &str) -> Result<(), JsError> {
        let found = StoreMode::ALL.into_iter().find(|known| known.name() == mode);
        let found = found.ok_or_else(|| JsError::new(&format!("a store has no mode '{}'", visible(mode))))?;
        self.0.set_store(found);
        Ok(())
    }

    /// Lets time pass, and does all that is due until then.
    pub fn run(&mut self, until: f64) {
        self.0.run(until as u64);
    }

    /// Returns the time of the next event without further input.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        self.0.next().map(|at| at as f64)
    }

    /// Returns the events since the last call.
    #[wasm_bindgen(js_name = takeEvents, unchecked_return_type = "SandboxEvent[]")]
    pub fn take_events(&mut self) -> Result<JsValue, JsError> {
        plain(&self.0.take_events())
    }

    /// Returns the state of all clients and of the store.
    #[wasm_bindgen(unchecked_return_type = "SandboxState")]
    pub fn state(&self) -> Result<JsValue, JsError> {
        plain(&self.0.state())
    }
}

/// Returns all scenarios that there are.
#[wasm_bindgen(unchecked_return_type = "Scenario[]")]
pub fn scenarios() -> Result<JsValue, JsError> {
    plain(&sandbox::scenarios())
}

/// Returns all settings that there are.
#[wasm_bindgen(unchecked_return_type = "Setting[]")]
pub fn settings() -> Result<JsValue, JsError> {
    plain(&Settings::all())
}

/// Returns the problems in the values typed into the settings.
///
/// # Errors
///
/// Values that are no object of strings.
#[wasm_bindgen(js_name = settingsProblems, unchecked_return_type = "Problem[]")]
pub fn settings_problems(
    #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] values: JsValue,
) -> Result<JsValue, JsError> {
    let values: BTreeMap<String, String> = serde_wasm_bindgen::from_value(values)?;
    plain(&Settings::read(&values, 0).err().unwrap_or_default())
}

fn plain(value: &impl Serialize) -> Result<JsValue, JsError> {
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::new())?)
}
