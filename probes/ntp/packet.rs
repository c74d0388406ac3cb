//! The packet of 48 bytes (RFC 5905 section 7.3). Total: whatever comes becomes an answer or a reason why it is none.

use jiff::Timestamp;
use netsonde_contract::observation::{Leap, TimeServer};
use std::net::Ipv4Addr;

pub(super) const LENGTH: usize = 48;
/// No leap warning, version 4, mode 3 (client).
const CLIENT: u8 = 0x23;
const SERVER_MODE: u8 = 4;
/// From 1900 to 1970.
const UNIX_EPOCH_S: i64 = 2_208_988_800;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) server: TimeServer,
    /// When the question came, by the server's clock, in microseconds since 1970.
    pub(super) receive_us: i64,
    /// When the answer went.
    pub(super) transmit_us: i64,
}

/// A question. `cookie` stands where the client's time of sending would, and comes back in the answer.
pub(super) fn question(cookie: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = CLIENT;
    bytes[40..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// The answer to the question with this cookie.
///
/// # Errors
/// In words, where the bytes are none.
pub(super) fn read(bytes: &[u8], cookie: u64) -> Result<Answer, &'static str> {
    let Some(header) = bytes.first_chunk::<LENGTH>() else { return Err("it is shorter than 48 bytes") };
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    if header[0] & 7 != SERVER_MODE {
        return Err("it is not a server's answer");
    }
    if long(24) != cookie {
        return Err("it answers another question");
    }
    let stratum = header[1];
    let identifier = word(12).to_be_bytes();
    let server = TimeServer {
        version: header[0] >> 3 & 7,
        stratum,
        leap: match header[0] >> 6 {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::Unsynchronised,
        },
        reference_id: match stratum {
            0 | 1 => letters(identifier),
            _ => Ipv4Addr::from(identifier).to_string(),
        },
        root_delay_us: short_us(word(4)),
        root_dispersion_us: short_us(word(8)),
        precision_log2_s: i8::from_be_bytes([header[3]]),
        reference_time: (long(16) != 0).then(|| Timestamp::from_microsecond(unix_us(long(16))).ok()).flatten(),
        kiss: (stratum == 0).then(|| letters(identifier)),
    };
    if long(40) == 0 && server.kiss.is_none() {
        return Err("it names no time");
    }
    Ok(Answer { server, receive_us: unix_us(long(32)), transmit_us: unix_us(long(40)) })
}

/// Seconds since 1900 with a binary fraction, in 64 bits, to microseconds since 1970. The first bit tells 1968 to 2036 from the era
/// after it (RFC 4330 section 3).
fn unix_us(time: u64) -> i64 {
    let seconds = i64::from((time >> 32) as u32);
    let era = if time >> 63 == 1 { 0 } else { 1_i64 << 32 };
    let fraction_us = ((time & 0xffff_ffff) * 1_000_000) >> 32;
    (seconds + era - UNIX_EPOCH_S) * 1_000_000 + i64::try_from(fraction_us).unwrap_or(0)
}

/// Seconds with 16 bits of fraction.
fn short_us(time: u32) -> u64 {
    (u64::from(time) * 1_000_000) >> 16
}

/// Up to four letters; what is none becomes a dot.
fn letters(identifier: [u8; 4]) -> String {
    let end = identifier.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    identifier[..end].iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As ntpd of stratum 2 answers.
    fn answer(cookie: u64) -> Vec<u8> {
        let mut bytes = vec![0x24, 2, 6, 0xec, 0, 0, 0x80, 0, 0, 1, 0, 0, 192, 0, 2, 1];
        bytes.extend_from_slice(&0xee00_0000_0000_0000_u64.to_be_bytes());
        bytes.extend_from_slice(&cookie.to_be_bytes());
        bytes.extend_from_slice(&0xee00_0010_8000_0000_u64.to_be_bytes());
        bytes.extend_from_slice(&0xee00_0010_c000_0000_u64.to_be_bytes());
        bytes
    }

    #[test]
    fn every_field_is_read_in_its_unit() {
        let read = read(&answer(7), 7).unwrap();
        assert_eq!((read.server.version, read.server.stratum, read.server.leap), (4, 2, Leap::None));
        assert_eq!((read.server.reference_id.as_str(), read.server.precision_log2_s), ("192.0.2.1", -20));
        assert_eq!((read.server.root_delay_us, read.server.root_dispersion_us), (500_000, 1_000_000));
        assert_eq!(read.transmit_us - read.receive_us, 250_000);
        let sent = Timestamp::from_microsecond(read.transmit_us).unwrap();
        assert_eq!(sent.to_string(), "2026-07-14T00:23:44.75Z");
    }

    #[test]
    fn the_clock_goes_on_after_2036() {
        assert_eq!(unix_us(0xffff_ffff_0000_0000) + 1_000_000, unix_us(0));
    }

    #[test]
    fn an_answer_to_somebody_else_a_question_and_a_cut_one_are_no_answers() {
        assert_eq!(read(&answer(7), 8), Err("it answers another question"));
        assert_eq!(read(&question(7), 7), Err("it is not a server's answer"));
        assert_eq!(read(&answer(7)[..47], 7), Err("it is shorter than 48 bytes"));
        let mut timeless = answer(7);
        timeless[40..].fill(0);
        assert_eq!(read(&timeless, 7), Err("it names no time"));
    }

    #[test]
    fn a_refusal_has_a_code() {
        let mut bytes = answer(7);
        bytes[1] = 0;
        bytes[12..16].copy_from_slice(b"RATE");
        assert_eq!(read(&bytes, 7).unwrap().server.kiss.as_deref(), Some("RATE"));
        bytes[12..16].copy_from_slice(b"X\x1b\0\0");
        assert_eq!(read(&bytes, 7).unwrap().server.kiss.as_deref(), Some("X."));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), cookie in any::<u64>()) {
            let _ = read(&bytes, cookie);
            if bytes.len() >= LENGTH {
                bytes[0] = bytes[0] & 0xf8 | SERVER_MODE;
                bytes[24..32].copy_from_slice(&cookie.to_be_bytes());
                let _ = read(&bytes, cookie);
            }
        }
    }
}
