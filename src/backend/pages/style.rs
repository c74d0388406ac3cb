use axum::http::header;
use axum::response::IntoResponse;
use netsonde_contract::bundle::hexadecimal;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

pub(super) const STYLE_PATH: &str = "/style.css";
pub(super) const ICON_PATH: &str = "/icon.svg";

/// The reports' style and the pages' own, which comes last and therefore wins.
static STYLE: LazyLock<String> = LazyLock::new(|| format!("{}\n{}", netsonde_report::html::STYLE, include_str!("style.css")));
static ADDRESS: LazyLock<String> = LazyLock::new(|| addressed(STYLE_PATH, &STYLE));
/// For what is at an address of [`addressed`].
pub(super) const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Names the content's digest, so that a browser may keep it for good and still gets the next version's.
pub(super) fn addressed(path: &str, content: &str) -> String {
    format!("{path}?v={}", hexadecimal(&Sha256::digest(content)[..6]))
}

pub(super) fn address() -> &'static str {
    &ADDRESS
}

pub(super) async fn sheet() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, FOR_GOOD)], STYLE.as_str())
}

pub(super) async fn icon() -> impl IntoResponse {
    const A_DAY: &str = "public, max-age=86400";
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, A_DAY)], include_str!("icon.svg"))
}
