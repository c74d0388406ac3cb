//! IKEv2 (RFC 7296 section 1.2): IKE_SA_INIT, the first exchange of a VPN. It agrees on keys that are thrown away and signs nobody in.

use super::bytes::{Bytes, text};
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(ServiceProtocol::Ike, &[Step::new("IKE_SA_INIT", ask, answer)]);

const SA: u8 = 33;
const KEY_EXCHANGE: u8 = 34;
const NONCE: u8 = 40;
const NOTIFY: u8 = 41;
const VENDOR: u8 = 43;
const SA_INIT: u8 = 34;
/// The port behind address translation, on which four zero bytes stand before IKE (RFC 3948 section 2.2).
const NAT_PORT: u16 = 4_500;
/// Curve25519 (RFC 8031): every 32 bytes are a public value.
const X25519: u16 = 31;
/// Payloads of one message that are read.
const MAX_PAYLOADS: usize = 32;

/// A transform: type, number, and the length of its key in bits where it has one.
type Transform = (u8, u16, Option<u16>);
/// Groups that responders in use accept, Curve25519 first.
const GROUPS: [Transform; 5] = [(4, X25519, None), (4, 19, None), (4, 20, None), (4, 14, None), (4, 2, None)];
const PRFS: [Transform; 3] = [(2, 5, None), (2, 6, None), (2, 2, None)];
/// AES-CBC with its integrity, and AES-GCM that needs none (RFC 5282): those cannot stand in one proposal.
const CBC: [Transform; 5] = [(1, 12, Some(256)), (1, 12, Some(128)), (3, 12, None), (3, 13, None), (3, 2, None)];
const GCM: [Transform; 2] = [(1, 20, Some(256)), (1, 20, Some(128))];

fn ask(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let [cookie, nonce, public] = [asking.random.get(..8)?, asking.random.get(..32)?, asking.random.get(32..)?];
    let proposals =
        [proposal(1, &[&CBC[..], &PRFS, &GROUPS].concat(), true), proposal(2, &[&GCM[..], &PRFS, &GROUPS].concat(), false)]
            .concat();
    let key = [&X25519.to_be_bytes()[..], &[0, 0], public].concat();
    let body = [payload(KEY_EXCHANGE, &proposals), payload(NONCE, &key), payload(0, nonce)].concat();
    let length = u32::try_from(28 + body.len()).ok()?.to_be_bytes();
    let message = [cookie, &[0; 8], &[SA, 0x20, SA_INIT, 0x08, 0, 0, 0, 0], &length, &body].concat();
    Some(if asking.port == NAT_PORT { [&[0; 4], &message[..]].concat() } else { message })
}

/// The header names the payload that follows, not its own.
fn payload(next: u8, content: &[u8]) -> Vec<u8> {
    let length = ((content.len() + 4) as u16).to_be_bytes();
    [&[next, 0], &length[..], content].concat()
}

fn proposal(number: u8, transforms: &[Transform], more: bool) -> Vec<u8> {
    let last = transforms.len().saturating_sub(1);
    let transform = |(at, (kind, id, bits)): (usize, &Transform)| {
        // Attribute 14 is the key's length, in its short form.
        let attribute = bits.map_or(Vec::new(), |bits| [&[0x80, 14][..], &bits.to_be_bytes()].concat());
        let head = [if at == last { 0 } else { 3 }, 0, 0, 8 + attribute.len() as u8, *kind, 0];
        [&head[..], &id.to_be_bytes(), &attribute].concat()
    };
    let all: Vec<u8> = transforms.iter().enumerate().flat_map(transform).collect();
    let length = ((all.len() + 8) as u16).to_be_bytes();
    // Protocol 1 is IKE itself; there is no SPI yet.
    [&[if more { 2 } else { 0 }, 0], &length[..], &[number, 1, 0, transforms.len() as u8], &all].concat()
}

fn answer(bytes: &[u8]) -> Reading {
    let used = bytes.len();
    let message = bytes.strip_prefix(&[0; 4]).filter(|rest| rest.len() >= 28).unwrap_or(bytes);
    Reading::or_not_this(read(message).map(|heard| Reading::done(heard, used)))
}

