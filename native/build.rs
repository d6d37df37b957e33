//! Puts the inspector's page into the binary: a table of every file under `web/dist`, or, in a tree where the page
//! has not been built, one page that says how to build it. Nothing but cargo is needed for the second.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?).join("assets.rs");
    let web = package.join("../web");
    let dist = web.join("dist");

    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        println!("cargo::rerun-if-changed={}", dist.display());
        collect(&dist, "", &mut files)?;
    } else {
        // Cargo takes a watched path that does not exist for changed at every build. The folder above exists, and it
        // changes when `dist` appears in it.
        println!("cargo::rerun-if-changed={}", web.display());
        files.push(("index.html".to_owned(), package.join("src/http/without-page.html")));
    }
    println!("cargo::rerun-if-changed=build.rs");
    files.sort();

    // A gzipped file is the other form of the one beside it, and has no path of its own.
    let gzipped = |path: &str| files.iter().find(|(other, _)| other.strip_suffix(".gz") == Some(path));
    let is_form = |path: &str| path.strip_suffix(".gz").is_some_and(|of| files.iter().any(|(path, _)| path == of));
    let mut table = String::from("&[\n");
    for (path, file) in files.iter().filter(|(path, _)| !is_form(path)) {
        let kind = content_type(path);
        let include = |file: &Path| format!("include_bytes!({:?}) as &[u8]", file.display().to_string());
        let gzip = gzipped(path).map_or("None".to_owned(), |(_, file)| format!("Some({})", include(file)));
        writeln!(table, "    Asset {{ path: {path:?}, kind: {kind:?}, bytes: {}, gzip: {gzip} }},", include(file))?;
    }
    table.push_str("]\n");
    fs::write(out, table)?;
    Ok(())
}

/// Adds every file under `folder`, with its path in the URL.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| format!("{} has a name that is not UTF-8", entry.path().display()))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push((path, entry.path()));
        }
    }
    Ok(())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
