use super::AgentPlace;
use crate::accept::Seat;
use crate::app::App;
use crate::body;
use crate::clock::later;
use crate::problem::Refused;
use crate::store::{Member, Note, Noted, Standing};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use netsonde_contract::api::fleet::MAX_AGENT_BODY;
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::api::{Problem, ProblemCode};
use netsonde_contract::id::AgentId;
use netsonde_contract::request_signature::{
    Claim, Covered, Headers, SIGNATURE, SIGNATURE_INPUT, SignatureError, TOLERANCE, content_digest,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// An agent that was replaced by one with a new bundle key is still answered for this long, so that what it had begun can end.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// A nonce is remembered this much longer than its signature counts.
const NONCE_MARGIN: Duration = Duration::from_secs(2);

/// A request that an enrolled agent signed, for the first time, at about this time.
pub(crate) struct FromAgent {
    pub(crate) agent: Member,
    pub(crate) body: Bytes,
}

/// What an enrolled agent's connection holds.
struct AgentSeat {
    _permit: OwnedSemaphorePermit,
    _place: AgentPlace,
}

/// A request's head and whole body, with what it says of its signer.
pub(crate) struct Unverified {
    pub(crate) claim: Claim,
    pub(crate) body: Bytes,
    headers: Headers,
    parts: Parts,
}

impl Unverified {
    /// Reads the claim; the body is read only once `may_read` has found somebody who may be its signer.
    pub(crate) async fn read<T>(
        app: &App,
        request: Request,
        may_read: impl AsyncFnOnce(&Claim) -> Result<T, Refused>,
    ) -> Result<(Self, T), Refused> {
        let (parts, content) = request.into_parts();
        let headers = signature_headers(&parts.headers).ok_or_else(|| refusal(&SignatureError::Malformed))?;
        let claim = headers.claim().map_err(|error| refusal(&error))?;
        let found = may_read(&claim).await?;
        let content = body::refuse_announced(&parts.headers, MAX_AGENT_BODY, content).await?;
        let body = body::read(content, MAX_AGENT_BODY, app.limits.body).await?;
        Ok((Self { claim, body, headers, parts }, found))
    }

    /// # Errors
    /// Where none of `keys` signed this very request at about this time.
    pub(crate) fn verify(&self, app: &App, keys: &[&VerifyingKey]) -> Result<(), Refused> {
        let digest = content_digest(&self.body);
        let covered = Covered {
            method: self.parts.method.as_str(),
            authority: &app.place.authority(),
            path: self.parts.uri.path(),
            query: self.parts.uri.query().unwrap_or_default(),
            content_digest: &digest,
        };
        let mut worst = SignatureError::NotSigned;
        for key in keys {
            match self.headers.verify(&covered, key, app.clock.now()) {
                Ok(_) => return Ok(()),
                // That it is signed, but at another time, says more than that another key did not sign it.
                Err(error @ SignatureError::ClockSkew { .. }) => worst = error,
                Err(_) => {}
            }
        }
        Err(refusal(&worst))
    }

    /// # Errors
    /// Where the request was answered before.
    pub(crate) async fn spend_nonce(&self, app: &App, agent: &AgentId) -> Result<(), Refused> {
        let tolerance = Duration::try_from(TOLERANCE).unwrap_or_default();
        let until = later(later(self.claim.created, tolerance), NONCE_MARGIN);
        let note = Note::Nonce { agent: agent.clone(), nonce: self.claim.nonce.clone(), until };
        match app.notebook.keep(note).await? {
            Noted::Kept => Ok(()),
            _ => Err(Refused::new(ProblemCode::NonceUsed, "This very request was answered before.")
                .next_step("Sign the request anew, with a fresh nonce.")),
        }
    }

    /// The connection is an enrolled agent's, and takes no place away from strangers any more. Where a fleet reports at once, its reports would
    /// otherwise fill all places that strangers have.
    pub(super) fn take_agent_seat(&self, app: &App, agent: &AgentId) {
        if let Some(seat) = self.parts.extensions.get::<Seat>().filter(|seat| !seat.is::<AgentSeat>())
            && let Ok(permit) = Arc::clone(&app.agent_seats).try_acquire_owned()
        {
            seat.change(AgentSeat { _permit: permit, _place: app.seats.take(agent, seat.end().clone()) });
        }
    }
}

impl FromRequest<Arc<App>> for FromAgent {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refused> {
        let find = async |claim: &Claim| app.register.member(&claim.key_id).await?.ok_or_else(unknown_agent);
        let (unverified, agent) = Unverified::read(app, request, find).await?;
        unverified.verify(app, &[&agent.transport_key])?;
        check_enrolled(agent.standing, app.clock.now())?;
        unverified.spend_nonce(app, &agent.id).await?;
        app.presence.saw(&agent.id, app.clock.now());
        unverified.take_agent_seat(app, &agent.id);
        Ok(Self { agent, body: unverified.body })
    }
}

impl FromAgent {
    /// The body as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refused::malformed(format!("The request's JSON does not fit: {error}.")))
    }
}

