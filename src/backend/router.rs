use crate::app::App;
use crate::limits::MAX_HEAD_BYTES;
use crate::problem::Refused;
use crate::{api, pages};
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use netsonde_contract::api::{Problem, ProblemCode};
use std::any::Any;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

/// Everything that this server answers, with what holds for every answer.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(pages::routes())
        .fallback(async || Refused::new(ProblemCode::NotFound, "There is nothing at this address."))
        .method_not_allowed_fallback(async |method: Method| {
            Refused::new(ProblemCode::MethodNotAllowed, format!("{method} is not understood at this address."))
        })
        .with_state(app)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(bounded_head))
        .layer(from_fn(as_problem))
        .layer(from_fn(pages::for_browsers))
        .layer(from_fn(log))
        .layer(from_fn(secure))
}

/// A head that the connection could still hold but that nothing of ours sends.
async fn bounded_head(request: Request, next: Next) -> Response {
    /// Colon, blank and line end.
    const BETWEEN: usize = 4;
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + BETWEEN);
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if lines.sum::<usize>() + target > MAX_HEAD_BYTES {
        let detail = format!("The request's headers are larger than {MAX_HEAD_BYTES} bytes.");
        return Refused::new(ProblemCode::TooLarge, detail).into_response();
    }
    next.run(request).await
}

/// Gives a refusal of the framework's own (a path or query that cannot be decoded) the form that all others have.
async fn as_problem(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    // A page that shows a form again with what is wrong in it is an answer of its own.
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_error || is_page || response.extensions().get::<Problem>().is_some() {
        return response;
    }
    match status {
        StatusCode::BAD_REQUEST => Refused::malformed("The address or its query cannot be read."),
        StatusCode::PAYLOAD_TOO_LARGE => Refused::new(ProblemCode::TooLarge, "The request's body is too large."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refused::new(ProblemCode::UnsupportedMediaType, "The body is of another type."),
        status if status.is_client_error() => Refused::malformed(format!("The request was refused with status {status}.")),
        status => Refused::internal(format!("the framework answered {status}")),
    }
    .into_response()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Refused::internal(format!("a panic: {text}")).into_response()
}

/// One line a request. Addresses, query strings and headers stay out of it.
async fn log(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", method = %request.method(), route);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.in_scope(|| tracing::info!(status, "answered"));
    response
}

/// What no page needs is switched off: frames, foreign content, guessing of types; and scripts, but for the pages that show what goes on.
const SECURITY: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        // A page with a script says for itself what it may do besides.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Cases and receipts are nobody's to keep; style and icon say otherwise for themselves.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
