//! The question, and whether a message is the reply to it. Pure: bytes out, bytes in.

use super::options::{CLIENT_COOKIE_BYTES, cookie};
use hickory_proto::ProtoError;
use hickory_proto::op::{DEFAULT_MAX_PAYLOAD_LEN, Edns, Header, Message, MessageType, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption, NSIDPayload};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// How a question is put, beside its name and type.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub class: DNSClass,
    pub recursion: bool,
    /// The server is to leave DNSSEC validation to the asker (RFC 4035 section 3.2.2).
    pub checking_disabled: bool,
    /// None where EDNS is not offered.
    pub edns: Option<Offer>,
}

/// What the OPT record of a question offers and asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    pub dnssec_ok: bool,
    pub nsid: bool,
    /// A new client cookie goes with each question.
    pub cookie: bool,
    pub subnet: Option<ClientSubnet>,
}

/// One question, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Query {
    id: u16,
    question: Question,
    shape: Shape,
    client_cookie: Option<[u8; CLIENT_COOKIE_BYTES]>,
    bytes: Vec<u8>,
}

/// RFC 7873 section 4.
const COOKIE_OPTION: u16 = 10;

/// What a received message is.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The reply to the question.
    Reply(Message),
    /// Not the reply, and why. The right one may still come: an off-path forger guesses ids in just this way (RFC 5452 section 9.1).
    Ignored(String),
}

impl Query {
    /// A question with a random id. With EDNS it offers 1232 bytes, which pass every path unfragmented.
    ///
    /// # Errors
    /// Where the name does not fit into a message.
    pub(super) fn new(name: Name, record_type: RecordType, shape: Shape) -> Result<Self, ProtoError> {
        let mut question = Question::query(name, record_type);
        question.set_query_class(shape.class);
        let client_cookie = shape.edns.as_ref().is_some_and(|offer| offer.cookie).then(rand::random);
        Self::built(rand::random(), question, shape, client_cookie, &[])
    }

    pub(super) fn built(
        id: u16,
        question: Question,
        shape: Shape,
        client_cookie: Option<[u8; CLIENT_COOKIE_BYTES]>,
        server_cookie: &[u8],
    ) -> Result<Self, ProtoError> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = shape.recursion;
        message.metadata.checking_disabled = shape.checking_disabled;
        message.add_query(question.clone());
        if let Some(offer) = &shape.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(DEFAULT_MAX_PAYLOAD_LEN).set_version(0).set_dnssec_ok(offer.dnssec_ok);
            let options = edns.options_mut();
            if offer.nsid {
                options.insert(EdnsOption::NSID(NSIDPayload::new(Vec::new())?));
            }
            if let Some(client) = client_cookie {
                options.insert(EdnsOption::Unknown(COOKIE_OPTION, [&client[..], server_cookie].concat()));
            }
            if let Some(subnet) = offer.subnet {
                options.insert(EdnsOption::Subnet(subnet));
            }
            message.set_edns(edns);
        }
        let bytes = message.to_vec()?;
        Ok(Self { id, question, shape, client_cookie, bytes })
    }

    /// The same question without EDNS, under another id.
    pub(super) fn without_edns(&self) -> Option<Self> {
        let shape = Shape { edns: None, ..self.shape.clone() };
        Self::built(self.next_id(), self.question.clone(), shape, None, &[]).ok()
    }

    /// The same question under another id, so that a late reply is told from one to this.
    pub(super) fn again(&self) -> Option<Self> {
        Self::built(self.next_id(), self.question.clone(), self.shape.clone(), self.client_cookie, &[]).ok()
    }

    /// The same question with the cookie that the server gave, under another id; none where it gave none to ours.
    pub(super) fn with_cookie_of(&self, reply: &Message) -> Option<Self> {
        let (client, server) = cookie(reply.edns.as_ref()?)?;
        let known = self.client_cookie.filter(|own| own == client && !server.is_empty())?;
        Self::built(self.next_id(), self.question.clone(), self.shape.clone(), Some(known), server).ok()
    }

    fn next_id(&self) -> u16 {
        if self.id == 0 { 0 } else { rand::random() }
    }

    /// The same question with the id 0, which those made of it keep.
    pub(super) fn without_id(mut self) -> Self {
        self.id = 0;
        self.bytes[..2].fill(0);
        self
    }

    /// The name that is asked for, as text.
    pub(super) fn name(&self) -> String {
        self.question.name().to_ascii()
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn has_edns(&self) -> bool {
        self.shape.edns.is_some()
    }

    pub(super) fn client_cookie(&self) -> Option<&[u8; CLIENT_COOKIE_BYTES]> {
        self.client_cookie.as_ref()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the bytes are the reply to this question. Never panics, whatever they are.
    pub(super) fn judge(&self, bytes: &[u8]) -> Verdict {
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(error) => match cut_message(bytes) {
                Some(message) => message,
                None => {
                    let why = plain(&error.to_string());
                    return Verdict::Ignored(format!("a message of {} bytes does not parse: {why}", bytes.len()));
                }
            },
        };
        if message.id != self.id {
            return Verdict::Ignored(format!("a message has the id {}, the question has {}", message.id, self.id));
        }
        if message.message_type != MessageType::Response || message.op_code != OpCode::Query {
            return Verdict::Ignored("a message is not a reply to a query".into());
        }
        // A server that refuses early may leave the question out.
        let refused_early = message.queries.is_empty() && message.response_code != ResponseCode::NoError;
        if !refused_early && message.queries != [self.question.clone()] {
            let asked = message
                .queries
                .first()
                .map_or("no question".into(), |other| format!("the question {} {}", other.name().to_ascii(), other.query_type()));
            return Verdict::Ignored(format!("a reply has {asked}, which was not asked"));
        }
        // RFC 7873 section 5.3: a reply to somebody else's cookie is not the reply to this question.
        let theirs = message.edns.as_ref().and_then(cookie).map(|(client, _)| client);
        if let (Some(own), Some(theirs)) = (&self.client_cookie, theirs)
            && own != theirs
        {
            return Verdict::Ignored("a reply has a DNS cookie that was not sent".into());
        }
        Verdict::Reply(message)
    }
}

