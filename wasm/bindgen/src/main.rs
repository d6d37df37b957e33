//! Writes the JavaScript side of a module for the browser.
//!
//! It is wasm-bindgen's own command line tool, cut down to the one thing that the build needs, so that its version is
//! pinned by the workspace's lock file and nothing has to be installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: chanwire-bindgen INPUT.wasm OUTPUT-DIRECTORY";

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("chanwire-bindgen: expected two arguments, found {}\n{USAGE}", arguments.len());
        return ExitCode::from(2);
    };
    match generate(input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("chanwire-bindgen: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Reads a module that cargo built and writes what a browser loads: the module, its JavaScript and its types.
fn generate(input: &Path, output: &Path) -> Result<(), String> {
    if !input.is_file() {
        return Err(format!(
            "there is no module at {}; build it first: \
             cargo build -p chanwire-wasm -p chanwire-sandbox --lib --target wasm32-unknown-unknown --profile wasm",
            input.display()
        ));
    }
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(input)
        .typescript(true)
        // The page calls `init()` and the module is found beside its JavaScript.
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        // A module's memory only grows: to give it back, the page goes on with a new instance.
        .reset_state_function(true);
    bindgen
        .web(true)
        .and_then(|bindgen| bindgen.generate(output))
        .map_err(|error| format!("cannot make {} from {}: {error:#}", output.display(), input.display()))
}
