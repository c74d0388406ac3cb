use super::signed::{Unverified, check_enrolled, check_served, identity_twice, unknown_agent};
use super::{link, link_digest, signed};
use crate::app::App;
use crate::problem::Refused;
use crate::store::{AgentRow, Enrolled, EnrolmentRow, LinkShown, ShownLink};
use axum::extract::Request;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{CheckIn, CheckedIn, Introduce, Introduced, OwnReport};
use netsonde_contract::api::{Problem, ProblemCode};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::enrolment::{CodeProof, Introduction};
use netsonde_contract::harmless::is_clean;

/// Names and versions are short; more is somebody's experiment.
const MAX_CHARS: usize = 128;
/// More kinds than there are.
const MAX_KINDS: usize = 64;

/// What became of a request that introduces or reports an agent.
pub(crate) enum Entry {
    Introduced(Introduced),
    CheckedIn(CheckedIn),
}

/// `POST /v1/agents` and `POST /v1/agents/self`: an agent that enrols, changes a key, or says how it is.
pub(crate) async fn enter(app: &App, request: Request) -> Result<Entry, Refused> {
    // Before there is an agent of that key, only the bundle key's signature in the body can tell who it is.
    let find = async |claim: &netsonde_contract::request_signature::Claim| Ok(app.store.agent(&claim.key_id).await?);
    let (unverified, known) = Unverified::read(app, request, find).await?;
    let report: OwnReport = serde_json::from_slice(&unverified.body)
        .map_err(|_| Refused::malformed("The body is neither a check-in nor an introduction of an agent."))?;
    match report {
        OwnReport::CheckIn(check_in) => {
            let agent = known.ok_or_else(unknown_agent)?;
            unverified.verify(app, &[&agent.transport_key])?;
            check_enrolled(agent.standing(), app.clock.now())?;
            unverified.spend_nonce(app, &agent.id).await?;
            unverified.take_agent_seat(app, &agent.id);
            Ok(Entry::CheckedIn(checked_in(app, &agent, &check_in).await?))
        }
        OwnReport::Introduce(introduce) => {
            let (introduction, former) = read_introduction(app, &introduce).await?;
            // Either key may sign: the new one, for which the introduction vouches, or the one that is known already.
            let known_key = former.as_ref().map(|agent| agent.transport_key);
            let keys: Vec<&VerifyingKey> = std::iter::once(introduction.transport_key.key()).chain(known_key.as_ref()).collect();
            unverified.verify(app, &keys)?;
            check_words(&introduce.check_in)?;
            check_served(introduce.check_in.protocol)?;
            // A nonce is remembered only for who is known, or holds a code: nobody else makes the database grow.
            let introduced = match (&introduction.code, former) {
                (Some(code), _) => {
                    let enrolment = check_code(app, &introduction, code).await?;
                    unverified.spend_nonce(app, &introduction.agent()).await?;
                    unverified.take_agent_seat(app, &introduction.agent());
                    enrolled(app, &introduce, &introduction, &enrolment).await?
                }
                (None, Some(former)) => {
                    unverified.spend_nonce(app, &introduction.agent()).await?;
                    unverified.take_agent_seat(app, &introduction.agent());
                    reintroduced(app, &introduce, introduction, former).await?
                }
                (None, None) => return Err(unknown_agent()),
            };
            Ok(Entry::Introduced(introduced))
        }
    }
}

/// An introduction that the desk hands in for a machine without a way here. The machine's bundle key signed it and it proves its code, so that
/// nobody need sign the request itself; only a code enrols by this way.
pub(crate) async fn hand_in(app: &App, introduce: &Introduce) -> Result<Introduced, Refused> {
    let (introduction, _) = read_introduction(app, introduce).await?;
    check_words(&introduce.check_in)?;
    check_served(introduce.check_in.protocol)?;
    let code = introduction.code.as_ref().ok_or_else(|| {
        Refused::malformed("The request proves no enrolment code.")
            .next_step("Make it anew: netsonde enroll - --offline FILE, with the nse1_… string.")
    })?;
    let enrolment = check_code(app, &introduction, code).await?;
    enrolled(app, introduce, &introduction, &enrolment).await
}