/// The codec's words, but for what names that point to themselves are called in it.
fn plain(error: &str) -> String {
    if error.contains("label points") { "a name in it points forward or to itself".to_owned() } else { error.to_owned() }
}

/// The header and question of a truncated message: servers may cut in the middle of a record (RFC 2181 section 9).
fn cut_message(bytes: &[u8]) -> Option<Message> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).ok()?;
    if !header.metadata.truncation {
        return None;
    }
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata = header.metadata;
    message.queries = Message::read_queries(&mut decoder, usize::from(header.counts.queries)).ok()?;
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;
    use proptest::prelude::*;

    fn shape() -> Shape {
        let offer = Offer { nsid: true, cookie: true, ..Offer::default() };
        Shape { class: DNSClass::IN, recursion: true, checking_disabled: false, edns: Some(offer) }
    }

    fn query() -> Query {
        Query::new(Name::from_ascii("www.example.").unwrap(), RecordType::A, shape()).unwrap()
    }

    /// An empty reply to the query, as bytes.
    fn empty_reply(query: &Query) -> Vec<u8> {
        let mut message = Message::response(query.id, OpCode::Query);
        message.add_query(query.question.clone());
        message.to_vec().unwrap()
    }

    fn ignored(verdict: Verdict) -> String {
        match verdict {
            Verdict::Ignored(why) => why,
            Verdict::Reply(message) => panic!("taken as the reply: {message:?}"),
        }
    }

    #[test]
    fn the_question_asks_for_recursion_and_offers_1232_bytes() {
        let message = Message::from_vec(query().bytes()).unwrap();
        assert!(message.recursion_desired);
        let edns = message.edns.unwrap();
        assert_eq!(edns.max_payload(), 1232);
        assert_eq!(edns.options().as_ref().len(), 2, "NSID and a cookie");
        let plain = Message::from_vec(query().without_edns().unwrap().bytes()).unwrap();
        assert!(plain.edns.is_none() && plain.recursion_desired);
    }

    #[test]
    fn a_reply_to_another_clients_cookie_is_not_taken() {
        let query = query();
        let with_cookie = |client: [u8; 8], server: &[u8]| {
            let mut message = Message::from_vec(&empty_reply(&query)).unwrap();
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(10, [&client[..], server].concat()));
            message.set_edns(edns);
            message
        };
        let own = query.client_cookie.unwrap();
        let other = own.map(|byte| !byte);
        assert!(ignored(query.judge(&with_cookie(other, b"server 1").to_vec().unwrap())).contains("cookie"));
        let good = with_cookie(own, b"server 1");
        assert!(matches!(query.judge(&good.to_vec().unwrap()), Verdict::Reply(_)));
        let again = query.with_cookie_of(&good).unwrap();
        assert_eq!(cookie(&Message::from_vec(again.bytes()).unwrap().edns.unwrap()), Some((&own, &b"server 1"[..])));
        assert!(query.with_cookie_of(&with_cookie(other, b"server 1")).is_none());
    }

    #[test]
    fn only_the_reply_to_the_very_question_is_taken() {
        let query = query();
        assert!(matches!(query.judge(&empty_reply(&query)), Verdict::Reply(_)));
        let upper =
            Query { question: Question::query(Name::from_ascii("WWW.Example.").unwrap(), RecordType::A), ..query.clone() };
        assert!(matches!(query.judge(&empty_reply(&upper)), Verdict::Reply(_)), "case does not matter (RFC 1035 section 2.3.3)");
        let wrong_id = Query { id: query.id.wrapping_add(1), ..query.clone() };
        assert!(ignored(query.judge(&empty_reply(&wrong_id))).contains("id"));
        let wrong_name =
            Query { question: Question::query(Name::from_ascii("other.example.").unwrap(), RecordType::A), ..query.clone() };
        assert!(ignored(query.judge(&empty_reply(&wrong_name))).contains("other.example."));
        assert!(ignored(query.judge(query.bytes())).contains("not a reply"), "our own question, reflected");
        assert!(ignored(query.judge(b"")).contains("does not parse"));
    }

    #[test]
    fn a_reply_cut_in_the_middle_of_a_record_still_says_that_it_was_cut() {
        let query = query();
        let mut bytes = empty_reply(&query);
        bytes[2] |= 0x02;
        bytes[7] = 1;
        bytes.extend_from_slice(&[0xc0, 0x0c, 0, 1]);
        let Verdict::Reply(message) = query.judge(&bytes) else { panic!("refused") };
        assert!(message.truncation && message.answers.is_empty());
    }

    #[test]
    fn a_name_that_points_at_itself_ends() {
        let query = query();
        let mut bytes = empty_reply(&query);
        bytes[7] = 1;
        let at = u16::try_from(bytes.len()).unwrap() | 0xc000;
        bytes.extend_from_slice(&at.to_be_bytes());
        bytes.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1]);
        assert!(ignored(query.judge(&bytes)).contains("does not parse"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = query().judge(&bytes);
        }

        /// Arbitrary counts and records behind a good header and question reach much deeper.
        #[test]
        fn no_records_make_the_reader_panic(counts in any::<[u8; 6]>(), flags in any::<[u8; 2]>(), kind in any::<u16>(), tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let query = query();
            let mut bytes = empty_reply(&query);
            bytes[2..4].copy_from_slice(&flags);
            for (at, count) in counts.iter().enumerate() {
                bytes[6 + at] = if at % 2 == 0 { 0 } else { count % 4 };
            }
            bytes.extend_from_slice(&[0xc0, 0x0c]);
            bytes.extend_from_slice(&(kind % 300).to_be_bytes());
            bytes.extend_from_slice(&[0, 1, 0, 0, 0, 9]);
            bytes.extend_from_slice(&u16::try_from(tail.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(&tail);
            if let Verdict::Reply(message) = query.judge(&bytes) {
                let reply = reply::reply(&message, bytes.len(), "192.0.2.53:53".parse().unwrap(), None);
                prop_assert!(reply.answers.len() <= 3);
            }
        }
    }
}
