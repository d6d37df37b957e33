//! JavaScript bindings of the sandbox of `chanwire-inspect`, without any logic.
//!
//! It is a separate wasm module, because the page works without it and fetches it after everything else. All results
//! are plain objects of strings, numbers, booleans, arrays and bytes, as declared in `types.d.ts`.

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

/// A server in memory, with its clients. Times are milliseconds since it was created.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Sandbox(sandbox::Sandbox);

#[wasm_bindgen]
impl Sandbox {
    /// Creates a server with an empty store and these settings, as typed by the user. `wall` is the wall time in
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
        Ok(Self(sandbox::Sandbox::new(read(values, wall)?)))
    }

    /// Replaces the settings of the running server, as typed by the user. The seed and the wall time stay, and open
    /// connections keep their rate.
    ///
    /// # Errors
    ///
    /// Settings that [`settings_problems`] finds wrong.
    pub fn reconfigure(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Record<string, string>")] values: JsValue,
    ) -> Result<(), JsError> {
        self.0.reconfigure(read(values, 0.)?);
        Ok(())
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

    /// Connects a client, and returns its connection's number. `from` is its IP address, `unix` for a client without
    /// address rights, or `operator` for the server's operator.
    ///
    /// # Errors
    ///
    /// If `from` is none of these, or there are too many connections.
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

    /// Makes a client write these bytes after its earlier actions. Returns false if it cannot.
    pub fn write(&mut self, connection: u32, bytes: &[u8]) -> bool {
        self.0.push(connection, Step::Bytes(bytes.to_vec()))
    }

    /// Makes a client wait for this number of milliseconds. Returns false if it cannot.
    pub fn wait(&mut self, connection: u32, ms: f64) -> bool {
        self.0.push(connection, Step::Wait(ms as u64))
    }

    /// Makes a client shut down its sending half. Returns false if it cannot.
    pub fn end(&mut self, connection: u32) -> bool {
        self.0.push(connection, Step::End)
    }

    /// Makes a client reset its connection. Returns false if it cannot.
    pub fn reset(&mut self, connection: u32) -> bool {
        self.0.push(connection, Step::Reset)
    }

    /// Closes a client's connection. No more events of it are reported.
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
    /// An unknown mode.
    #[wasm_bindgen(js_name = setStore)]
    pub fn set_store(&mut self, #[wasm_bindgen(unchecked_param_type = "StoreMode")] mode: &str) -> Result<(), JsError> {
        let found = StoreMode::ALL.into_iter().find(|known| known.name() == mode);
        let found = found.ok_or_else(|| JsError::new(&format!("a store has no mode '{}'", visible(mode))))?;
        self.0.set_store(found);
        Ok(())
    }

    /// Advances the time, and performs everything that is due until then.
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

/// Returns all scenarios.
#[wasm_bindgen(unchecked_return_type = "Scenario[]")]
pub fn scenarios() -> Result<JsValue, JsError> {
    plain(&sandbox::scenarios())
}

/// Returns all settings.
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

fn read(values: JsValue, wall: f64) -> Result<Settings, JsError> {
    let values: BTreeMap<String, String> = serde_wasm_bindgen::from_value(values)?;
    Settings::read(&values, wall as i64).map_err(|problems| {
        let words: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
        JsError::new(&words.join("; "))
    })
}

fn plain(value: &impl Serialize) -> Result<JsValue, JsError> {
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::new())?)
}
