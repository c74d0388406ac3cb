//! Redis and its kin (RESP): PING, and what the server tells of itself to anybody.

use super::bytes::text;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol {
    farewell: b"*1\r\n$4\r\nQUIT\r\n",
    ..Protocol::new(
        ServiceProtocol::Redis,
        &[Step::new("PING", |_| Some(b"*1\r\n$4\r\nPING\r\n".to_vec()), pong), Step::new("INFO", ask_info, info)],
    )
};

/// What a server says that wants a password first; it is alive.
const WANTS_PASSWORD: &str = "asks for a password";
/// The section `server` has some thousand bytes.
const MAX_INFO: usize = 32 * 1024;
/// The first line of a refusal has some hundred bytes; protected mode explains itself in some thousand.
const MAX_LINE: usize = 4_096;

fn pong(bytes: &[u8]) -> Reading {
    let like = |word: &[u8]| bytes.iter().zip(word).all(|(byte, wanted)| byte == wanted);
    if !like(b"+PONG\r\n") && bytes.first() != Some(&b'-') {
        return Reading::NotThis;
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() > MAX_LINE { Reading::NotThis } else { Reading::More };
    };
    let line = text(bytes.get(..end).unwrap_or_default());
    let heard = match line.split_once(' ').map_or(line.as_str(), |(word, _)| word) {
        "+PONG" => Heard { greeting: Some(line), ..Heard::default() },
        "-NOAUTH" | "-NOPERM" => {
            Heard { greeting: Some(line), capabilities: vec![WANTS_PASSWORD.to_owned()], ..Heard::default() }
        }
        code => Heard::refused(code.trim_start_matches('-'), line.split_once(' ').map_or("", |(_, words)| words)),
    };
    Reading::done(heard, end + 1)
}

fn ask_info(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let open = !asking.heard.capabilities.iter().any(|one| one == WANTS_PASSWORD);
    open.then(|| b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n".to_vec())
}

/// A text with its length before it; an error is an answer too.
fn info(bytes: &[u8]) -> Reading {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if matches!(bytes.first(), None | Some(b'$' | b'-')) && bytes.len() < MAX_LINE {
            Reading::More
        } else {
            Reading::NotThis
        };
    };
    let line = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned();
    if line.starts_with('-') {
        return Reading::done(Heard::default(), end + 1);
    }
    let Some(length) =
        line.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok()).filter(|length| *length <= MAX_INFO)
    else {
        return Reading::NotThis;
    };
    let Some(body) = bytes.get(end + 1..end + 1 + length) else { return Reading::More };
    Reading::done(told(&String::from_utf8_lossy(body)), end + 1 + length)
}

fn told(body: &str) -> Heard {
    let of =
        |key: &str| body.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(|value| text(value.as_bytes()));
    let (product, version) = match of("valkey_version") {
        Some(version) => (Some("Valkey".to_owned()), Some(version)),
        None => (of("redis_version").map(|_| "Redis".to_owned()), of("redis_version")),
    };
    let capabilities = of("redis_mode").or_else(|| of("server_mode")).map(|mode| format!("mode {mode}")).into_iter().collect();
    Heard { product, version, capabilities, ..Heard::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_open_server_tells_its_version() {
        let body = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
        let Reading::Done(heard, _) = info(format!("${}\r\n{body}\r\n", body.len()).as_bytes()) else { panic!() };
        assert_eq!((heard.version.as_deref(), heard.capabilities), (Some("7.0.15"), vec!["mode standalone".to_owned()]));
        assert_eq!(info(b"$20\r\nredis"), Reading::More);
    }

    #[test]
    fn a_password_is_no_refusal_and_protected_mode_is_one() {
        let Reading::Done(heard, _) = pong(b"-NOAUTH Authentication required.\r\n") else { panic!() };
        assert!(heard.refusal.is_none() && ask_info(&Asking { heard: &heard, random: &[0; 64], port: 1, tls: true }).is_none());
        let Reading::Done(heard, _) = pong(b"-DENIED Redis is running in protected mode\r\n") else { panic!() };
        assert_eq!(heard.refusal.unwrap().code, "DENIED");
        assert_eq!(pong(b"+OK POP3 ready\r\n"), Reading::NotThis);
        assert_eq!(pong(b"+PO"), Reading::More);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in "([-+$]|PONG|[0-9]{1,20}|a:b|\r\n){0,20}") {
            for bytes in [&bytes[..], lines.as_bytes()] {
                pong(bytes);
                info(bytes);
            }
        }
    }
}