/// # Errors
/// Where the enrolment was ended, or another one took its place a while ago.
pub(crate) fn check_enrolled(agent: Standing, now: Timestamp) -> Result<(), Refused> {
    let is_over = agent.replaced.is_some_and(|at| later(at, OVERLAP) <= now);
    if agent.revoked || is_over {
        let why = if agent.revoked { "Support ended this agent's enrolment." } else { "The agent has another bundle key now." };
        return Err(Refused::new(ProblemCode::AgentRevoked, why).next_step(
            "To enrol the machine anew: netsonde identity forget --copy, and netsonde enroll with a string from support.",
        ));
    }
    Ok(())
}

/// # Errors
/// Where two machines share the identity, so that nobody can say which of them would run an order.
pub(crate) fn check_single(agent: Standing) -> Result<(), Refused> {
    if agent.cloned { Err(identity_twice()) } else { Ok(()) }
}

/// # Errors
/// Where the agent, when it last said what it is, spoke only what is not served any more.
pub(crate) fn check_served(protocol: Protocol) -> Result<Protocol, Refused> {
    protocol.spoken().map_err(|old| {
        Refused::new(ProblemCode::ProtocolTooOld, format!("The agent is too old for this backend: {old}."))
            .next_step("Install a newer netsonde on the machine; its enrolment, orders and bundles stay as they are.")
    })
}

pub(crate) fn identity_twice() -> Refused {
    Refused::new(ProblemCode::IdentityTwice, "Another machine uses this agent's identity too, most likely a copy of this one.")
        .next_step("Enrol the copy anew, with a key of its own; support then says that one machine is left.")
}

pub(crate) fn unknown_agent() -> Refused {
    Refused::new(ProblemCode::AgentUnknown, "No agent with this key is enrolled here.")
        .next_step("Enrol the machine: netsonde enroll, with the nse1_… string from support.")
}

fn signature_headers(headers: &HeaderMap) -> Option<Headers> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?.to_owned();
        values.next().is_none().then_some(value)
    };
    Some(Headers { input: only(SIGNATURE_INPUT)?, signature: only(SIGNATURE)? })
}

fn refusal(error: &SignatureError) -> Refused {
    let words = format!("It cannot be told which agent sent this: {error}.");
    match error {
        SignatureError::ClockSkew { now, .. } => {
            let problem = Problem::new(ProblemCode::ClockSkew, words)
                .with_next_step("Sign by the server's time, which this answer tells; the machine's clock is worth mending.");
            Problem { server_time: Some(*now), ..problem }.into()
        }
        SignatureError::Malformed | SignatureError::NotSigned => Refused::new(ProblemCode::AgentUnknown, words)
            .next_step("If the agent reaches this server by another name than its public URL, enrol it with that URL."),
    }
}
