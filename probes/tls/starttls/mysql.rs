use super::{Next, Talk, shown};

/// MySQL and MariaDB: the server's greeting says whether it has TLS; the client's request is not answered but by the hello
/// (client/server protocol, `Protocol::HandshakeV10` and `Protocol::SSLRequest`).
pub(super) struct Mysql;

/// `CLIENT_PROTOCOL_41`, `CLIENT_SSL` and `CLIENT_SECURE_CONNECTION`.
const CAPABILITIES: u32 = 0x200 | 0x800 | 0x8000;
const CLIENT_SSL: u16 = 0x800;
/// The largest packet that the client would take.
const MAX_PACKET_BYTES: u32 = 1 << 24;
/// utf8mb4, which every server since 5.5 knows.
const CHARACTER_SET: u8 = 45;
/// A greeting has some hundred bytes; what begins otherwise is no greeting.
const MAX_GREETING_BYTES: usize = 1_024;

impl Talk for Mysql {
    fn next(&mut self, received: &[u8]) -> Next {
        let Some(header) = received.get(..4) else { return Next::Wait };
        let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        if length == 0 || length > MAX_GREETING_BYTES {
            return Next::NotThis;
        }
        let Some(body) = received.get(4..4 + length) else { return Next::Wait };
        match body {
            // An error: number, and since 4.1 a state of six bytes after `#`, then words.
            [0xff, _, _, b'#', _, _, _, _, _, words @ ..] | [0xff, _, _, words @ ..] => Next::Refused(shown(words)),
            [10, rest @ ..] => match capabilities(rest) {
                Some(offered) if offered & CLIENT_SSL != 0 => Next::SendAndBegin(ssl_request(header[3].wrapping_add(1))),
                Some(_) => Next::Refused("its greeting says that it has no TLS".into()),
                None => Next::NotThis,
            },
            _ => Next::NotThis,
        }
    }
}

/// The lower half of the server's capabilities: after the version up to its zero byte, the connection's id (4 bytes), the first part
/// of the challenge (8 bytes) and a filler.
fn capabilities(after_protocol: &[u8]) -> Option<u16> {
    let version_ends = after_protocol.iter().position(|byte| *byte == 0)?;
    let bytes = after_protocol.get(version_ends + 1 + 4 + 8 + 1..)?;
    Some(u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]))
}

fn ssl_request(sequence: u8) -> Vec<u8> {
    let mut packet = vec![32, 0, 0, sequence];
    packet.extend_from_slice(&CAPABILITIES.to_le_bytes());
    packet.extend_from_slice(&MAX_PACKET_BYTES.to_le_bytes());
    packet.push(CHARACTER_SET);
    packet.resize(4 + 32, 0);
    packet
}