/// The introduction, and the agent that it is about or that it replaces, where there is one.
async fn read_introduction(app: &App, introduce: &Introduce) -> Result<(Introduction, Option<AgentRow>), Refused> {
    let refused = |words: String| Refused::malformed(format!("The introduction does not hold: {words}."));
    let json = introduce.introduction.as_bytes();
    let envelope = Envelope::from_json(json).map_err(|error| refused(error.to_string()))?;
    let claimed: Introduction = serde_json::from_slice(envelope.unverified()).map_err(|error| refused(error.to_string()))?;
    let former = match &claimed.replaces {
        Some(former) => {
            Some(app.store.agent(former.as_str()).await?.filter(|agent| agent.id == *former).ok_or_else(unknown_agent)?)
        }
        None => None,
    };
    let key = former.as_ref().map(|agent| &agent.bundle_key);
    let introduction = Introduction::verify(json, key).map_err(refused)?;
    let agent = match former {
        Some(former) => Some(former),
        None => app.store.agent(introduction.agent().as_str()).await?.filter(|agent| agent.id == introduction.agent()),
    };
    Ok((introduction, agent))
}

/// The enrolment whose code the agent proves to have been given.
async fn check_code(app: &App, introduction: &Introduction, code: &CodeProof) -> Result<EnrolmentRow, Refused> {
    let unknown = || {
        Refused::new(ProblemCode::EnrolmentUnknown, "This backend has made no such enrolment code.")
            .next_step("Check that the whole nse1_… string was pasted, or ask support for a new one.")
    };
    let enrolment = app.store.enrolment(&code.id).await?.ok_or_else(unknown)?;
    let receipt_key = app.receipt_key.verifying_key();
    if !enrolment.proof_key.verify(&code.id, introduction.bundle_key.key(), &receipt_key, &code.proof) {
        return Err(Refused::new(
            ProblemCode::EnrolmentWrongProof,
            "The proof does not show that the agent was given this code, for this backend.",
        )
        .next_step("Paste the whole nse1_… string again, or ask support for a new one."));
    }
    // The agent would find no root in the answer, and its code would be spent.
    if app.trust.current().is_none() {
        return Err(Refused::new(
            ProblemCode::NotPublished,
            "This backend has no organisation's keys to show yet; nothing was spent.",
        )
        .next_step("Ask support to run netsonde-desk org publish; then enrol again with the same string."));
    }
    Ok(enrolment)
}

async fn enrolled(
    app: &App,
    introduce: &Introduce,
    introduction: &Introduction,
    enrolment: &EnrolmentRow,
) -> Result<Introduced, Refused> {
    let now = app.clock.now();
    let link = link::make(&app.receipt_key, introduction.agent().as_str(), now)?;
    let row = AgentRow {
        labels: enrolment.labels.clone(),
        enrolled: now,
        link_before: None,
        ..row_of(introduce, introduction, now, &link)
    };
    match app.store.enrol(&row, &enrolment.id, now).await? {
        Enrolled::Done => {
            tracing::info!(agent = row.id.short(), "agent enrolled");
            answer(app, &row, link)
        }
        outcome => Err(not_enrolled(&outcome, enrolment, now)),
    }
}

fn not_enrolled(outcome: &Enrolled, enrolment: &EnrolmentRow, now: Timestamp) -> Refused {
    let (code, words) = match outcome {
        Enrolled::UsedUp => {
            (ProblemCode::EnrolmentUsed, format!("The code was good for {} agents, which it has.", enrolment.uses))
        }
        Enrolled::Expired => (ProblemCode::EnrolmentExpired, format!("The code was good until {}.", enrolment.expires)),
        _ => (ProblemCode::AgentRevoked, "Support ended the enrolment of this very key.".to_owned()),
    };
    let step = match code {
        ProblemCode::AgentRevoked => "Run netsonde identity forget --copy, which makes a new key, and enrol again.",
        _ => "Ask support for a new enrolment string.",
    };
    let problem = Problem::new(code, words).with_next_step(step);
    Problem { server_time: Some(now), ..problem }.into()
}

