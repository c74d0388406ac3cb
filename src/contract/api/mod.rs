//! What the backend's HTTP interface is called: paths, bodies, problem codes.

/// What receivers of alerts are sent.
pub mod alert;
/// Agents, orders, deliveries.
pub mod fleet;
/// Delivered bundles that the backend may have lost.
pub mod have;
/// How scheduled checks are, told by agents.
pub mod health;
/// Which version of all this both sides speak.
pub mod protocol;

use crate::finding::State;
use crate::harmless::clean_up_to;
use crate::id::{AgentId, BundleId, CaseId, TicketId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Paths, from the backend's root.
pub mod path {
    use crate::id::{AgentId, BundleId, CaseId, OrderId, TicketId};
    use std::fmt::Display;

    pub const HEALTH: &str = "/healthz";
    pub const UPLOADS: &str = "/v1/uploads";
    pub const TICKETS: &str = "/v1/tickets";
    pub const CASES: &str = "/v1/cases";
    pub const TRUST: &str = "/v1/trust";
    pub const RECEIPT_KEY: &str = "/v1/receipt-key";
    pub const ENROLMENTS: &str = "/v1/enrolments";
    pub const AGENTS: &str = "/v1/agents";
    pub const OWN_AGENT: &str = "/v1/agents/self";
    pub const OWN_HEALTH: &str = "/v1/agents/self/health";
    pub const HAVE: &str = "/v1/have";
    pub const BUNDLES: &str = "/v1/bundles";
    pub const WORK: &str = "/v1/work";
    pub const ORDERS: &str = "/v1/orders";
    pub const DRAFTS: &str = "/v1/drafts";
    pub const AUDIT: &str = "/v1/audit";

    pub fn agent(id: &AgentId) -> String {
        format!("{AGENTS}/{id}")
    }

    pub fn agent_labels(id: &AgentId) -> String {
        format!("{AGENTS}/{id}/labels")
    }

    pub fn agent_revoke(id: &AgentId) -> String {
        format!("{AGENTS}/{id}/revoke")
    }

    /// Says that only one machine is left of those that shared an identity.
    pub fn agent_single(id: &AgentId) -> String {
        format!("{AGENTS}/{id}/single")
    }

    pub fn work_state(id: &OrderId) -> String {
        format!("{WORK}/{id}/state")
    }

    pub fn work_progress(id: &OrderId) -> String {
        format!("{WORK}/{id}/progress")
    }

    pub fn order(id: &OrderId) -> String {
        format!("{ORDERS}/{id}")
    }

    pub fn order_cancel(id: &OrderId) -> String {
        format!("{ORDERS}/{id}/cancel")
    }

    pub fn order_resume(id: &OrderId) -> String {
        format!("{ORDERS}/{id}/resume")
    }

    pub fn draft(id: &impl Display) -> String {
        format!("{DRAFTS}/{id}")
    }

    pub fn upload(id: &impl Display) -> String {
        format!("{UPLOADS}/{id}")
    }

    pub fn ticket(id: &TicketId) -> String {
        format!("{TICKETS}/{id}")
    }

    pub fn ticket_state(id: &TicketId) -> String {
        format!("{TICKETS}/{id}/state")
    }

    pub fn case(id: &CaseId) -> String {
        format!("{CASES}/{id}")
    }

    pub fn bundle(id: &BundleId) -> String {
        format!("/v1/bundles/{id}")
    }

    /// The page that takes a ticket's bundle from any browser.
    pub fn ticket_page(id: &TicketId) -> String {
        format!("/t/{id}")
    }

    /// The page where an engineer reads the case.
    pub fn case_page(id: &CaseId) -> String {
        format!("/cases/{id}")
    }
}

/// Header names of an upload, in lower case (draft-ietf-httpbis-resumable-upload for the first five, RFC 9530 for the digest).
pub mod header {
    pub const DRAFT_INTEROP: &str = "upload-draft-interop-version";
    pub const UPLOAD_LENGTH: &str = "upload-length";
    pub const UPLOAD_OFFSET: &str = "upload-offset";
    pub const UPLOAD_COMPLETE: &str = "upload-complete";
    pub const UPLOAD_LIMIT: &str = "upload-limit";
    pub const CONTENT_DIGEST: &str = "content-digest";
    pub const BUNDLE: &str = "netsonde-bundle";
    pub const TICKET: &str = "netsonde-ticket";
    pub const KEY: &str = "netsonde-key";
    pub const PROOF: &str = "netsonde-proof";
    /// `?1` where an agent made the bundle by its schedule: what goes beyond the day's bounds is then refused before it is sent.
    pub const SCHEDULED: &str = "netsonde-scheduled";
}

/// The interop version of the resumable-upload draft that both sides speak.
pub const DRAFT_INTEROP_VERSION: &str = "8";
/// The media type of an appended part.
pub const PARTIAL_UPLOAD: &str = "application/partial-upload";
/// At most this much in one append: what a lost connection costs again.
pub const MAX_APPEND_BYTES: u64 = 4 << 20;
/// The media type of [`Problem`] (RFC 9457 section 3).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problem_codes {
    ($($name:ident $code:literal $status:literal $title:literal,)*) => {
        /// Why a request was refused: stable codes with their HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($name,)*
        }

        impl ProblemCode {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The HTTP status that goes with the code.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// The same for every occurrence of the code (RFC 9457 section 3.1.3).
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

problem_codes! {
    NotFound "not_found" 404 "There is nothing here",
    MethodNotAllowed "method_not_allowed" 405 "This cannot be done here",
    Unauthorized "unauthorized" 401 "Sign in first",
    Forbidden "forbidden" 403 "This is not allowed",
    TooLarge "too_large" 413 "The request is too large",
    MalformedRequest "malformed_request" 400 "The request cannot be understood",
    UnsupportedMediaType "unsupported_media_type" 415 "The request's body is of another type",
    BundleRefused "bundle_refused" 422 "The bundle does not verify",
    UnknownKey "unknown_key" 403 "The bundle's key is not known",
    TicketUnknown "ticket_unknown" 404 "There is no such ticket",
    TicketExpired "ticket_expired" 410 "The ticket has expired",
    TicketUsed "ticket_used" 409 "The ticket was used already",
    TicketRevoked "ticket_revoked" 410 "The ticket was revoked",
    AgentUnknown "agent_unknown" 401 "No enrolled agent signed this request",
    AgentRevoked "agent_revoked" 403 "The agent's enrolment was ended",
    ClockSkew "clock_skew" 401 "The request's time is too far from the server's",
    NonceUsed "nonce_used" 401 "The request was sent already",
    ProtocolTooOld "protocol_too_old" 422 "The agent's version is not served any more",
    IdentityTwice "identity_twice" 409 "Two machines share this agent's identity",
    EnrolmentUnknown "enrolment_unknown" 404 "There is no such enrolment",
    EnrolmentExpired "enrolment_expired" 410 "The enrolment code has expired",
    EnrolmentUsed "enrolment_used" 409 "The enrolment code was used up",
    EnrolmentWrongProof "enrolment_wrong_proof" 403 "The enrolment code's proof does not hold",
    NotPublished "not_published" 409 "The organisation is not published here yet",
    TrustRefused "trust_refused" 422 "The organisation's document does not verify",
    OrderUnknown "order_unknown" 404 "There is no such order",
    OrderOver "order_over" 409 "The order is over",
    OrderNotStopped "order_not_stopped" 409 "The order waits for nobody",
    OrderRefused "order_refused" 422 "The order cannot be taken",
    TicketWrongSet "ticket_wrong_set" 409 "The bundle is of another probe set than the ticket",
    TicketProofInvalid "ticket_proof_invalid" 403 "The sender does not hold the ticket",
    UploadOffsetMismatch "upload_offset_mismatch" 409 "The upload continues elsewhere",
    UploadFenced "upload_fenced" 409 "A newer request took the upload over",
    UploadDigestMismatch "upload_digest_mismatch" 400 "The part arrived changed",
    UploadIncomplete "upload_incomplete" 400 "The upload ends before its length",
    UnknownSet "unknown_set" 422 "There is no such probe set",
    InvalidTarget "invalid_target" 422 "The target does not fit the probe set",
    InvalidParameter "invalid_parameter" 422 "A parameter does not fit",
    RateLimited "rate_limited" 429 "Too many requests",
    Internal "internal" 500 "Something went wrong on the server",
    Unavailable "unavailable" 503 "The server cannot take this now",
    StorageFull "storage_full" 507 "The server has no room for this",
}

impl ProblemCode {
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == code)
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem document (RFC 9457). `code` is kept as text, so that a newer backend's codes survive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    pub status: u16,
    #[serde(default)]
    pub detail: String,
    pub code: String,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// Why a bundle was refused: the code of a [`crate::bundle::RefusalCode`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server's clock, where the request's clock may be the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<Timestamp>,
}

impl Problem {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            next_step: None,
            reason: None,
            server_time: None,
        }
    }

    pub fn with_next_step(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }

    /// The problem of a bundle that does not verify.
    pub fn of_refusal(refusal: &crate::bundle::Refusal) -> Self {
        let reason = Some(refusal.code.as_str().to_owned());
        Self { reason, ..Self::new(ProblemCode::BundleRefused, refusal.text.clone()) }
    }

    /// The code, where this version knows it.
    pub fn known_code(&self) -> Option<ProblemCode> {
        ProblemCode::from_code(&self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        // Whoever answered chose these words, and they are made for terminals and logs.
        write!(f, "{} ({})", clean_up_to(text, fleet::MAX_DETAIL_CHARS), clean_up_to(&self.code, fleet::MAX_CODE_CHARS))
    }
}

