//! LDAP (RFC 4511): the root entry (RFC 4512 section 5.1), which servers show without a sign-in, and StartTLS.

use super::bytes::text;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use crate::tls::der::Reader;
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(
    ServiceProtocol::Ldap,
    &[
        Step::new("root entry", |_| Some(search()), entry),
        Step::new("StartTLS", ask_tls, tls),
        Step::new("StartTLS", ask_tls_again, tls),
        Step::new("StartTLS", ask_tls_again, tls),
    ],
);

/// StartTLS (RFC 4511 section 4.14.1).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 4;
const ENUMERATED: u8 = 10;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const EXTENDED: u8 = 0x78;
/// What is asked does not fit what else is going on.
const OPERATIONS_ERROR: u8 = 1;
/// A root entry has some thousand bytes; a message that claims more is none.
const MAX_MESSAGE: usize = 32 * 1024;

/// The attributes that are asked for.
const ATTRIBUTES: [&str; 7] = [
    "objectClass",
    "supportedLDAPVersion",
    "supportedExtension",
    "supportedSASLMechanisms",
    "vendorName",
    "vendorVersion",
    "domainControllerFunctionality",
];

/// One element; everything that is asked here is shorter than 65,536 bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let [.., high, low] = length;
    let head = if content.len() < 0x80 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
    [head, content.to_vec()].concat()
}

/// Message 1: a search of the root entry itself, bound to nobody (RFC 4511 section 4.5.1).
fn search() -> Vec<u8> {
    let attributes: Vec<u8> = ATTRIBUTES.iter().flat_map(|name| element(OCTETS, name.as_bytes())).collect();
    let body = [
        element(OCTETS, b""),
        // Scope baseObject, aliases never followed, one entry, five seconds, values wanted.
        vec![ENUMERATED, 1, 0, ENUMERATED, 1, 0, 2, 1, 1, 2, 1, 5, 1, 1, 0],
        element(0x87, b"objectClass"),
        element(SEQUENCE, &attributes),
    ]
    .concat();
    element(SEQUENCE, &[vec![2, 1, 1], element(0x63, &body)].concat())
}

/// The entry, if the server shows it, and the end of the search.
fn entry(bytes: &[u8]) -> Reading {
    let mut heard = Heard::default();
    let mut messages = Reader::new(bytes);
    let mut used = 0;
    loop {
        let Some((tag, message, whole)) = messages.next_whole() else {
            return if bytes.first() == Some(&SEQUENCE) && bytes.len() <= MAX_MESSAGE {
                incomplete(bytes)
            } else {
                nothing(bytes)
            };
        };
        used += whole.len();
        let mut parts = Reader::new(message);
        let (SEQUENCE, Some(_), Some((operation, content))) = (tag, parts.next_of(2), parts.next()) else {
            return Reading::NotThis;
        };
        match operation {
            SEARCH_ENTRY => read_entry(content, &mut heard),
            SEARCH_DONE | EXTENDED => {
                let Some(result) = result(content) else { return Reading::NotThis };
                heard.tls_offered = Some(heard.capabilities.iter().any(|one| one.ends_with("StartTLS")));
                let refused = refuses(result.0, operation);
                heard.greeting = Some(format!("result {} {}", result.0, name_of(result.0)));
                heard.refusal = refused.then(|| Heard::refused(name_of(result.0), result.1).refusal).flatten();
                heard.tls_required = result.0 == 13;
                return Reading::done(heard, used);
            }
            _ => {}
        }
    }
}

fn nothing(bytes: &[u8]) -> Reading {
    if bytes.is_empty() { Reading::More } else { Reading::NotThis }
}

/// More may come, unless the lengths are none.
fn incomplete(bytes: &[u8]) -> Reading {
    match bytes.get(1) {
        Some(0x80 | 0x85..) => Reading::NotThis,
        _ => Reading::More,
    }
}

fn read_entry(content: &[u8], heard: &mut Heard) {
    let mut parts = Reader::new(content);
    let (Some(_), Some(attributes)) = (parts.next_of(OCTETS), parts.next_of(SEQUENCE)) else { return };
    let mut attributes = Reader::new(attributes);
    while let Some((_, attribute)) = attributes.next() {
        let mut attribute = Reader::new(attribute);
        let (Some(name), Some((_, values))) = (attribute.next_of(OCTETS), attribute.next()) else { continue };
        let mut values = Reader::new(values);
        while let Some((_, value)) = values.next() {
            note(&text(name), text(value), heard);
        }
    }
}

fn note(name: &str, value: String, heard: &mut Heard) {
    match name {
        "vendorName" => heard.product = Some(value),
        "vendorVersion" => heard.version = Some(value),
        "objectClass" if value == "OpenLDAProotDSE" => heard.product = Some("OpenLDAP".into()),
        "supportedLDAPVersion" => heard.capabilities.push(format!("LDAP version {value}")),
        "supportedSASLMechanisms" => heard.capabilities.push(format!("SASL {value}")),
        "supportedExtension" if value == START_TLS => heard.capabilities.push("extension StartTLS".into()),
        "supportedExtension" => heard.capabilities.push(format!("extension {value}")),
        "domainControllerFunctionality" => {
            heard.product.get_or_insert("Active Directory".into());
            heard.capabilities.push(format!("domain controller level {value}"));
        }
        _ => {}
    }
}

