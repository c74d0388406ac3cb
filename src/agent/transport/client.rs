use super::whereabouts::Here;
use crate::identity::Identity;
use crate::stop::Stop;
use crate::upload::{Backend, NoAnswer, Reply, RequestSigner};
use netsonde_contract::api::fleet::{CheckIn, CheckedIn, Introduce, Introduced, MAX_DETAIL_CHARS, Progress, StateReport, Work};
use netsonde_contract::api::have::{Have, Wanted};
use netsonde_contract::api::health::{HealthHeard, HealthReport};
use netsonde_contract::api::protocol::TooOld;
use netsonde_contract::api::{Problem, ProblemCode, path};
use netsonde_contract::harmless::clean_up_to;
use netsonde_contract::id::{BundleId, OrderId};
use netsonde_contract::trust::Anchor;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Beyond the time that a request is held: for the way there and back.
const SLACK: Duration = Duration::from_secs(10);
/// For requests that are answered at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a request has no answer that can be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection came about.
    #[error("the backend did not answer: {0}")]
    Unreachable(String),
    /// The connection stood, and gave no answer that can be used.
    #[error("the backend did not answer: {0}")]
    NoAnswer(String),
    #[error("the server that answers does not have the key that the enrolment names")]
    Untrusted,
    #[error("the backend cannot now: {what}")]
    NotNow { what: String, retry_after: Option<Duration> },
    /// A proxy, a gateway or a portal answers in the backend's place.
    #[error("something on the way answers for the backend: HTTP status {status}")]
    Interposed { status: u16, retry_after: Option<Duration> },
    /// The signature's time is too far from the backend's; the signer was set right.
    #[error("this machine's clock is not the backend's; requests are signed by the backend's from now on")]
    Skewed,
    #[error("{0}")]
    Refused(Box<Problem>),
    #[error("the backend is too old for this agent: {0} by this agent")]
    OldBackend(TooOld),
}

impl Fault {
    /// Only a person can do something about it.
    pub(crate) fn is_final(&self) -> bool {
        use ProblemCode as Code;
        let codes = [Code::AgentUnknown, Code::AgentRevoked, Code::IdentityTwice, Code::ProtocolTooOld];
        match self {
            Self::Refused(problem) => problem.known_code().is_some_and(|code| codes.contains(&code)),
            Self::OldBackend(_) => true,
            _ => false,
        }
    }

    /// The backend says that the request itself is none.
    fn is_of_the_request(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.known_code() == Some(ProblemCode::MalformedRequest))
    }

    /// How long to wait, where whoever answered says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotNow { retry_after, .. } | Self::Interposed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Support took the agent off their list.
    pub(crate) fn is_revocation(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.known_code() == Some(ProblemCode::AgentRevoked))
    }

    /// What that person can do.
    pub(crate) fn next_step(&self) -> &str {
        match self {
            Self::OldBackend(_) => "ask support to update their backend, or install the netsonde that fits it",
            Self::Refused(problem) if problem.known_code() == Some(ProblemCode::ProtocolTooOld) => {
                "install a newer netsonde on this machine; the enrolment stays as it is"
            }
            Self::Refused(problem) if problem.known_code() == Some(ProblemCode::AgentRevoked) => {
                "ask support; to enrol anew, netsonde identity forget --copy makes a new key first"
            }
            _ => "ask support, or netsonde identity forget and enrol anew",
        }
    }
}

/// Which process asks for work, and how often it has: two machines with one identity are told apart by it.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// As the check-in has it.
    pub(crate) instance: String,
    turn: u64,
}

impl Asker {
    pub(crate) fn new(instance: String) -> Self {
        Self { instance, turn: 0 }
    }

    /// For the next question, whose number is one more than the last one's.
    pub(crate) fn next(&mut self) -> Self {
        self.turn += 1;
        self.clone()
    }
}

/// The backend, asked by an enrolled agent.
pub(crate) struct Client {
    backend: Backend,
    signer: Arc<RequestSigner>,
    clock: Clock,
}