/// No page describes the codes one by one; the code itself is what programs read (RFC 9457 section 4.2.1).
fn about_blank() -> String {
    "about:blank".to_owned()
}

/// A ticket is valid this long unless asked otherwise.
pub const DEFAULT_TICKET_SECONDS: u64 = 7 * 24 * 3600;
/// A ticket is never valid longer: an invitation that nobody remembers should not work.
pub const MAX_TICKET_SECONDS: u64 = 30 * 24 * 3600;

/// `POST /v1/tickets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketRequest {
    pub case: String,
    pub set: String,
    #[serde(default)]
    pub targets: Vec<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// In seconds; none for [`DEFAULT_TICKET_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_s: Option<u64>,
}

/// The answer: the ticket string is shown this once and kept nowhere. No `Debug`, for its sake.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct TicketIssued {
    pub id: TicketId,
    /// `nst1_…`
    pub ticket: String,
    /// The URL of the page that takes the bundle from a browser.
    pub page: String,
    pub expires: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketStateName {
    Open,
    Used,
    Revoked,
    Expired,
}

impl TicketStateName {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// `GET /v1/tickets/{id}/state`: what anyone who knows the id may know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketState {
    pub state: TicketStateName,
    pub set: String,
    pub set_sha256: String,
    pub case: CaseId,
    pub expires: Timestamp,
    pub server_time: Timestamp,
}

