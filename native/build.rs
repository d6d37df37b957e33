//! Puts the inspector's page into the binary: a table of every file of the built page. It is in `page` in a package
//! that `make package` made, and in `web/dist` in the repository. Where it has not been built, one page is put in that
//! says how to build it, and the build of a package warns; nothing but cargo is needed for that.
//!
//! Warns as well where SQLite is built without the flags that the repository's `.cargo/config.toml` sets, which do not
//! reach a build elsewhere, such as one by `cargo install`.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?).join("assets.rs");
    let web = package.join("../web");

    let mut files = Vec::new();
    let built = [package.join("page"), web.join("dist")];
    if let Some(page) = built.into_iter().find(|page| page.join("index.html").is_file()) {
        println!("cargo::rerun-if-changed={}", page.display());
        collect(&page, "", &mut files)?;
    } else {
        // Cargo takes a watched path that does not exist for changed at every build. The folders above exist, and they
        // change when the page appears in them.
        let in_repository = web.is_dir();
        println!("cargo::rerun-if-changed={}", if in_repository { &web } else { &package }.display());
        if !in_repository {
            println!("cargo::warning=this package lacks the inspector's page: `make package` makes one that has it");
        }
        files.push(("index.html".to_owned(), package.join("src/http/without-page.html")));
    }
    check_sqlite();
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

/// The flags with which SQLite is to be built, as `.cargo/config.toml` gives them.
const SQLITE_FLAGS: [&str; 3] = ["-DHAVE_FDATASYNC=1", "-DSQLITE_DEFAULT_MEMSTATUS=0", "-DSQLITE_ENABLE_DBPAGE_VTAB=1"];

/// Tells the program, and whoever builds it, if SQLite lacks one of the flags. A build script cannot give them to
/// another package's.
fn check_sqlite() {
    println!("cargo::rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let flags = env::var("LIBSQLITE3_FLAGS").unwrap_or_default();
    let has = |flag: &&str| flags.split_whitespace().any(|given| given == *flag);
    let advice = if SQLITE_FLAGS.iter().all(has) {
        String::new()
    } else {
        let flags = SQLITE_FLAGS.join(" ");
        let advice = format!(
            "SQLite is built without flags that make it faster and with which deleted texts are erased: build with \
             LIBSQLITE3_FLAGS='{flags}'"
        );
        println!("cargo::warning={advice}");
        advice
    };
    println!("cargo::rustc-env=CHANWIRE_SQLITE_ADVICE={advice}");
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
