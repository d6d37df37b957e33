//! Every file of the inspector's page, as the binary serves it.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use chanwire_tests::process::{DEADLINE, Launch};
use tempfile::tempdir;

/// Headers of every answer. A worker's script and a module bring their own policy: it must be on each of them.
const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src \
         'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types chanwire",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

struct Response {
    status: String,
    headers: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
}

fn ask(address: SocketAddr, method: &str, path: &str, more: &str) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let host = if more.contains("Host: ") { String::new() } else { format!("Host: {address}\r\n") };
    write!(stream, "{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    Response { status, headers, body }
}

/// Collects the paths of the page's files.
fn files(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = format!("{prefix}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &path, paths);
        } else {
            paths.push(path);
        }
    }
}

#[test]
fn every_file_and_every_refusal_carries_every_security_header() {
    let data = tempdir().unwrap();
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist");
    let launch = Launch::new(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"]);
    let server = launch.arg(data.path()).start();
    let url = server.banner().last().unwrap().trim_start_matches("inspector at http://");
    let address: SocketAddr = url.split('/').next().unwrap().parse().unwrap();

    let mut paths = Vec::new();
    files(&dist, "", &mut paths);
    paths.retain(|path| !path.ends_with(".gz"));
    for kind in [".html", ".js", ".css", ".wasm"] {
        assert!(paths.iter().any(|path| path.ends_with(kind)), "no {kind} among {paths:?}: run `make build`");
    }
    assert!(paths.iter().any(|path| path.to_lowercase().contains("worker")), "no worker's script among {paths:?}");

    let mut asked: Vec<(&str, &str, String, &str)> = Vec::new();
    for path in paths.iter().map(String::as_str).chain(["/"]) {
        asked.push(("GET", path, String::new(), "200"));
        asked.push(("GET", path, "Accept-Encoding: gzip\r\n".into(), "200"));
        asked.push(("HEAD", path, String::new(), "200"));
    }
    asked.push(("GET", "/nothing", String::new(), "404"));
    asked.push(("GET", "/assets/../Cargo.toml", String::new(), "404"));
    asked.push(("POST", "/", String::new(), "405"));
    asked.push(("DELETE", "/bridge", String::new(), "405"));
    asked.push(("GET", "/", "Host: evil.example\r\n".into(), "421"));
    // It is no upgrade, and comes from nowhere.
    asked.push(("GET", "/bridge", String::new(), "4"));
    for (method, path, more, status) in asked {
        let response = ask(address, method, path, &more);
        assert!(response.status.starts_with(status), "{method} {path}: {}", response.status);
        for (name, value) in HEADERS {
            let found = response.headers.get(name).map(Vec::as_slice);
            assert_eq!(found, Some(&[value.to_owned()][..]), "{method} {path} {more:?}: {name}");
        }
        let caching = response.headers["cache-control"].join(", ");
        let is_hashed = status == "200" && path.starts_with("/assets/");
        assert_eq!(caching.contains("immutable"), is_hashed, "{method} {path}: {caching}");
        if status == "200" && method == "GET" && more.is_empty() && path != "/" {
            let built = fs::read(dist.join(path.trim_start_matches('/'))).unwrap();
            assert!(response.body == built, "{path} is not the file that was built: run `make build`");
        }
    }
    server.stop();
}
