//! MySQL and MariaDB (client/server protocol, `HandshakeV10` and `SSLRequest`): the server greets, and refuses hosts in its greeting.

use super::bytes::{Bytes, text};
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(
    ServiceProtocol::Mysql,
    &[
        Step::new("greeting", |_| Some(Vec::new()), greeting),
        Step { name: "SSLRequest", ask: ask_tls, read: None, optional: false },
    ],
);

/// A greeting has some hundred bytes.
const MAX_GREETING: usize = 1_024;
const CLIENT_SSL: u32 = 0x800;
/// Abilities that people ask for, by their bits.
const ABILITIES: [(u32, &str); 5] = [
    (CLIENT_SSL, "TLS"),
    (0x20, "compression"),
    (0x80, "LOCAL INFILE"),
    (0x0008_0000, "authentication plugins"),
    (0x0010_0000, "connection attributes"),
];

fn greeting(bytes: &[u8]) -> Reading {
    let Some(head) = bytes.get(..4) else { return Reading::More };
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    if length == 0 || length > MAX_GREETING || head[3] > 1 {
        return Reading::NotThis;
    }
    let Some(body) = bytes.get(4..4 + length) else { return Reading::More };
    Reading::or_not_this(read(body).map(|heard| Reading::done(heard, 4 + length)))
}

fn read(body: &[u8]) -> Option<Heard> {
    let mut body = Bytes::new(body);
    match body.u8()? {
        0xff => {
            let code = body.u16_le()?;
            // Since 4.1 a state of six bytes stands before the words.
            let words = match body.rest() {
                [b'#', _, _, _, _, _, words @ ..] => words,
                words => words,
            };
            Some(Heard::refused(code.to_string(), text(words)))
        }
        10 => {
            let version = text(body.zero_ended()?);
            // The connection's number, the first part of the challenge, a filler.
            body.take(4 + 8 + 1)?;
            let low = body.u16_le()?;
            // Servers since 4.1 go on: character set, status, the upper half, the challenge's length, ten bytes of nothing.
            let high = body.take(3).and_then(|_| body.u16_le()).unwrap_or(0);
            let plugin = plugin(&mut body);
            Some(greeted(version, u32::from(low) | u32::from(high) << 16, plugin))
        }
        _ => None,
    }
}

fn plugin(body: &mut Bytes<'_>) -> Option<String> {
    let challenge = usize::from(body.u8()?).saturating_sub(8).max(13);
    body.take(10)?;
    body.take(challenge)?;
    Some(text(body.zero_ended().unwrap_or(body.rest()))).filter(|name| !name.is_empty())
}

/// MariaDB puts `5.5.5-` before its own version, for clients that would not believe a 10.
fn greeted(version: String, abilities: u32, plugin: Option<String>) -> Heard {
    let is_mariadb = version.contains("MariaDB");
    let own = version.strip_prefix("5.5.5-").filter(|_| is_mariadb).unwrap_or(&version);
    let mut capabilities: Vec<String> =
        ABILITIES.iter().filter(|(bit, _)| abilities & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
    capabilities.extend(plugin.map(|name| format!("plugin {name}")));
    Heard {
        product: Some(if is_mariadb { "MariaDB" } else { "MySQL" }.to_owned()),
        version: own.split('-').next().map(str::to_owned),
        capabilities,
        tls_offered: Some(abilities & CLIENT_SSL != 0),
        greeting: Some(version),
        ..Heard::default()
    }
}

/// `CLIENT_PROTOCOL_41`, `CLIENT_SSL` and `CLIENT_SECURE_CONNECTION`, packets of up to 16 MiB, utf8mb4; no user.
fn ask_tls(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let request = || {
        let mut packet = vec![32, 0, 0, 1];
        packet.extend_from_slice(&(0x200_u32 | CLIENT_SSL | 0x8000).to_le_bytes());
        packet.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        packet.push(45);
        packet.resize(4 + 32, 0);
        packet
    };
    (asking.tls && asking.heard.tls_offered == Some(true)).then(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        [&[body.len() as u8, 0, 0, 0], body].concat()
    }

    #[test]
    fn mariadb_is_told_from_mysql_with_its_own_version() {
        let body = [
            b"\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\0",
            &[1, 0, 0, 0][..],
            &[7; 8],
            &[0],
            &0x0a20_u16.to_le_bytes(),
            &[45, 2, 0, 8, 0, 21],
            &[0; 10],
            &[7; 13],
            b"mysql_native_password\0",
        ]
        .concat();
        let Reading::Done(heard, _) = greeting(&packet(&body)) else { panic!() };
        assert_eq!((heard.product.as_deref(), heard.version.as_deref()), (Some("MariaDB"), Some("10.11.6")));
        assert_eq!(heard.capabilities, ["TLS", "compression", "authentication plugins", "plugin mysql_native_password"]);
        assert_eq!(heard.tls_offered, Some(true));
    }

    #[test]
    fn a_host_that_may_not_connect_is_told_its_number() {
        let refused =
            packet(&[b"\xff\x6a\x04", &b"Host '192.0.2.1' is not allowed to connect to this MariaDB server"[..]].concat());
        let Reading::Done(heard, _) = greeting(&refused) else { panic!() };
        let refusal = heard.refusal.unwrap();
        assert!(refusal.code == "1130" && refusal.text.starts_with("Host"), "{refusal:?}");
        let full = packet(b"\xff\x10\x04#08004Too many connections");
        let Reading::Done(heard, _) = greeting(&full) else { panic!() };
        assert_eq!(heard.refusal.unwrap().text, "Too many connections");
        assert_eq!(greeting(b"HTTP/1.1"), Reading::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            greeting(&bytes);
            greeting(&packet(&[&[10], &bytes[..]].concat()));
            greeting(&packet(&[&[255], &bytes[..]].concat()));
        }
    }
}
