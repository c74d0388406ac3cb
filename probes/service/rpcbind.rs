//! rpcbind, once the port mapper (RFC 1833 section 3): the programs that are registered, and where.

use super::bytes::Bytes;
use super::protocol::{Heard, Protocol, Reading, Step};
use super::rpc::{Answer, Read, call, read};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(
    ServiceProtocol::Rpcbind,
    &[Step::new("list of programs", |asking| Some(call(asking, PROGRAM, 2, DUMP)), programs)],
);

const PROGRAM: u32 = 100_000;
const DUMP: u32 = 4;
/// Registrations that are read; a busy file server has some fifty.
const MAX_PROGRAMS: usize = 512;
/// The programs that people look for, by the numbers that IANA gave them.
const NAMES: [(u32, &str); 7] = [
    (100_000, "rpcbind"),
    (100_003, "nfs"),
    (100_005, "mountd"),
    (100_021, "nlockmgr"),
    (100_024, "status"),
    (100_227, "nfs_acl"),
    (100_004, "ypserv"),
];

fn programs(bytes: &[u8]) -> Reading {
    match read(bytes) {
        Read::More => Reading::More,
        Read::NotThis => Reading::NotThis,
        Read::Whole(Answer::Success(list), used) => Reading::done(listed(list), used),
        Read::Whole(Answer::Denied(code), used) => {
            Reading::done(Heard::refused(code.to_string(), "the call was denied for want of an identity"), used)
        }
        Read::Whole(Answer::Versions(low, high), used) => {
            Reading::done(Heard { capabilities: vec![format!("rpcbind versions {low} to {high}")], ..Heard::default() }, used)
        }
        Read::Whole(Answer::Unavailable, used) => Reading::done(Heard::default(), used),
    }
}

/// A list in which a 1 stands before each entry and a 0 at the end.
fn listed(list: &[u8]) -> Heard {
    let mut list = Bytes::new(list);
    let mut capabilities = Vec::new();
    for _ in 0..MAX_PROGRAMS {
        let (Some(1), Some(program), Some(version), Some(protocol), Some(port)) =
            (list.u32(), list.u32(), list.u32(), list.u32(), list.u32())
        else {
            break;
        };
        let name = NAMES
            .iter()
            .find(|(number, _)| *number == program)
            .map_or_else(|| program.to_string(), |(_, name)| (*name).to_owned());
        let transport = match protocol {
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => format!("protocol {other}"),
        };
        capabilities.push(format!("{name} {version} {transport} {port}"));
    }
    let number = capabilities.len();
    Heard { greeting: Some(format!("{number} programs registered")), capabilities, ..Heard::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn programs_are_listed_with_version_and_port() {
        let words = [7, 1, 0, 0, 0, 0, 1, 100_003, 4, 6, 2049, 1, 300_000, 1, 17, 900, 0_u32];
        let bytes: Vec<u8> =
            std::iter::once(0x8000_0000 | (words.len() * 4) as u32).chain(words).flat_map(u32::to_be_bytes).collect();
        let Reading::Done(heard, _) = programs(&bytes) else { panic!() };
        assert_eq!(heard.capabilities, ["nfs 4 tcp 2049", "300000 1 udp 900"]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            programs(&bytes);
            listed(&bytes);
        }
    }
}
