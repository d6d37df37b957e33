//! The inspector's page, from the binary itself.

use axum::body::Bytes;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

/// A file's path under the root, its content type and its bytes.
type Asset = (&'static str, &'static str, &'static [u8]);

/// Sorted by path. The build script writes it from the page's build, or from `without-page.html`.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The folder whose files the page's build names after their content.
const HASHED: &str = "assets/";

/// Answers every request that is not for the bridge.
pub(super) async fn respond(method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return method_not_allowed().await;
    }
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let path = if path.is_empty() { "index.html" } else { path };
    let Some((path, kind, bytes)) = find(path) else {
        return (
            StatusCode::NOT_FOUND,
            "There is nothing at this path. The inspector's page is at /, its WebSocket at /bridge.\n",
        )
            .into_response();
    };
    // A hashed name means these very bytes for ever. Anything else may be another binary's tomorrow.
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(CONTENT_TYPE, *kind), (CACHE_CONTROL, caching)], Bytes::from_static(bytes)).into_response()
}

/// Answers a method that is neither GET nor HEAD.
pub(super) async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "Only GET and HEAD are answered here.\n").into_response()
}

fn find(path: &str) -> Option<&'static Asset> {
    let index = ASSETS.binary_search_by(|(name, ..)| (*name).cmp(path));
    ASSETS.get(index.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_found_by_its_path() {
        assert!(find("index.html").is_some());
        for asset in ASSETS {
            assert_eq!(find(asset.0), Some(asset), "{}", asset.0);
        }
        assert_eq!(find("index.htm"), None);
        assert_eq!(find("../Cargo.toml"), None);
    }

    #[tokio::test]
    async fn only_hashed_names_are_kept_by_the_browser() {
        for (path, kind, _) in ASSETS {
            let uri = format!("/{path}").parse().unwrap();
            let response = respond(Method::GET, uri).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], *kind, "{path}");
            let caching = response.headers()[CACHE_CONTROL].to_str().unwrap();
            assert_eq!(caching.contains("immutable"), path.starts_with("assets/"), "{path}");
            assert_eq!(caching == "no-store", !path.starts_with("assets/"), "{path}");
        }
    }
}
