use super::sample::Agent;
use super::server::{Server, problem};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::bundle::Packed;
use std::io::{Read, Write};

const BLOCK: usize = 512;

/// One file of an archive: its name, its type flag and its bytes.
type Entry = (String, u8, Vec<u8>);

#[tokio::test]
async fn every_altered_bundle_is_refused_by_its_own_reason_and_nothing_stays() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let good = agent.bundle(&ticket);
    let entries = unpack(&good.bytes);
    let altered = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = entries.clone();
        change(&mut entries);
        compress(&pack(&entries))
    };
    let position = |name: &str| entries.iter().position(|entry| entry.0 == name).unwrap();
    let (run, signature) = (position("run.json"), position("manifest.dsse.json"));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("bundle_not_gzip", b"this is no bundle".to_vec()),
        ("bundle_truncated", good.bytes[..good.bytes.len() / 2].to_vec()),
        ("bundle_trailing_bytes", [good.bytes.as_slice(), b"more"].concat()),
        ("bundle_second_member", [good.bytes.as_slice(), &good.bytes].concat()),
        ("bundle_altered_entry", altered(&|entries| entries[run].2[5] ^= 1)),
        ("bundle_extra_entry", altered(&|entries| entries.push(("zzz.txt".into(), b'0', b"x".to_vec())))),
        ("bundle_duplicate_entry", altered(&|entries| entries.push(entries[run].clone()))),
        ("bundle_absolute_path", altered(&|entries| entries[run].0 = "/etc/passwd".into())),
        ("bundle_too_large", altered(&|entries| entries.push(("outcomes/9".into(), b'0', many_replies())))),
        ("bundle_malformed", altered(&|entries| entries[run].0 = "a b".into())),
        ("bundle_link_entry", altered(&|entries| entries.push(("zzz".into(), b'2', Vec::new())))),
        ("bundle_signature_invalid", altered(&|entries| entries[signature].2 = Agent::new(2).bundle(&ticket).dsse())),
        ("bundle_bomb", compress(&pack(&[("bomb".into(), b'0', vec![0; 32 << 20])]))),
    ];
    for (reason, bytes) in cases {
        let sent = Packed { id: good.id.clone(), bytes };
        let refused = problem(server.upload_whole(&agent, &ticket, &sent).await).await;
        assert_eq!(refused.known_code(), Some(ProblemCode::BundleRefused), "{reason}: {refused:?}");
        assert_eq!(refused.reason.as_deref(), Some(reason), "{refused:?}");
        assert_eq!(server.files(), (0, 0), "{reason}");
    }
    assert_eq!(server.upload_whole(&agent, &ticket, &good).await.status(), 200, "none of them used the ticket");
}

#[tokio::test]
async fn a_file_that_the_customer_took_out_is_no_reason_to_refuse() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let good = agent.bundle(&ticket);
    let mut entries = unpack(&good.bytes);
    entries.retain(|entry| entry.0 != "journal.jsonl");
    let withheld = Packed { id: good.id, bytes: compress(&pack(&entries)) };
    assert_eq!(server.upload_whole(&agent, &ticket, &withheld).await.status(), 200);
}

/// Far smaller once compressed, and far larger once read into types.
fn many_replies() -> Vec<u8> {
    let reply = |number: u64| format!(r#"{{"sequence":{number},"rtt_us":{}}}"#, number * 7919 % 9973);
    let replies = (0..200_000).map(reply).collect::<Vec<_>>().join(",");
    format!(r#"{{"observations":[{{"replies":[{replies}]}}]}}"#).into_bytes()
}

trait Signatures {
    fn dsse(&self) -> Vec<u8>;
}

impl Signatures for Packed {
    /// The envelope, which signs another manifest with another key.
    fn dsse(&self) -> Vec<u8> {
        unpack(&self.bytes).into_iter().find(|entry| entry.0 == "manifest.dsse.json").unwrap().2
    }
}

fn unpack(bytes: &[u8]) -> Vec<Entry> {
    let mut tar = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
    let mut entries = Vec::new();
    let mut at = 0;
    while tar[at] != 0 {
        let header = &tar[at..at + BLOCK];
        let text = |from: usize, to: usize| {
            String::from_utf8(header[from..to].iter().copied().take_while(|b| *b != 0).collect()).unwrap()
        };
        let size = usize::from_str_radix(text(124, 136).trim(), 8).unwrap();
        let (prefix, name) = (text(345, 500), text(0, 100));
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        entries.push((name, header[156], tar[at + BLOCK..at + BLOCK + size].to_vec()));
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    entries
}

/// A ustar archive of names that are short.
fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, kind, content) in entries {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, b"0000644\x000000000\x000000000\x00");
        put(124, format!("{:011o}\x0000000000000\x00        ", content.len()).as_bytes());
        put(156, &[*kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn compress(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}
