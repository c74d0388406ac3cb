//! Refusals: what the caller may read, and what only the log keeps.

use crate::random::NoRandomness;
use crate::store::{DAMAGED, StoreError, Trouble};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use netsonde_contract::api::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
use netsonde_contract::bundle::Refusal;

/// People make room, not time: longer than any sender keeps a person waiting for.
const WHEN_FULL_SECONDS: u32 = 300;

/// A request that is not granted. Its problem document goes to the caller; its cause, if any, only to the log.
pub(crate) struct Refused {
    pub(crate) problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refused {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::MalformedRequest, detail)
    }

    /// A fault of this program or its disk. The caller learns no more than that.
    ///
    /// A disk that is full is said: whoever sends keeps what it has and comes again.
    pub(crate) fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause = cause.into();
        let trouble = Trouble::of(&*cause);
        if trouble == Trouble::Damaged {
            tracing::error!("{DAMAGED}");
        }
        let mut refused = if trouble == Trouble::Full { Self::full() } else { Self::fault() };
        refused.cause = Some(cause);
        refused
    }

    fn full() -> Self {
        Self::new(ProblemCode::StorageFull, "The server's disk is full. Nothing was acknowledged.")
            .next_step("Keep it and try again later; whoever runs the support backend has to make room.")
            .header(header::RETRY_AFTER, HeaderValue::from(WHEN_FULL_SECONDS))
    }

    fn fault() -> Self {
        Self::new(ProblemCode::Internal, "The server failed to do this; its log says why. Nothing was acknowledged.")
            .next_step("Try again in a minute; if it stays, tell whoever runs the support backend.")
    }

    pub(crate) fn next_step(mut self, step: impl Into<String>) -> Self {
        self.problem.next_step = Some(step.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What happened, for the log and the terminal of whoever runs the server.
    pub(crate) fn explained(&self) -> String {
        self.causes().unwrap_or_else(|| self.problem.to_string())
    }

    /// The cause and everything beneath it.
    fn causes(&self) -> Option<String> {
        let mut error: &dyn std::error::Error = self.cause.as_deref()?;
        let mut text = error.to_string();
        while let Some(source) = error.source() {
            text = format!("{text}: {source}");
            error = source;
        }
        Some(text)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), headers: Vec::new(), cause: None }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<NoRandomness> for Refused {
    fn from(error: NoRandomness) -> Self {
        Self::internal(error)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::from(Problem::of_refusal(&refusal)).next_step(
            "Send the file exactly as netsonde wrote it: a bundle that was edited, unpacked and packed again, or cut on its way cannot be trusted.",
        )
    }
}

/// As `application/problem+json`. The problem also goes along beside the body, so that a page can be made of it for a browser.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if let Some(cause) = self.causes() {
            tracing::error!(code = %self.problem.code, %cause, "request failed");
        }
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE)], body).into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(*self.problem);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_with_a_time_to_come_again_wherever_it_was_met() {
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
            let source = std::io::Error::from(kind);
            let error = crate::blobs::BlobError::Store { doing: "write", digest: "d".to_owned(), source };
            let response = Refused::internal(error).into_response();
            assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "300");
        }
        let other = Refused::internal(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert_eq!((other.problem.status, other.headers.len()), (500, 0));
    }
}
