//! What to send next for one question on one transport. Pure: what came in, the next query out.
//!
//! A silent server gets the same query again; where none with EDNS is answered, one without follows, which tells a network that drops
//! EDNS from a dead server. Where that one is answered, one with EDNS follows again, and after its silence two without: what drops EDNS
//! does so each time and drops nothing else, which no loss by chance or by turns does. A server that refuses EDNS is asked without it at once (RFC 6891 section 7), and one that wants its own
//! cookie back gets it (RFC 7873 section 5.3). Each of these happens once, so that every question ends.

use super::options::CLIENT_COOKIE_BYTES;
use super::query::{Query, Verdict};
use hickory_proto::op::{Message, ResponseCode};
use netsonde_contract::observation::QueryReason;

#[derive(Debug)]
pub(super) struct Asking {
    /// Every query sent or about to be, the current one last. A late reply to an earlier one counts.
    queries: Vec<Query>,
    why: QueryReason,
    /// How often the current query may still meet with silence.
    left: u32,
    /// EDNS may be given up.
    fallback: bool,
    /// A query with EDNS went out again after an answer to one without.
    confirmed: bool,
    cookie_returned: bool,
    /// A refusal that was asked about again: the reply that counts where nothing better comes.
    held: Option<Received>,
}

/// A message taken as the reply.
#[derive(Debug)]
pub(super) struct Received {
    pub message: Message,
    pub size: usize,
    pub ip_ttl: Option<u8>,
    /// The query that it answers, from the first.
    pub query: usize,
    /// The client's part of the cookie that this query had.
    pub cookie: Option<[u8; CLIENT_COOKIE_BYTES]>,
}

impl Asking {
    /// `attempts` packets at most meet with silence before the question is given up, one without EDNS apart, and three more that
    /// tell whether its answer was chance.
    pub(super) fn new(query: Query, why: QueryReason, attempts: u32, fallback: bool) -> Self {
        Self { queries: vec![query], why, left: attempts, fallback, confirmed: false, cookie_returned: false, held: None }
    }

    /// The query to send now, which one it is from the first, and why it is sent.
    pub(super) fn current(&self) -> (&Query, usize, QueryReason) {
        let at = self.queries.len() - 1;
        (&self.queries[at], at, self.why)
    }

    /// The bytes as the reply to any of the queries.
    ///
    /// # Errors
    /// Why they are none.
    pub(super) fn take(&self, bytes: &[u8], ip_ttl: Option<u8>) -> Result<Received, String> {
        let mut why = String::new();
        for (at, query) in self.queries.iter().enumerate().rev() {
            match query.judge(bytes) {
                Verdict::Reply(message) => {
                    return Ok(Received {
                        message,
                        size: bytes.len(),
                        ip_ttl,
                        query: at,
                        cookie: query.client_cookie().copied(),
                    });
                }
                // What the current query says of it is what is told.
                Verdict::Ignored(reason) if why.is_empty() => why = reason,
                Verdict::Ignored(_) => {}
            }
        }
        Err(why)
    }

    /// A reply came: it is given back where it counts, and kept where there is a query to send first.
    pub(super) fn replied(&mut self, reply: Received) -> Option<Received> {
        let code = reply.message.response_code;
        let query = &self.queries[reply.query];
        let refused_edns = matches!(code, ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS);
        if refused_edns && self.confirmed && query.has_edns() && self.held.is_some() {
            return self.held.take();
        }
        let only_plain = self.why == QueryReason::SilenceWithEdns && !query.has_edns();
        let next = if only_plain && !self.confirmed {
            self.confirmed = true;
            self.queries.iter().find(|query| query.has_edns()).and_then(Query::again).map(|query| (query, QueryReason::EdnsAgain))
        } else if only_plain {
            query.again().map(|query| (query, QueryReason::PlainAgain))
        } else if code == ResponseCode::BADCOOKIE && !self.cookie_returned {
            self.cookie_returned = true;
            query.with_cookie_of(&reply.message).map(|query| (query, QueryReason::BadCookie))
        } else if refused_edns && self.fallback && query.has_edns() {
            self.fallback = false;
            query.without_edns().map(|query| (query, QueryReason::EdnsRefused))
        } else {
            None
        };
        match next {
            Some((query, why)) => {
                self.queries.push(query);
                self.why = why;
                self.left = 1;
                self.held = Some(reply);
                None
            }
            None => Some(reply),
        }
    }

