use super::{Next, Talk};
use crate::tls::der::Reader;

/// LDAP: the extended operation StartTLS (RFC 4511 section 4.14).
#[derive(Default)]
pub(super) struct Ldap {
    asked: bool,
}

/// The operation's name (RFC 4511 section 4.14.1).
const START_TLS: &[u8; 22] = b"1.3.6.1.4.1.1466.20037";
const SEQUENCE: u8 = 0x30;
const EXTENDED_RESPONSE: u8 = 0x78;
const ENUMERATED: u8 = 0x0a;
/// A response has some dozen bytes and a message for people; a longer one is no response.
const MAX_RESPONSE_BYTES: usize = 4_096;

impl Talk for Ldap {
    fn next(&mut self, received: &[u8]) -> Next {
        if !self.asked {
            self.asked = true;
            return Next::Send(request());
        }
        match received.first() {
            None => return Next::Wait,
            Some(&SEQUENCE) => {}
            Some(_) => return Next::NotThis,
        }
        let Some((_, message)) = Reader::new(received).next() else {
            return if received.len() > MAX_RESPONSE_BYTES { Next::NotThis } else { Next::Wait };
        };
        match result_code(message) {
            Some(0) => Next::Agreed,
            Some(code) => Next::Refused(format!("its result code is {code}")),
            None => Next::NotThis,
        }
    }
}

/// Message 1: an ExtendedRequest with the operation's name.
fn request() -> Vec<u8> {
    let name_length = START_TLS.len() as u8;
    let mut bytes = vec![SEQUENCE, name_length + 7, 2, 1, 1, 0x77, name_length + 2, 0x80, name_length];
    bytes.extend_from_slice(START_TLS);
    bytes
}

/// The result code of an ExtendedResponse; also a notice of disconnection (message 0) is one.
fn result_code(message: &[u8]) -> Option<u8> {
    let mut message = Reader::new(message);
    message.next()?;
    let response = message.next_of(EXTENDED_RESPONSE)?;
    match Reader::new(response).next_of(ENUMERATED)? {
        [code] => Some(*code),
        _ => None,
    }
}
