//! SQL Server (MS-TDS section 2.2.6.5): PRELOGIN, which every client begins with and which names nobody.

use super::bytes::Bytes;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(ServiceProtocol::Mssql, &[Step::new("PRELOGIN", ask, answer)]);

const PRELOGIN: u8 = 0x12;
const RESPONSE: u8 = 4;
const HEADER: usize = 8;
const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const END: u8 = 0xff;
/// An answer has some dozen bytes.
const MAX_PACKET: usize = 4_096;

/// Options `VERSION` and `ENCRYPTION` (off where it need not be on), each with its place and length.
fn ask(_: &Asking<'_>) -> Option<Vec<u8>> {
    let options = [VERSION, 0, 11, 0, 6, ENCRYPTION, 0, 17, 0, 1, END];
    let values = [0, 0, 0, 0, 0, 0, 0];
    let length = (HEADER + options.len() + values.len()) as u8;
    Some([&[PRELOGIN, 1, 0, length, 0, 0, 1, 0], &options[..], &values].concat())
}

fn answer(bytes: &[u8]) -> Reading {
    let mut packet = Bytes::new(bytes);
    match packet.u8() {
        None => return Reading::More,
        Some(RESPONSE) => {}
        Some(_) => return Reading::NotThis,
    }
    packet.u8();
    let Some(length) = packet.u16().map(usize::from) else { return Reading::More };
    if !(HEADER..=MAX_PACKET).contains(&length) {
        return Reading::NotThis;
    }
    match bytes.get(HEADER..length) {
        Some(content) => Reading::or_not_this(read(content).map(|heard| Reading::done(heard, length))),
        None => Reading::More,
    }
}

fn read(content: &[u8]) -> Option<Heard> {
    let mut options = Bytes::new(content);
    let (mut version, mut encryption) = (None, None);
    loop {
        let option = options.u8()?;
        if option == END {
            break;
        }
        let (at, length) = (usize::from(options.u16()?), usize::from(options.u16()?));
        let value = content.get(at..at.checked_add(length)?)?;
        match (option, value) {
            (VERSION, [major, minor, high, low, ..]) => version = Some((*major, *minor, u16::from_be_bytes([*high, *low]))),
            (ENCRYPTION, [value]) => encryption = Some(*value),
            _ => {}
        }
    }
    let (major, minor, build) = version?;
    let encryption_is = match encryption {
        Some(0) => "encryption of the sign-in",
        Some(1) => "encryption on",
        Some(2) => "no encryption",
        Some(3) => "encryption required",
        _ => "encryption not told",
    };
    let number = format!("{major}.{minor}.{build}");
    Some(Heard {
        greeting: Some(format!("PRELOGIN {number}")),
        product: Some(product(major, minor).to_owned()),
        version: Some(number),
        capabilities: vec![encryption_is.to_owned()],
        tls_offered: encryption.map(|value| value != 2),
        tls_required: encryption == Some(3),
        ..Heard::default()
    })
}

/// The releases by the first numbers of their builds.
fn product(major: u8, minor: u8) -> &'static str {
    match (major, minor) {
        (9, _) => "SQL Server 2005",
        (10, 50..) => "SQL Server 2008 R2",
        (10, _) => "SQL Server 2008",
        (11, _) => "SQL Server 2012",
        (12, _) => "SQL Server 2014 or Azure SQL",
        (13, _) => "SQL Server 2016",
        (14, _) => "SQL Server 2017",
        (15, _) => "SQL Server 2019",
        (16, _) => "SQL Server 2022",
        (17, _) => "SQL Server 2025",
        _ => "SQL Server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(content: &[u8]) -> Vec<u8> {
        [&[RESPONSE, 1, 0, (content.len() + HEADER) as u8, 0, 0, 1, 0], content].concat()
    }

    /// Bytes as MS-TDS section 4.1 shows them for an answer; no server was at hand.
    #[test]
    fn version_and_encryption_are_read_from_the_answer() {
        let bytes = packet(&[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0x10, 0x0b, 0, 0, 3]);
        let Reading::Done(heard, used) = answer(&bytes) else { panic!() };
        assert_eq!((heard.product.as_deref(), heard.version.as_deref()), (Some("SQL Server 2022"), Some("16.0.4107")));
        assert!(heard.tls_required && heard.tls_offered == Some(true) && used == bytes.len());
        assert_eq!(answer(&bytes[..20]), Reading::More);
        assert_eq!(answer(b"HTTP"), Reading::NotThis);
    }

    #[test]
    fn an_option_that_lies_outside_is_no_answer() {
        assert_eq!(answer(&packet(&[0, 0xff, 0xff, 0xff, 0xff, 0xff])), Reading::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            answer(&bytes);
            answer(&packet(&bytes));
        }
    }
}
