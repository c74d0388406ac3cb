//! Carries a protocol over TCP: connects, asks each step's question, hands what comes back to its parser, and makes TLS where both
//! sides agreed on it.

use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use super::{foreign, not_this, note, step};
use crate::clock::microseconds;
use crate::context::Context;
use crate::platform::tcp;
use crate::tls::connect;
use crate::tls::draft::Draft;
use crate::tls::entropy;
use crate::tls::handshake;
use crate::tls::wire::Wire;
use netsonde_contract::failure::{Failure, FailureCode, Step as Stage};
use netsonde_contract::kind::ServiceParams;
use netsonde_contract::observation::{Service, ServiceReach};
use socket2::SockRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An optional answer is waited for no longer than this: it comes with or right behind the one before.
const OPTIONAL_WAIT: Duration = Duration::from_secs(2);
/// After a silence a question of HTTP is asked, which web servers and TLS servers answer or refuse at once.
const LAST_QUESTION: &[u8] = b"\r\nHEAD / HTTP/1.0\r\n\r\n";
/// How long the answer to that may take: the port is known to be slow or silent.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Of a farewell the sending is waited for, no answer.
const FAREWELL_WAIT: Duration = Duration::from_millis(200);

/// A conversation under way.
struct Talk<'a> {
    context: &'a Context,
    params: &'a ServiceParams,
    /// TCP, or TLS over it where that comes first.
    stream: Wire,
    /// What came back since the step before.
    received: Vec<u8>,
    heard: Heard,
    /// Something was sent.
    asked: bool,
    random: [u8; 64],
    /// When the connection stood, on the run's clock.
    connected_at: Duration,
}

/// Why a step has no answer.
enum Unanswered {
    Silent,
    Ended(Failure),
    NotThis,
}

/// Holds the whole conversation and writes it into `draft`.
pub(super) async fn talk(context: &Context, params: &ServiceParams, protocol: &Protocol, draft: &mut Draft<Service>) {
    let timeout = Duration::from_millis(params.timeout_ms);
    if params.tls || params.begins_in_tls() {
        entropy::ready(context).await;
    }
    let address = draft.address;
    let connected = match connect::first_noting(context, &[address.ip()], address.port(), timeout, &mut draft.attempts).await {
        Ok(connected) => connected,
        Err(refused) => {
            draft.connect_us = Some(refused.took_us);
            draft.failure = Some(refused.failure);
            return;
        }
    };
    (draft.connect_us, draft.reached, draft.step) = (Some(connected.took_us), ServiceReach::Connected, Stage::Receive);
    let socket = SockRef::from(&*connected.stream).try_clone().ok();
    converse(context, params, protocol, Box::new(connected.stream), draft).await;
    draft.at_close = socket.and_then(|socket| tcp::info(&socket)).map(|info| Box::new(info.state));
}

/// The conversation on a connection that stands.
async fn converse(context: &Context, params: &ServiceParams, protocol: &Protocol, mut stream: Wire, draft: &mut Draft<Service>) {
    let connected_at = context.clock.now();
    let (heard, random) = (Heard::default(), rand::random());
    if params.begins_in_tls() {
        let Some(secured) = secure(context, params, stream, draft).await else {
            draft.failure = draft.tls_upgrade.as_ref().and_then(|upgrade| upgrade.failure.clone());
            return;
        };
        stream = secured;
    }
    let mut talk = Talk { context, params, stream, received: Vec::new(), heard, asked: false, random, connected_at };
    for each in protocol.steps {
        if !talk.step(each, draft).await {
            return;
        }
        if talk.heard.tls_agreed && params.tls {
            agreed(context, params, talk.stream, draft).await;
            return;
        }
        if talk.heard.refusal.is_some() {
            break;
        }
    }
    if params.begins_in_tls() {
        draft.reached = ServiceReach::Secured;
    }
    // Whether it arrives changes nothing that was heard.
    let _ = tokio::time::timeout(FAREWELL_WAIT, talk.stream.write_all(protocol.farewell)).await;
}