    /// Nothing came in time: whether there is a query to send.
    pub(super) fn silent(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            self.why = QueryReason::Silence;
            return true;
        }
        let plain = self.current().0.has_edns().then(|| self.current().0.without_edns()).flatten();
        match plain.filter(|_| self.fallback || self.why == QueryReason::EdnsAgain) {
            Some(query) => {
                self.fallback = false;
                self.queries.push(query);
                self.why = QueryReason::SilenceWithEdns;
                self.left = 1;
                true
            }
            None => false,
        }
    }

    /// The reply that counts where nothing better came.
    pub(super) fn held(&mut self) -> Option<Received> {
        self.held.take()
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::{Offer, Shape};
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::{DNSClass, Name, RecordType};

    fn asking(attempts: u32, fallback: bool) -> Asking {
        let offer = Offer { cookie: true, ..Offer::default() };
        let shape = Shape { class: DNSClass::IN, recursion: true, checking_disabled: false, edns: Some(offer) };
        let query = Query::new(Name::from_ascii("www.example.").unwrap(), RecordType::A, shape).unwrap();
        Asking::new(query, QueryReason::First, attempts, fallback)
    }

    fn reply(asking: &Asking, code: ResponseCode) -> Received {
        let (query, at, _) = asking.current();
        let mut message = Message::response(query.id(), OpCode::Query);
        message.metadata.response_code = code;
        Received { message, size: 12, ip_ttl: None, query: at, cookie: None }
    }

    #[test]
    fn silence_is_met_with_the_same_query_and_then_with_one_without_edns() {
        let mut asking = asking(2, true);
        let first = asking.current().0.id();
        assert!(asking.silent());
        assert_eq!((asking.current().0.id(), asking.current().2), (first, QueryReason::Silence));
        assert!(asking.silent());
        assert_eq!((asking.current().0.has_edns(), asking.current().2), (false, QueryReason::SilenceWithEdns));
        assert!(!asking.silent(), "and then it ends");
    }

    /// One that has given up EDNS, and got an answer for it.
    fn answered_without_edns() -> Asking {
        let mut asking = asking(1, true);
        assert!(asking.silent());
        assert!(asking.replied(reply(&asking, ResponseCode::NoError)).is_none(), "it may be chance");
        assert_eq!((asking.current().0.has_edns(), asking.current().2), (true, QueryReason::EdnsAgain));
        asking
    }

    #[test]
    fn an_answer_without_edns_is_no_chance_where_the_next_one_with_it_is_lost_too() {
        let mut asking = answered_without_edns();
        assert!(asking.silent());
        assert_eq!((asking.current().0.has_edns(), asking.current().2), (false, QueryReason::SilenceWithEdns));
        assert!(asking.replied(reply(&asking, ResponseCode::NoError)).is_none(), "every other packet may be lost");
        assert_eq!((asking.current().0.has_edns(), asking.current().2), (false, QueryReason::PlainAgain));
        assert_eq!(asking.replied(reply(&asking, ResponseCode::NoError)).unwrap().query, 4);
    }

    #[test]
    fn silence_after_an_answer_without_edns_leaves_that_answer() {
        let mut asking = answered_without_edns();
        assert!(asking.silent() && !asking.silent(), "one without, and no others");
        assert_eq!(asking.held().unwrap().query, 1);
    }

    #[test]
    fn an_answer_to_the_second_try_with_edns_is_the_one_that_counts() {
        let mut answered = answered_without_edns();
        assert_eq!(answered.replied(reply(&answered, ResponseCode::NoError)).unwrap().query, 2);
        let mut refused = answered_without_edns();
        assert_eq!(
            refused.replied(reply(&refused, ResponseCode::FormErr)).unwrap().query,
            1,
            "a refusal is worse than the answer"
        );
    }

    #[test]
    fn edns_that_may_not_be_given_up_stays() {
        let mut asking = asking(1, false);
        assert!(asking.replied(reply(&asking, ResponseCode::FormErr)).is_some());
        assert!(!asking.silent());
    }

    #[test]
    fn a_refusal_of_edns_that_silence_follows_is_the_reply_after_all() {
        let mut asking = asking(2, true);
        assert!(asking.replied(reply(&asking, ResponseCode::FormErr)).is_none());
        assert_eq!((asking.current().0.has_edns(), asking.current().2), (false, QueryReason::EdnsRefused));
        assert!(!asking.silent());
        assert_eq!(asking.held().unwrap().message.response_code, ResponseCode::FormErr);
    }

    #[test]
    fn a_server_that_never_has_enough_ends() {
        let mut asking = asking(1, true);
        assert!(asking.replied(reply(&asking, ResponseCode::NotImp)).is_none());
        assert!(asking.replied(reply(&asking, ResponseCode::NotImp)).is_some(), "without EDNS it counts");
        assert!(asking.replied(reply(&asking, ResponseCode::BADCOOKIE)).is_some(), "no cookie came with it");
    }
}