/// Result code and message (RFC 4511 section 4.1.9).
fn result(content: &[u8]) -> Option<(u8, String)> {
    let mut parts = Reader::new(content);
    let [code] = parts.next_of(ENUMERATED)? else { return None };
    parts.next_of(OCTETS)?;
    Some((*code, text(parts.next_of(OCTETS)?)))
}

/// The server turns this client away, rather than this question. A notice of disconnection (RFC 4511 section 4.4.1) always does.
fn refuses(code: u8, operation: u8) -> bool {
    operation == EXTENDED || matches!(code, 8 | 13 | 51..=53)
}

/// The names of RFC 4511 section 4.1.9.
fn name_of(code: u8) -> String {
    let name = match code {
        0 => "success",
        1 => "operationsError",
        2 => "protocolError",
        8 => "strongerAuthRequired",
        13 => "confidentialityRequired",
        32 => "noSuchObject",
        48 => "inappropriateAuthentication",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        other => return other.to_string(),
    };
    name.to_owned()
}

fn ask_tls(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let request = || {
        let operation = element(0x77, &element(0x80, START_TLS.as_bytes()));
        element(SEQUENCE, &[vec![2, 1, 2], operation].concat())
    };
    (asking.tls && asking.heard.tls_offered == Some(true)).then(request)
}

/// A server that has not quite put the search away takes no StartTLS yet (RFC 4511 section 4.14.1).
fn ask_tls_again(asking: &Asking<'_>) -> Option<Vec<u8>> {
    ask_tls(asking).filter(|_| asking.heard.tls_too_early)
}

fn tls(bytes: &[u8]) -> Reading {
    let mut messages = Reader::new(bytes);
    let Some((SEQUENCE, message, whole)) = messages.next_whole() else {
        return if bytes.first().is_none_or(|first| *first == SEQUENCE) { incomplete(bytes) } else { Reading::NotThis };
    };
    let mut parts = Reader::new(message);
    let response = parts.next_of(2).and_then(|_| parts.next_of(EXTENDED)).and_then(result);
    Reading::or_not_this(response.map(|(code, words)| {
        let (tls_agreed, tls_too_early) = (code == 0, code == OPERATIONS_ERROR);
        let tls_offered = (tls_agreed || tls_too_early).then_some(true);
        let refused = || format!("{} {words}", name_of(code)).trim_end().to_owned();
        let tls_refused = tls_offered.is_none().then(refused);
        Reading::done(Heard { tls_agreed, tls_offered, tls_too_early, tls_refused, ..Heard::default() }, whole.len())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(operation: u8, content: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[vec![2, 1, 1], element(operation, content)].concat())
    }

    fn done(code: u8, words: &[u8]) -> Vec<u8> {
        message(SEARCH_DONE, &[vec![ENUMERATED, 1, code], element(OCTETS, b""), element(OCTETS, words)].concat())
    }

    fn shown(name: &str, values: &[&str]) -> Vec<u8> {
        let values: Vec<u8> = values.iter().flat_map(|value| element(OCTETS, value.as_bytes())).collect();
        let attribute = element(SEQUENCE, &[element(OCTETS, name.as_bytes()), element(0x31, &values)].concat());
        message(SEARCH_ENTRY, &[element(OCTETS, b""), element(SEQUENCE, &attribute)].concat())
    }

    #[test]
    fn the_root_entry_tells_program_and_tls() {
        let bytes =
            [shown("objectClass", &["top", "OpenLDAProotDSE"]), shown("supportedExtension", &[START_TLS]), done(0, b"")].concat();
        let Reading::Done(heard, used) = entry(&bytes) else { panic!() };
        assert_eq!((heard.product.as_deref(), heard.tls_offered, used), (Some("OpenLDAP"), Some(true), bytes.len()));
        assert_eq!(entry(&bytes[..bytes.len() - 1]), Reading::More);
        assert_eq!(entry(b"HTTP/1.1 400"), Reading::NotThis);
    }

    #[test]
    fn a_server_that_wants_tls_first_refuses_and_one_that_hides_its_entry_does_not() {
        let Reading::Done(heard, _) = entry(&done(13, b"TLS required")) else { panic!() };
        assert_eq!(heard.refusal.unwrap().code, "confidentialityRequired");
        let Reading::Done(heard, _) = entry(&done(50, b"")) else { panic!() };
        assert_eq!(heard.refusal, None);
    }

    #[test]
    fn a_server_still_busy_with_the_search_is_asked_again() {
        let answer =
            |code: u8| message(EXTENDED, &[vec![ENUMERATED, 1, code], element(OCTETS, b""), element(OCTETS, b"")].concat());
        let Reading::Done(heard, _) = tls(&answer(OPERATIONS_ERROR)) else { panic!() };
        let again = |heard: &Heard| ask_tls_again(&Asking { heard, random: &[0; 64], port: 389, tls: true }).is_some();
        assert!(again(&heard) && !heard.tls_agreed);
        let Reading::Done(heard, _) = tls(&answer(2)) else { panic!() };
        assert!(!again(&heard) && heard.tls_refused.as_deref() == Some("protocolError"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in any::<u8>()) {
            entry(&bytes);
            tls(&bytes);
            entry(&message(tag, &bytes));
            entry(&message(SEARCH_ENTRY, &bytes));
            tls(&message(EXTENDED, &bytes));
        }
    }
}
