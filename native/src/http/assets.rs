//! The inspector's page, from the binary itself.

use axum::body::Bytes;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
struct Asset {
    /// Under the root.
    path: &'static str,
    /// Its content type.
    kind: &'static str,
    bytes: &'static [u8],
    /// The same, gzipped, where that is smaller.
    gzip: Option<&'static [u8]>,
}

/// Sorted by path. The build script writes it from the page's build, or from `without-page.html`.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The folder whose files the page's build names after their content.
const HASHED: &str = "assets/";

/// Answers every request that is not for the bridge.
pub(super) async fn respond(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return method_not_allowed().await;
    }
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(Asset { path, kind, bytes, gzip }) = find(path) else {
        return (
            StatusCode::NOT_FOUND,
            "There is nothing at this path. The inspector's page is at /, its WebSocket at /bridge.\n",
        )
            .into_response();
    };
    // A hashed name means these very bytes for ever. Anything else may be another binary's tomorrow.
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-store" };
    let told = [(CONTENT_TYPE, *kind), (CACHE_CONTROL, caching), (VARY, "accept-encoding")];
    match gzip.filter(|_| takes_gzip(&headers)) {
        Some(gzip) => (told, [(CONTENT_ENCODING, "gzip")], Bytes::from_static(gzip)).into_response(),
        None => (told, Bytes::from_static(bytes)).into_response(),
    }
}

/// Whether who asks has named gzip, and not with the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line: &HeaderValue| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix(['q', 'Q']).and_then(|weight| weight.trim().strip_prefix('='));
        let weight = weight.and_then(|weight| weight.trim().parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight: f32| weight > 0.0)
    })
}

/// Answers a method that is neither GET nor HEAD.
pub(super) async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "Only GET and HEAD are answered here.\n").into_response()
}

fn find(path: &str) -> Option<&'static Asset> {
    let index = ASSETS.binary_search_by(|asset| asset.path.cmp(path));
    ASSETS.get(index.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str, accept: &[&'static str]) -> (Response, Vec<u8>) {
        let headers = accept.iter().map(|line| (ACCEPT_ENCODING, HeaderValue::from_static(line))).collect();
        let uri = format!("/{path}").parse().unwrap();
        let (head, body) = respond(Method::GET, uri, headers).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(head, axum::body::Body::empty()), body.into())
    }

    #[test]
    fn every_asset_is_found_by_its_path() {
        assert!(find("index.html").is_some());
        for asset in ASSETS {
            assert_eq!(find(asset.path), Some(asset), "{}", asset.path);
        }
        assert_eq!(find("index.htm"), None);
        assert_eq!(find("../Cargo.toml"), None);
    }

    #[tokio::test]
    async fn only_hashed_names_are_kept_by_the_browser() {
        for Asset { path, kind, bytes, .. } in ASSETS {
            let (response, body) = get(path, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], *kind, "{path}");
            assert!(body == *bytes && !response.headers().contains_key(CONTENT_ENCODING), "{path}");
            let caching = response.headers()[CACHE_CONTROL].to_str().unwrap();
            assert_eq!(caching.contains("immutable"), path.starts_with("assets/"), "{path}");
            assert_eq!(caching == "no-store", !path.starts_with("assets/"), "{path}");
        }
    }

    #[tokio::test]
    async fn who_takes_gzip_gets_it_where_it_is_smaller() {
        for Asset { path, kind, bytes, gzip } in ASSETS {
            let (response, body) = get(path, &["br", "deflate, gzip;q=0.5"]).await;
            assert_eq!(response.headers()[CONTENT_TYPE], *kind, "{path}");
            assert_eq!(response.headers()[VARY], "accept-encoding", "{path}");
            assert_eq!(response.headers().contains_key(CONTENT_ENCODING), gzip.is_some(), "{path}");
            assert!(body == gzip.unwrap_or(bytes), "{path}");
            // A gzipped file ends in the length of what is in it.
            if let Some(gzip) = gzip {
                assert!(gzip.len() < bytes.len() && gzip.ends_with(&(bytes.len() as u32).to_le_bytes()), "{path}");
            }
        }
    }

    #[test]
    fn what_a_request_takes_is_what_it_says() {
        for (accept, takes) in [
            ("gzip", true),
            ("GZIP;q=1", true),
            ("br, gzip ; q=0.001", true),
            ("gzip, deflate, br, zstd", true),
            ("", false),
            ("identity", false),
            ("x-gzip", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("gzip;Q=0", false),
            ("deflate;q=1", false),
        ] {
            let headers = [(ACCEPT_ENCODING, HeaderValue::from_static(accept))].into_iter().collect();
            assert_eq!(takes_gzip(&headers), takes, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
