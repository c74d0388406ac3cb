//! Request bodies, read within bounds of size and time, and refused with a problem document.

use crate::limits::MAX_FORM_BYTES;
use crate::problem::Refused;
use axum::RequestExt;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use netsonde_contract::api::ProblemCode;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Forms and JSON bodies are small; a peer that needs longer for one is not a person waiting.
const SMALL_BODY: Duration = Duration::from_secs(20);
/// A refused body is read to its end up to here, because a browser shows a broken connection instead of an answer that came early.
const MAX_DISCARDED_BYTES: usize = 256 << 20;
/// And for this long.
const DISCARD: Duration = Duration::from_secs(30);

/// Reads a whole body of `limit` bytes at most.
pub(crate) async fn read(body: Body, limit: usize, within: Duration) -> Result<Bytes, Refused> {
    match tokio::time::timeout(within, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(_)) => Err(Refused::malformed("The request's body ended before it was complete.")),
        Err(_) => Err(too_slow()),
    }
}

/// Refuses a body whose announced length is too much, after it was sent and thrown away.
pub(crate) async fn refuse_announced(headers: &HeaderMap, limit: usize, body: Body) -> Result<Body, Refused> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_none_or(|length| length <= limit) {
        return Ok(body);
    }
    let mut seen = 0;
    let mut chunks = body.into_data_stream();
    let discard = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            seen += chunk.len();
            if seen > MAX_DISCARDED_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD, discard).await;
    Err(too_large(limit))
}

pub(crate) fn too_large(limit: usize) -> Refused {
    Refused::new(ProblemCode::TooLarge, format!("At most {limit} bytes are taken here."))
}

pub(crate) fn too_slow() -> Refused {
    Refused::malformed("The request's body took too long to arrive.").next_step("Try again on a faster or quieter connection.")
}

/// A JSON body of `limit` bytes at most, for the few that are large.
pub(crate) async fn read_json<T: DeserializeOwned>(request: Request, limit: usize, within: Duration) -> Result<T, Refused> {
    let (parts, body) = request.into_parts();
    expect_type(&parts.headers, "application/json")?;
    let body = refuse_announced(&parts.headers, limit, body).await?;
    let bytes = read(body, limit, within).await?;
    serde_json::from_slice(&bytes).map_err(|error| Refused::malformed(format!("The request's JSON does not fit: {error}.")))
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        read_json(request, MAX_FORM_BYTES, SMALL_BODY).await.map(Self)
    }
}

/// A browser's form without a file.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let form_type = "application/x-www-form-urlencoded";
        expect_type(&parts.headers, form_type)?;
        let body = refuse_announced(&parts.headers, MAX_FORM_BYTES, body).await?;
        let bytes = read(body, MAX_FORM_BYTES, SMALL_BODY).await?;
        let request = Request::from_parts(parts, Body::from(bytes));
        match request.extract::<axum::Form<T>, _>().await {
            Ok(axum::Form(form)) => Ok(Self(form)),
            Err(rejection) => {
                tracing::debug!(status = %rejection.into_response().status(), "a form did not fit");
                Err(Refused::malformed("A field of the form is missing or cannot be read."))
            }
        }
    }
}

/// # Errors
/// Where the body says that it is something else.
pub(crate) fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), Refused> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Refused::new(ProblemCode::UnsupportedMediaType, format!("The body must be {expected}.")))
}