async fn reintroduced(
    app: &App,
    introduce: &Introduce,
    introduction: Introduction,
    former: AgentRow,
) -> Result<Introduced, Refused> {
    let now = app.clock.now();
    check_enrolled(former.standing(), now)?;
    // What is on its way again after a lost answer changes nothing.
    let known = app.store.agent(introduction.agent().as_str()).await?;
    let known = known.filter(|agent| agent.introduction == introduce.introduction.as_bytes());
    let Some(known) = known else {
        let link = link::make(&app.receipt_key, introduction.agent().as_str(), now)?;
        let labels = former.labels.clone();
        let mut introduced = row_of(introduce, &introduction, now, &link);
        // A change of keys says nothing of the name.
        let host_name = introduced.host_name.take().or_else(|| former.host_name.clone());
        let row = AgentRow { labels, host_name, enrolled: former.enrolled, ..introduced };
        // The link goes on from the former one: who shows an old one here is a copy just the same.
        check_link(app, &former, &introduce.check_in, &link, now).await?;
        if !app.store.introduce(&row, &former.id, now).await? {
            return Err(Refused::malformed("A newer introduction of this agent is known.")
                .next_step("Introduce the agent with a higher number."));
        }
        app.presence.ring([&former.id]);
        return answer(app, &row, link);
    };
    check_enrolled(known.standing(), now)?;
    let checked = checked_in(app, &known, &introduce.check_in).await?;
    answer(app, &AgentRow { check_in: introduce.check_in.clone(), ..known }, checked.link)
}

async fn checked_in(app: &App, agent: &AgentRow, check_in: &CheckIn) -> Result<CheckedIn, Refused> {
    check_words(check_in)?;
    let now = app.clock.now();
    let link = link::make(&app.receipt_key, agent.id.as_str(), now)?;
    check_link(app, agent, check_in, &link, now).await?;
    // Only now: the fleet's page then shows what the agent speaks.
    Ok(CheckedIn { server_time: now, link, protocol: check_served(check_in.protocol)? })
}

/// Keeps the check-in where the link that it shows is the one that was given last, and puts `next` in its place.
async fn check_link(app: &App, agent: &AgentRow, check_in: &CheckIn, next: &str, now: Timestamp) -> Result<(), Refused> {
    let given = |link: &str| link::given(&app.receipt_key, agent.id.as_str(), link);
    let shown = check_in.link.as_deref().map(|link| ShownLink { digest: link_digest(link), given: given(link) });
    let kept = CheckIn { link: None, ..check_in.clone() };
    match app.store.check_in(&agent.id, &kept, shown, link_digest(next), now).await? {
        LinkShown::Taken => signed::check_single(agent.standing()),
        LinkShown::Superseded => {
            tracing::warn!(agent = agent.id.short(), "two machines share this agent's identity");
            app.presence.ring([&agent.id]);
            Err(identity_twice())
        }
    }
}

fn row_of(introduce: &Introduce, introduction: &Introduction, now: Timestamp, link: &str) -> AgentRow {
    AgentRow {
        id: introduction.agent(),
        bundle_key: *introduction.bundle_key.key(),
        transport_key: *introduction.transport_key.key(),
        number: introduction.number,
        introduction: introduce.introduction.as_bytes().to_vec(),
        host_name: introduction.host_name.clone(),
        labels: [].into(),
        enrolled: now,
        last_seen: Some(now),
        check_in: CheckIn { link: None, ..introduce.check_in.clone() },
        link: Some(link_digest(link)),
        link_before: introduce.check_in.link.as_deref().map(link_digest),
        cloned: false,
        revoked: false,
        replaced: None,
    }
}

fn answer(app: &App, agent: &AgentRow, link: String) -> Result<Introduced, Refused> {
    let protocol = check_served(agent.check_in.protocol)?;
    let trust = app.trust.current().map(|published| published.documents.clone()).unwrap_or_default();
    Ok(Introduced { agent: agent.id.clone(), trust, server_time: app.clock.now(), link, protocol })
}

/// # Errors
/// Where a text is no line of its kind.
fn check_words(check_in: &CheckIn) -> Result<(), Refused> {
    let policy = &check_in.policy;
    let texts = [&check_in.version, &check_in.platform, &check_in.instance, &policy.remote];
    let texts = texts.into_iter().chain(&policy.sha256).chain(&check_in.link);
    let epoch = check_in.epoch.as_str();
    let is_epoch = epoch.len() == 32 && epoch.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let fits = texts.into_iter().all(|text| is_clean(text) && text.len() <= MAX_CHARS);
    if fits && is_epoch && check_in.kinds.len() <= MAX_KINDS {
        return Ok(());
    }
    Err(Refused::malformed("What the agent says of itself is too long, or hides something."))
}