impl Talk<'_> {
    /// Makes one step; false where the conversation is over.
    async fn step(&mut self, each: &Step, draft: &mut Draft<Service>) -> bool {
        let asking = Asking {
            heard: &self.heard,
            random: &self.random,
            port: draft.address.port(),
            tls: self.params.tls && !self.params.begins_in_tls(),
        };
        let Some(question) = (each.ask)(&asking) else { return true };
        let began = self.context.clock.now();
        let limit = Duration::from_millis(self.params.timeout_ms);
        let limit = if each.optional { limit.min(OPTIONAL_WAIT) } else { limit };
        let result = tokio::time::timeout(limit, self.exchange(each, &question, draft)).await;
        let took_us = microseconds(self.context.clock.now().saturating_sub(began));
        let unanswered = match result {
            Ok(Ok(heard)) => {
                step(draft, each.name, took_us, true);
                self.heard.merge(heard);
                if draft.reached < ServiceReach::Understood || each.read.is_some() {
                    note(draft, &self.heard);
                }
                return true;
            }
            Ok(Err(unanswered)) => unanswered,
            Err(_) => Unanswered::Silent,
        };
        step(draft, each.name, took_us, false);
        if each.optional {
            return false;
        }
        self.give_up(each, unanswered, draft).await;
        false
    }

    /// Sends the question and reads until there is an answer. A step without a parser begins TLS with its question.
    async fn exchange(&mut self, each: &Step, question: &[u8], draft: &mut Draft<Service>) -> Result<Heard, Unanswered> {
        self.asked |= !question.is_empty();
        let sent = self.stream.write_all(question).await;
        let Some(read) = each.read else {
            sent.map_err(|error| Unanswered::Ended(Failure::from_io(&error, Stage::Send)))?;
            return Ok(Heard { tls_agreed: true, ..Heard::default() });
        };
        // Where sending failed, the reason may still lie in what the service said before it closed.
        loop {
            match read(&self.received) {
                Reading::Done(heard, used) => {
                    self.received.drain(..used.min(self.received.len()));
                    return Ok(*heard);
                }
                Reading::NotThis => return Err(Unanswered::NotThis),
                Reading::More => self.receive(draft).await?,
            }
        }
    }

    async fn receive(&mut self, draft: &mut Draft<Service>) -> Result<(), Unanswered> {
        let mut buffer = [0_u8; 2_048];
        let ended = |failure| Unanswered::Ended(failure);
        let count = self.stream.read(&mut buffer).await.map_err(|error| ended(Failure::from_io(&error, Stage::Receive)))?;
        if count == 0 {
            let text = "the service closed the connection before its answer was complete";
            return Err(ended(Failure::new(FailureCode::Closed, Stage::Receive, text)));
        }
        let since = self.context.clock.now().saturating_sub(self.connected_at);
        draft.first_byte_us.get_or_insert(microseconds(since));
        draft.reached = draft.reached.max(ServiceReach::Answered);
        draft.received_bytes = draft.received_bytes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if usize::try_from(draft.received_bytes).unwrap_or(usize::MAX) > ServiceParams::MAX_BYTES {
            let text = format!("the service says more than {} bytes", ServiceParams::MAX_BYTES);
            return Err(ended(Failure::new(FailureCode::TooLarge, Stage::Receive, text)));
        }
        Ok(())
    }

    /// Says why there is no answer; before that, finds out whether it is another protocol's port.
    async fn give_up(&mut self, each: &Step, unanswered: Unanswered, draft: &mut Draft<Service>) {
        let label = draft.protocol.label();
        let said_nothing = draft.received_bytes == 0;
        // A greeting of the protocol itself that never ends is no other protocol's.
        let other = foreign::name(&self.received).filter(|names| !names.split(" or ").any(|name| name == label));
        match unanswered {
            Unanswered::NotThis => not_this(draft, &self.received),
            // The beginning of an answer that went no further may be a whole one of another protocol.
            _ if other.is_some() && draft.reached < ServiceReach::Understood => {
                not_this(draft, &self.received);
            }
            Unanswered::Ended(failure) => draft.failure = Some(failure),
            Unanswered::Silent => {
                let text = match said_nothing {
                    true => format!("connected, and no word of {label} came within {} ms", self.params.timeout_ms),
                    false => format!("no answer to {} within {} ms", each.name, self.params.timeout_ms),
                };
                draft.failure = Some(Failure::new(FailureCode::TimedOut, Stage::Receive, text));
                if said_nothing {
                    self.last_question(draft).await;
                }
            }
        }
    }

    /// A port that stayed silent may wait for a client of another protocol to speak first.
    async fn last_question(&mut self, draft: &mut Draft<Service>) {
        let mut buffer = [0_u8; 512];
        let asked = async {
            // The end of a line that was begun would be an empty request to a server that was sent nothing.
            let question = if self.asked { LAST_QUESTION } else { LAST_QUESTION.trim_ascii_start() };
            self.stream.write_all(question).await.ok()?;
            self.stream.read(&mut buffer).await.ok()
        };
        let count = tokio::time::timeout(LAST_WAIT, asked).await.ok().flatten().unwrap_or(0);
        let answer = buffer.get(..count).unwrap_or_default();
        if foreign::name(answer).is_some() {
            not_this(draft, answer);
        }
    }
}

/// The service agreed to TLS: a handshake that fails then, or a connection that the service ends with it, is the service's failure, as it
/// is that of every client that asks for TLS.
async fn agreed(context: &Context, params: &ServiceParams, stream: Wire, draft: &mut Draft<Service>) {
    draft.step = Stage::Handshake;
    let failure = match secure(context, params, stream, draft).await {
        Some(mut secured) => {
            let wait = handshake::a_round_trip(draft.connect_us.unwrap_or_default());
            let ended = handshake::early_end(&mut secured, wait, "").await;
            if let (Some(failure), Some(upgrade)) = (&ended, &mut draft.tls_upgrade) {
                upgrade.failure = Some(failure.clone());
            }
            ended
        }
        None => draft.tls_upgrade.as_ref().and_then(|upgrade| upgrade.failure.clone()),
    };
    if failure.is_none() {
        draft.reached = ServiceReach::Secured;
    }
    draft.failure = failure;
}

/// Both sides agreed, or begin so: makes the handshake, which judges no certificate. That is the kind `tls`.
async fn secure(context: &Context, params: &ServiceParams, stream: Wire, draft: &mut Draft<Service>) -> Option<Wire> {
    let timeout = Duration::from_millis(params.timeout_ms);
    let (took_us, result) = handshake::plain_check(context, stream, &params.host, timeout).await;
    let upgrade = draft.tls_upgrade.get_or_insert_default();
    upgrade.took_us = Some(took_us);
    match result {
        Ok(check) => {
            (upgrade.offered, upgrade.version, upgrade.cipher) = (true, check.version, check.cipher);
            Some(check.wire)
        }
        Err(failure) => {
            upgrade.failure = Some(failure);
            None
        }
    }
}
