//! NFS: the versions that the server has, and the procedure that does nothing (RFC 7530 section 16.1, RFC 1813 section 3.3.0).

use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use super::rpc::{Answer, Read, call, read};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(
    ServiceProtocol::Nfs,
    &[Step::new("versions", |asking| Some(call(asking, PROGRAM, NO_VERSION, 0)), answer), Step::new("null", ask_null, answer)],
);

const PROGRAM: u32 = 100_003;
/// A version that no server has: the refusal names those that it has (RFC 5531 section 9).
const NO_VERSION: u32 = 99;

/// The highest version, which the first answer named.
fn ask_null(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let version = asking.heard.version.as_deref()?.parse().ok()?;
    Some(call(asking, PROGRAM, version, 0))
}

fn answer(bytes: &[u8]) -> Reading {
    match read(bytes) {
        Read::More => Reading::More,
        Read::NotThis => Reading::NotThis,
        Read::Whole(Answer::Versions(low, high), used) => {
            let greeting = Some(format!("NFS {low} to {high}"));
            Reading::done(Heard { greeting, version: Some(high.to_string()), ..Heard::default() }, used)
        }
        Read::Whole(Answer::Success(_), used) => {
            Reading::done(Heard { capabilities: vec!["answers the null procedure".into()], ..Heard::default() }, used)
        }
        Read::Whole(Answer::Denied(code), used) => {
            Reading::done(Heard::refused(code.to_string(), "the call was denied for want of an identity"), used)
        }
        Read::Whole(Answer::Unavailable, used) => {
            Reading::done(Heard::refused("prog_unavail", "the server has no NFS, though it speaks RPC"), used)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(words: &[u32]) -> Vec<u8> {
        std::iter::once(0x8000_0000 | (words.len() * 4) as u32).chain(words.iter().copied()).flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn the_versions_come_from_the_refusal_of_one_that_nobody_has() {
        let Reading::Done(heard, _) = answer(&record(&[7, 1, 0, 0, 0, 2, 3, 4])) else { panic!() };
        assert_eq!((heard.version.as_deref(), heard.greeting.as_deref()), (Some("4"), Some("NFS 3 to 4")));
        let asking = Asking { heard: &heard, random: &[0; 64], port: 2049, tls: true };
        assert_eq!(ask_null(&asking).unwrap()[20..24], [0, 0, 0, 4]);
        let Reading::Done(heard, _) = answer(&record(&[7, 1, 0, 0, 0, 1])) else { panic!() };
        assert!(heard.refusal.is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            answer(&bytes);
        }
    }
}
