//! What came of one question on one transport, and what one server is asked with.

use super::asking::{Asking, Received};
use super::query::Query;
use super::reply;
use crate::clock::{Clock, microseconds};
use hickory_proto::op::Message;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Handshake, Lookup, OtherMessage, QueryReason, SentQuery};
use std::net::SocketAddr;
use std::time::Duration;

/// How long and how often to ask one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// After each packet.
    pub timeout: Duration,
    pub attempts: u32,
    /// Where EDNS is met with silence or a refusal, ask without it.
    pub fallback: bool,
    /// After the reply, for a second one; over UDP only.
    pub listen: Duration,
}

/// An exchange in the making.
#[derive(Debug)]
pub(super) struct Exchange {
    clock: Clock,
    server: SocketAddr,
    /// When the first packet was sent, on the run's clock.
    pub began: Duration,
    /// Packets sent, or connections tried.
    pub attempts: u32,
    /// From the first packet to the reply.
    pub took: Option<Duration>,
    pub sent: Vec<SentQuery>,
    /// Which query of [`Asking`] each of `sent` was.
    which: Vec<usize>,
    pub others: Vec<OtherMessage>,
    pub tls: Option<Box<Handshake>>,
    pub http_status: Option<u16>,
    pub outcome: Result<Received, Failure>,
}

impl Exchange {
    /// `otherwise` is the failure where nothing else comes.
    pub(super) fn begin(clock: Clock, server: SocketAddr, otherwise: Failure) -> Self {
        Self {
            clock,
            server,
            began: clock.now(),
            attempts: 0,
            took: None,
            sent: Vec::new(),
            which: Vec::new(),
            others: Vec::new(),
            tls: None,
            http_status: None,
            outcome: Err(otherwise),
        }
    }

    pub(super) fn failed(self, failure: Failure) -> Self {
        Self { outcome: Err(failure), ..self }
    }

    /// No reply will come: a refusal that was asked about again counts, else the failure.
    pub(super) fn ends_with(self, failure: Failure, asking: &mut Asking) -> Self {
        let outcome = asking.held().ok_or(failure);
        Self { outcome, ..self }
    }

    /// A query goes out now.
    pub(super) fn sends(&mut self, query: &Query, which: usize, why: QueryReason, local: Option<SocketAddr>) {
        self.which.push(which);
        self.sent.push(SentQuery {
            after_us: self.after_us(),
            why,
            id: query.id(),
            local,
            edns: query.has_edns(),
            size_bytes: u32::try_from(query.bytes().len()).unwrap_or(u32::MAX),
            rcode: None,
        });
    }

    /// The last query of this number got the reply.
    pub(super) fn replied(&mut self, received: &Received) {
        self.took = Some(self.clock.now().saturating_sub(self.began));
        if let Some(at) = self.which.iter().rposition(|which| *which == received.query) {
            self.sent[at].rcode = Some(reply::rcode(u16::from(received.message.response_code)));
        }
    }

    /// A message that is no reply, or one after the reply.
    pub(super) fn other(&mut self, asking: &Asking, bytes: &[u8], ip_ttl: Option<u8>) {
        if self.others.len() >= Lookup::MAX_OTHERS {
            return;
        }
        let (second, why) = match asking.take(bytes, ip_ttl) {
            Ok(received) => (Some(reply::of(&received, self.server)), "the reply was there before it".to_owned()),
            Err(why) => (None, why),
        };
        let read = || Message::from_vec(bytes).ok().map(|message| reply::reply(&message, bytes.len(), self.server, None));
        self.others.push(OtherMessage {
            after_us: self.after_us(),
            second_reply: second.is_some(),
            why,
            size_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            ip_ttl,
            reply: second.or_else(read),
        });
    }

    /// Nothing came in time; where something came that was no reply, that is the failure.
    pub(super) fn ends_in_silence(self, silence: Failure, asking: &mut Asking) -> Self {
        let failure = self.others.last().map_or(silence, |other| broken(&other.why));
        self.ends_with(failure, asking)
    }

    fn after_us(&self) -> u64 {
        microseconds(self.clock.now().saturating_sub(self.began))
    }
}

/// What came was not the reply.
pub(super) fn broken(why: &str) -> Failure {
    Failure::new(FailureCode::ProtocolError, Step::Receive, format!("{why}; no good reply followed"))
}