impl Client {
    /// # Errors
    /// Where the key is damaged or the machine's proxy settings cannot be used.
    pub(crate) fn new(identity: &Identity, clock: Clock) -> Result<Self, Stop> {
        // Commands make the client before any runtime, which is where others take the provider from.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let backend =
            Backend::at(&identity.backend, identity.tls_pin.as_ref(), &ProxyChoice::Environment).map_err(Stop::usage)?;
        Self::over(backend, identity, clock)
    }

    /// Over a way to the backend that is chosen already.
    ///
    /// # Errors
    /// Where the key is damaged.
    pub(crate) fn over(backend: Backend, identity: &Identity, clock: Clock) -> Result<Self, Stop> {
        let signer = Arc::new(RequestSigner::new(identity.transport.key()?, clock));
        Ok(Self { backend: backend.signed_by(Arc::clone(&signer)), signer, clock })
    }

    /// Signs from now on as if it were this time.
    #[cfg(feature = "load")]
    pub(crate) fn believe(&self, time: jiff::Timestamp) {
        self.signer.correct(time);
    }

    /// Whether the backend refused for this machine's clock alone. From here on requests are signed by the backend's.
    pub(crate) fn is_set_right_by(&self, problem: &Problem) -> bool {
        match (problem.known_code(), problem.server_time) {
            (Some(ProblemCode::ClockSkew), Some(server_time)) => {
                self.signer.correct(server_time);
                true
            }
            _ => false,
        }
    }

    /// For uploads over the same connection.
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What is to be known of now, to tell later whether the machine slept or moved since.
    pub(crate) fn here(&self) -> Here {
        Here::read(self.backend.peer())
    }

    pub(crate) async fn introduce(&self, body: &Introduce) -> Result<Introduced, Fault> {
        let introduced: Introduced = self.ask(Method::POST, path::AGENTS, Some(body), PATIENCE).await?;
        introduced.protocol.spoken().map_err(Fault::OldBackend)?;
        Ok(introduced)
    }

    /// Says what the agent is; without its link where the backend takes it for malformed, as that is the only part that others chose.
    pub(crate) async fn check_in(&self, body: &CheckIn) -> Result<CheckedIn, Fault> {
        let mut answer: Result<CheckedIn, Fault> = self.ask(Method::POST, path::OWN_AGENT, Some(body), PATIENCE).await;
        if body.link.is_some() && answer.as_ref().is_err_and(Fault::is_of_the_request) {
            let without = CheckIn { link: None, ..body.clone() };
            answer = self.ask(Method::POST, path::OWN_AGENT, Some(&without), PATIENCE).await;
        }
        let checked_in = answer?;
        checked_in.protocol.spoken().map_err(Fault::OldBackend)?;
        Ok(checked_in)
    }

    /// Work after the cursor, held for `wait` seconds where there is none; and how long it was held, which is not more than that.
    pub(crate) async fn work(
        &self,
        after: u64,
        wait: u32,
        anchor: Option<&Anchor>,
        asker: &Asker,
    ) -> (Duration, Result<Work, Fault>) {
        let (root, list) = anchor.map_or((0, 0), Anchor::versions);
        let Asker { instance, turn } = asker;
        let path = format!("{}?after={after}&wait={wait}&root={root}&list={list}&instance={instance}&turn={turn}", path::WORK);
        let (began, longest) = (self.clock.now(), Duration::from_secs(u64::from(wait)));
        let answer = self.ask(Method::GET, &path, None::<&()>, longest + SLACK).await;
        (self.clock.now().saturating_sub(began).min(longest), answer)
    }

    pub(crate) async fn state(&self, order: &OrderId, report: &StateReport) -> Result<(), Fault> {
        self.tell(&path::work_state(order), report).await
    }

    pub(crate) async fn progress(&self, order: &OrderId, progress: &Progress) -> Result<(), Fault> {
        self.tell(&path::work_progress(order), progress).await
    }