/// One case of `GET /v1/cases`, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseSummary {
    pub id: CaseId,
    pub opened: Timestamp,
    pub updated: Timestamp,
    pub bundles: u32,
    /// Of the newest bundle; none before there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The first finding's cause of the newest bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What it watches, where the backend opened it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<WatchedCase>,
}

/// A case that the backend opened because a scheduled check failed, or because a scheduled bundle came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchedCase {
    pub agent: AgentId,
    pub schedule: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `failing`, `recovered`, `removed` (measured no more), `collecting` (nothing failed so far) or `closed`; later versions may have more.
    pub state: String,
    pub since: Timestamp,
    /// How often it began to fail.
    pub failures: u32,
}

/// `GET /v1/cases/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseDetail {
    pub case: CaseSummary,
    /// The newest first.
    pub bundles: Vec<BundleSummary>,
    pub tickets: Vec<TicketSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BundleSummary {
    pub id: BundleId,
    pub received: Timestamp,
    pub size_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketId>,
    pub set: String,
    pub state: State,
    /// The findings' causes, the most important first.
    pub causes: Vec<String>,
    pub key_id: String,
    /// The key belongs to an agent or ticket that the backend knows.
    pub known: bool,
}

/// The answer to `POST /v1/bundles?case=ID`, by the desk: a bundle's file that an engineer brought is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    pub bundle: BundleId,
    pub case: CaseId,
    /// When it came for the first time.
    pub received: Timestamp,
    pub state: State,
    /// The signed envelope, as an uploading agent gets it.
    pub receipt: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketSummary {
    pub id: TicketId,
    pub set: String,
    pub targets: Vec<String>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub state: TicketStateName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_a_newer_backend_keeps_its_code() {
        let problem: Problem = serde_json::from_str(r#"{"status":418,"code":"teapot","extra":1}"#).unwrap();
        assert_eq!((problem.code.as_str(), problem.known_code()), ("teapot", None));
    }

    #[test]
    fn every_code_is_written_once_and_found_again() {
        for code in ProblemCode::ALL {
            assert_eq!(ProblemCode::from_code(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()), "{code}");
        }
    }
}