fn read(message: &[u8]) -> Option<Heard> {
    let mut header = Bytes::new(message);
    header.take(16)?;
    let (mut next, version, exchange, flags) = (header.u8()?, header.u8()?, header.u8()?, header.u8()?);
    header.u32()?;
    let length = usize::try_from(header.u32()?).ok()?;
    // Version 2, and an answer.
    if version >> 4 != 2 || exchange != SA_INIT || flags & 0x20 == 0 || length > message.len() {
        return None;
    }
    let mut heard = Heard { version: Some(format!("{}.{}", version >> 4, version & 15)), ..Heard::default() };
    for _ in 0..MAX_PAYLOADS {
        if next == 0 {
            break;
        }
        let following = header.u8()?;
        header.u8()?;
        let length = usize::from(header.u16()?);
        let content = header.take(length.checked_sub(4)?)?;
        note(next, content, &mut heard);
        next = following;
    }
    heard.greeting.get_or_insert("IKE_SA_INIT".into());
    Some(heard)
}

fn note(kind: u8, content: &[u8], heard: &mut Heard) {
    match kind {
        SA => heard.greeting = Some("accepts the proposal".into()),
        NOTIFY => {
            let mut notify = Bytes::new(content);
            let (Some(_), Some(spi), Some(number)) = (notify.u8(), notify.u8(), notify.u16()) else { return };
            let data = notify.take(usize::from(spi)).map(|_| notify.rest()).unwrap_or_default();
            let name = match (number, data) {
                (14, _) => "NO_PROPOSAL_CHOSEN".to_owned(),
                (17, [high, low]) => format!("INVALID_KE_PAYLOAD, wants group {}", u16::from_be_bytes([*high, *low])),
                (16_388 | 16_389, _) => "NAT detection".to_owned(),
                (16_390, _) => "COOKIE".to_owned(),
                (16_404, _) => "several authentications".to_owned(),
                (16_406, _) => "childless".to_owned(),
                (16_418, _) => "redirection".to_owned(),
                (16_430, _) => "fragmentation".to_owned(),
                (16_431, _) => "signature hash algorithms".to_owned(),
                (other, _) => format!("notify {other}"),
            };
            if number < 16_384 || number == 16_390 {
                heard.greeting = Some(format!("answers {name}"));
            }
            heard.capabilities.push(name);
        }
        VENDOR => {
            let readable = content.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
            if content.starts_with(&[0x88, 0x2f, 0xe5, 0x6d]) {
                // The beginning of MD5("strongSwan").
                heard.product = Some("strongSwan".into());
            } else if readable && !content.is_empty() {
                heard.product.get_or_insert(text(content));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(first: u8, body: &[u8]) -> Vec<u8> {
        let length = (28 + body.len() as u32).to_be_bytes();
        [&[1; 8], &[2; 8], &[first, 0x20, SA_INIT, 0x20, 0, 0, 0, 0][..], &length, body].concat()
    }

    #[test]
    fn an_accepted_proposal_and_a_refused_one_both_tell_a_living_service() {
        let Reading::Done(heard, _) = answer(&message(SA, &payload(0, b"anything"))) else { panic!() };
        assert_eq!((heard.version.as_deref(), heard.greeting.as_deref()), (Some("2.0"), Some("accepts the proposal")));
        let Reading::Done(heard, _) = answer(&message(NOTIFY, &payload(0, &[0, 0, 0, 14]))) else { panic!() };
        assert_eq!(heard.greeting.as_deref(), Some("answers NO_PROPOSAL_CHOSEN"));
        let Reading::Done(heard, _) = answer(&message(NOTIFY, &payload(0, &[0, 0, 0, 17, 0, 14]))) else { panic!() };
        assert_eq!(heard.greeting.as_deref(), Some("answers INVALID_KE_PAYLOAD, wants group 14"));
    }

    #[test]
    fn the_question_is_as_long_as_it_says_and_no_answer_to_itself() {
        let random = std::array::from_fn(|at| at as u8);
        let asking = |port| ask(&Asking { heard: &Heard::default(), random: &random, port, tls: true }).unwrap();
        let question = asking(500);
        assert_eq!(u32::from_be_bytes(question[24..28].try_into().unwrap()) as usize, question.len());
        assert_eq!(asking(NAT_PORT)[4..], question);
        assert_eq!(answer(&question), Reading::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in prop_oneof![Just(SA), Just(NOTIFY), Just(VENDOR), any::<u8>()]) {
            answer(&bytes);
            answer(&message(first, &bytes));
            answer(&message(first, &payload(first, &bytes)));
        }
    }
}