    /// How the scheduled checks are, and what changed.
    pub(crate) async fn health(&self, report: &HealthReport) -> Result<HealthHeard, Fault> {
        self.ask(Method::POST, path::OWN_HEALTH, Some(report), PATIENCE).await
    }

    /// Which of these delivered bundles the backend has lost.
    pub(crate) async fn have(&self, bundles: Vec<BundleId>) -> Result<Wanted, Fault> {
        self.ask(Method::POST, path::HAVE, Some(&Have { bundles }), PATIENCE).await
    }

    async fn tell(&self, path: &str, body: &impl Serialize) -> Result<(), Fault> {
        self.reply(Method::POST, path, Some(body), PATIENCE).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        patience: Duration,
    ) -> Result<T, Fault> {
        let reply = self.reply(method, path, body, patience).await?;
        serde_json::from_slice(&reply.bytes).map_err(|error| {
            // It quotes what it cannot read.
            let error = error.to_string();
            let error = clean_up_to(&error, MAX_DETAIL_CHARS);
            Fault::NoAnswer(format!("something answers there, but it is no netsonde backend ({error})"))
        })
    }

    async fn reply(&self, method: Method, path: &str, body: Option<&impl Serialize>, patience: Duration) -> Result<Reply, Fault> {
        let mut request = self.backend.request(method, path).timeout(patience);
        if let Some(body) = body {
            let bytes = serde_json::to_vec(body).map_err(|error| Fault::NoAnswer(error.to_string()))?;
            request = request.header(CONTENT_TYPE, "application/json").body(bytes);
        }
        let reply = self.backend.reply(request).await.map_err(|none| match none {
            NoAnswer::PinMismatch => Fault::Untrusted,
            NoAnswer::Unreachable(reason) => Fault::Unreachable(reason),
            NoAnswer::Cut(reason) => Fault::NoAnswer(reason),
        })?;
        self.judge(reply)
    }

    fn judge(&self, reply: Reply) -> Result<Reply, Fault> {
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let Some(problem) = reply.problem else {
            return Err(Fault::Interposed { status: reply.status, retry_after: reply.retry_after });
        };
        if self.is_set_right_by(&problem) {
            return Err(Fault::Skewed);
        }
        match problem.known_code() {
            // Where two requests met by chance, the next one has another nonce.
            Some(ProblemCode::NonceUsed | ProblemCode::RateLimited | ProblemCode::Internal | ProblemCode::Unavailable) => {
                Err(Fault::NotNow { what: problem.to_string(), retry_after: reply.retry_after })
            }
            _ if reply.status == 429 || reply.status >= 500 => {
                Err(Fault::NotNow { what: problem.to_string(), retry_after: reply.retry_after })
            }
            _ => Err(Fault::Refused(problem)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Enrolling;
    use ed25519_dalek::SigningKey;
    use netsonde_contract::enrolment::{Enrolment, EnrolmentCode};
    use netsonde_contract::id::TicketId;

    fn client() -> Client {
        let key = SigningKey::from_bytes(&[1; 32]);
        let enrolment = Enrolment {
            id: TicketId::from_bytes([7; 10]),
            backend: "http://127.0.0.1:1".into(),
            tls_pin: None,
            organisation: "Contoso".into(),
            root: String::new(),
            receipt_key: key.verifying_key(),
            expires: jiff::Timestamp::UNIX_EPOCH,
            code: EnrolmentCode::from_bytes([9; 16]),
        };
        Client::new(&Enrolling::fresh(&enrolment, &key, None).unwrap().identity, Clock::start()).unwrap()
    }

    #[test]
    fn what_answers_without_a_problem_document_is_not_the_backend() {
        let reply = |status, problem| Reply { status, retry_after: None, problem, bytes: Vec::new() };
        let told = client().judge(reply(504, None)).unwrap_err();
        assert_eq!(told, Fault::Interposed { status: 504, retry_after: None });
        let own = Problem::new(ProblemCode::Unavailable, "restarting");
        assert!(matches!(client().judge(reply(503, Some(Box::new(own)))), Err(Fault::NotNow { .. })));
    }
}
