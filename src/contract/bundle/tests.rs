//! What a bundle promises, tried from outside: the same bytes each time, and a refusal for every way to tamper with it.

use super::archive::{compress, tar};
use super::*;
use crate::document::{Document, Run, SCHEMA, SetReference};
use crate::environment::Environment;
use crate::finding::State;
use crate::id::{CaseId, CheckId, RunId};
use crate::kind::Kind;
use crate::outcome::{Outcome, Status};
use crate::redaction::RedactionReport;
use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use proptest::prelude::*;

const BLOCK: usize = 512;

type Files = Vec<(String, Vec<u8>)>;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn set() -> SetReference {
    SetReference { name: "web".into(), version: 1, sha256: "ab".repeat(32) }
}

fn document() -> Document {
    let began = Timestamp::from_second(1_700_000_000).unwrap();
    Document {
        schema: SCHEMA.into(),
        run: Run {
            id: RunId::new("0190b1de-0000-7000-8000-000000000000"),
            set: set(),
            targets: Vec::new(),
            case: CaseId::parse("4711"),
            ticket: None,
            began,
            took_us: 5,
            interrupted: false,
            limits_hit: Vec::new(),
            asked: None,
        },
        environment: Environment {
            version: "0.1.0".into(),
            os: "linux".into(),
            os_release: "Debian".into(),
            kernel: "6.1".into(),
            architecture: "x86_64".into(),
            hostname: "vm".into(),
            raw_sockets: false,
            ping_sockets: true,
            elevated: false,
            packet_filter: None,
            other_processes: None,
            low_ports: None,
            grantor: Default::default(),
            began,
            confinement: None,
        },
        state: State::AsExpected,
        bundle: None,
        findings: Vec::new(),
        unexplained: Vec::new(),
        not_measured: Vec::new(),
        control: None,
        outcomes: ["connect", "connect#2"]
            .map(|check| Outcome {
                check: CheckId::new(check),
                kind: Kind::Tcp,
                required: true,
                target: None,
                parameters: serde_json::json!({"attempts": 1}),
                status: Status::Succeeded,
                note: None,
                began_us: 1,
                took_us: 2,
                separates: Vec::new(),
                observations: Vec::new(),
            })
            .into(),
    }
}

fn predicate() -> Predicate {
    let document = document();
    Predicate {
        key_id: String::new(),
        build: Build { program: "netsonde".into(), version: "0.1.0".into(), target: "x86_64-unknown-linux-gnu".into() },
        run: document.run.id,
        set: set(),
        case: CaseId::parse("4711"),
        ticket: None,
        order: None,
        scheduled: None,
        policy_sha256: None,
        consent: Consent::None,
        redaction: RedactionReport::default(),
        sequence: 1,
        previous: None,
        audit_head: None,
        clocks: Clocks { began: document.run.began, ended: document.run.began, elapsed_us: 5, server: None },
        limits_hit: Vec::new(),
    }
}

fn packed() -> Packed {
    let contents = Contents::of(&document(), &RedactionReport::default(), b"{}\n".to_vec(), "<!doctype html>".into());
    pack(contents, predicate(), &key()).unwrap()
}

fn files() -> Files {
    verify(&packed().bytes).unwrap().files.into_iter().collect()
}

fn archive_of(files: &Files) -> Vec<u8> {
    tar(files.iter().map(|(name, content)| (name.as_str(), content.as_slice()))).unwrap()
}

fn refusal_of(files: &Files) -> RefusalCode {
    verify(&compress(&archive_of(files))).unwrap_err().code
}

/// The tar of the whole bundle, its first header changed and given a right checksum.
fn with_first_header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut archive = archive_of(&files());
    change(&mut archive[..BLOCK]);
    archive[148..156].fill(b' ');
    let sum: u32 = archive[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    compress(&archive)
}

fn rename_first(name: &str) -> RefusalCode {
    let change = |header: &mut [u8]| {
        header[..100].fill(0);
        header[..name.len()].copy_from_slice(name.as_bytes());
    };
    verify(&with_first_header(change)).unwrap_err().code
}

#[test]
fn the_same_run_makes_the_same_bundle_and_comes_out_again() {
    let bundle = packed();
    assert_eq!(bundle, packed());
    let read = verify(&bundle.bytes).unwrap();
    assert_eq!(read.id, bundle.id);
    assert_eq!(read.key, key().verifying_key());
    assert_eq!(read.predicate, Predicate { key_id: key_id(&key().verifying_key()), ..predicate() });
    assert!(read.withheld.is_empty());
    let mut document = document();
    document.bundle = Some(crate::document::BundlePlace { id: bundle.id, path: None, case_url: None });
    assert_eq!(read.document().unwrap(), document);
}

#[test]
fn the_manifest_is_a_statement_whose_subjects_are_all_other_files() {
    let bundle = verify(&packed().bytes).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bundle.files["manifest.json"]).unwrap();
    assert_eq!(manifest["_type"], "https://in-toto.io/Statement/v1");
    let subjects: Vec<&str> =
        manifest["subject"].as_array().unwrap().iter().map(|subject| subject["name"].as_str().unwrap()).collect();
    let others: Vec<&str> = bundle.files.keys().map(String::as_str).filter(|name| !manifest::is_proof(name)).collect();
    assert_eq!(subjects, others);
    let sums = String::from_utf8(bundle.files["SHA256SUMS"].clone()).unwrap();
    let summed: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    assert_eq!(summed, others.into_iter().filter(|name| *name != "SHA256SUMS").collect::<Vec<_>>());
}

#[test]
fn files_taken_out_are_named_as_withheld_and_the_rest_still_proves() {
    let mut files = files();
    let gone = ["README.txt", "agent.pub", "environment.json", "findings.json", "outcomes/0001-connect.json", "run.json"];
    files.retain(|(name, _)| !gone.contains(&name.as_str()));
    let bundle = verify(&compress(&archive_of(&files))).unwrap();
    assert_eq!(bundle.withheld, gone);
    let document = bundle.document().unwrap();
    assert_eq!(document.environment.hostname, "withheld");
    assert_eq!(document.state, State::Indeterminate);
    assert_eq!(document.run.case, CaseId::parse("4711"));
    assert_eq!(document.outcomes.len(), 1);
}

#[test]
fn manifest_and_signatures_cannot_be_withheld() {
    for (name, code) in [
        ("manifest.json", RefusalCode::ManifestMissing),
        ("manifest.json.sig", RefusalCode::SignatureMissing),
        ("manifest.dsse.json", RefusalCode::SignatureMissing),
    ] {
        let mut files = files();
        files.retain(|(other, _)| other != name);
        assert_eq!(refusal_of(&files), code, "{name}");
    }
}

#[test]
fn an_added_a_changed_and_a_doubled_file_are_refused() {
    let extra = [files(), vec![("notes.txt".to_owned(), b"hi".to_vec())]].concat();
    assert_eq!(refusal_of(&extra), RefusalCode::ExtraEntry);
    let doubled = [files(), vec![("run.json".to_owned(), b"{}".to_vec())]].concat();
    assert_eq!(refusal_of(&doubled), RefusalCode::DuplicateEntry);
    let folded = [files(), vec![("RUN.json".to_owned(), b"{}".to_vec())]].concat();
    assert_eq!(refusal_of(&folded), RefusalCode::DuplicateEntry);
    for (at, (name, _)) in files().iter().enumerate() {
        let mut changed = files();
        changed[at].1.push(b' ');
        let expected = if manifest::is_proof(name) { RefusalCode::SignatureInvalid } else { RefusalCode::AlteredEntry };
        assert_eq!(refusal_of(&changed), expected, "{name}");
    }
}

#[test]
fn what_nobody_signed_finds_no_room_in_the_envelope() {
    for (from, to) in [("{\"payload\"", "{\"note\":\"x\",\"payload\""), ("\"keyid\":\"sha256:", "\"keyid\":\"sha512:")] {
        let mut files = files();
        let (_, envelope) = files.iter_mut().find(|(name, _)| name == file_name::ENVELOPE).unwrap();
        let text = String::from_utf8(envelope.clone()).unwrap();
        assert!(text.contains(from));
        *envelope = text.replace(from, to).into_bytes();
        assert_eq!(refusal_of(&files), RefusalCode::SignatureInvalid, "{to}");
    }
}

#[test]
fn signatures_of_another_key_are_refused() {
    let contents = Contents::of(&document(), &RedactionReport::default(), b"{}\n".to_vec(), "<!doctype html>".into());
    let other = pack(contents, predicate(), &SigningKey::from_bytes(&[8; 32])).unwrap();
    let other = verify(&other.bytes).unwrap().files;
    for taken in [vec!["manifest.json.sig"], vec!["manifest.dsse.json"], vec!["manifest.json.sig", "manifest.dsse.json"]] {
        let mut mixed = files();
        for (name, content) in &mut mixed {
            if taken.contains(&name.as_str()) {
                content.clone_from(&other[name.as_str()]);
            }
        }
        assert_eq!(refusal_of(&mixed), RefusalCode::SignatureInvalid, "{taken:?}");
    }
}

#[test]
fn a_signer_cannot_lay_claim_to_another_key() {
    let mut files: Files = files();
    files.retain(|(name, _)| !manifest::is_proof(name));
    let map = files.iter().cloned().collect();
    // The manifest is well signed by key 8, but says that key 7 made it.
    let claimed = Predicate { key_id: key_id(&key().verifying_key()), ..predicate() };
    let manifest = readable_json(&manifest::Manifest::of(&map, claimed));
    let other = SigningKey::from_bytes(&[8; 32]);
    let envelope = crate::dsse::Envelope::sign(manifest::PAYLOAD_TYPE, manifest.clone(), &other);
    files.push((file_name::ENVELOPE.into(), envelope.to_json()));
    files.push((file_name::SSH_SIGNATURE.into(), ssh_signature::sign(&manifest, &other).into_bytes()));
    files.push((file_name::MANIFEST.into(), manifest));
    assert_eq!(refusal_of(&files), RefusalCode::SignatureInvalid);
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in ["/etc/passwd", "../run.json", "outcomes/../../x", "C:/x", "\\\\host\\x", "a\\..\\x"] {
        assert_eq!(rename_first(name), RefusalCode::AbsolutePath, "{name}");
    }
    for name in ["./run.json", "a//b", "a/", "a b", "caf\u{e9}", "a\nb"] {
        assert_eq!(rename_first(name), RefusalCode::Malformed, "{name}");
    }
}

#[test]
fn links_folders_devices_and_extensions_are_refused() {
    for kind in b"1234567xgLKS" {
        let code = verify(&with_first_header(|header| header[156] = *kind)).unwrap_err().code;
        assert_eq!(code, RefusalCode::LinkEntry, "{}", char::from(*kind));
    }
    let linked = with_first_header(|header| header[157..161].copy_from_slice(b"/etc"));
    assert_eq!(verify(&linked).unwrap_err().code, RefusalCode::LinkEntry);
}

#[test]
fn what_is_behind_the_archive_is_refused() {
    let bytes = packed().bytes;
    let followed = [bytes.as_slice(), b"x"].concat();
    assert_eq!(verify(&followed).unwrap_err().code, RefusalCode::TrailingBytes);
    let doubled = [bytes.as_slice(), bytes.as_slice()].concat();
    assert_eq!(verify(&doubled).unwrap_err().code, RefusalCode::SecondMember);
    let hidden = [archive_of(&files()), b"hidden".to_vec()].concat();
    assert_eq!(verify(&compress(&hidden)).unwrap_err().code, RefusalCode::TrailingBytes);
    let padded = [archive_of(&files()), vec![0; 20 * BLOCK]].concat();
    assert!(verify(&compress(&padded)).is_ok(), "GNU tar pads with zeros");
    let mut slack = archive_of(&files());
    let end_of_first = BLOCK + files()[0].1.len();
    slack[end_of_first] = b'x';
    assert_eq!(verify(&compress(&slack)).unwrap_err().code, RefusalCode::Malformed);
}

#[test]
fn every_cut_is_told_as_truncation() {
    let bytes = packed().bytes;
    for end in 2..bytes.len() {
        assert_eq!(verify(&bytes[..end]).unwrap_err().code, RefusalCode::Truncated, "cut at {end}");
    }
    assert_eq!(verify(b"").unwrap_err().code, RefusalCode::NotGzip);
    let archive = archive_of(&files());
    let without_end = compress(&archive[..archive.len() - BLOCK]);
    assert_eq!(verify(&without_end).unwrap_err().code, RefusalCode::Truncated);
}

#[test]
fn a_flipped_bit_is_never_taken_for_intact() {
    let bytes = packed().bytes;
    let whole = verify(&bytes).unwrap().files;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        if let Ok(bundle) = verify(&changed) {
            // A few bits of DEFLATE spell the same bytes another way.
            assert!(bundle.files == whole, "byte {at}");
        }
    }
}

#[test]
fn a_bomb_and_a_lying_size_are_stopped_early() {
    let zeros = vec![0_u8; 32 << 20];
    let bomb = compress(&tar([("zeros", zeros.as_slice())]).unwrap());
    assert!(bomb.len() < 64 << 10);
    assert_eq!(verify(&bomb).unwrap_err().code, RefusalCode::Bomb);
    let lying = with_first_header(|header| header[124..136].copy_from_slice(b"77777777777\0"));
    assert_eq!(verify(&lying).unwrap_err().code, RefusalCode::TooLarge);
    let promising = with_first_header(|header| header[124..136].copy_from_slice(b"00040000000\0"));
    assert_eq!(verify(&promising).unwrap_err().code, RefusalCode::Truncated);
    assert_eq!(verify(&vec![0x1f; MAX_BYTES + 1]).unwrap_err().code, RefusalCode::TooLarge);
}

#[test]
fn what_nobody_signed_finds_no_room_in_the_headers() {
    let bytes = packed().bytes;
    for at in 3..8 {
        let mut timed = bytes.clone();
        timed[at] = 1;
        assert!(verify(&timed).is_err(), "byte {at} of the gzip header");
    }
    let fields: [(usize, &[u8]); 8] = [
        (100, b"0000755\0"),
        (108, b"0001750\0"),
        (116, b"0001750\0"),
        (136, b"14000000000\0"),
        (265, b"alice"),
        (297, b"staff"),
        (329, b"0000001\0"),
        (500, b"x"),
    ];
    for (at, value) in fields {
        let marked = with_first_header(|header| header[at..at + value.len()].copy_from_slice(value));
        assert_eq!(verify(&marked).unwrap_err().code, RefusalCode::Malformed, "byte {at} of a file's header");
    }
}

#[test]
fn a_small_file_of_millions_of_things_is_refused_before_it_is_read_into_types() {
    let replies = vec![r#"{"sequence":1,"rtt_us":9}"#; 400_000].join(",");
    let outcome = format!(r#"{{"observations":[{{"replies":[{replies}]}}]}}"#).into_bytes();
    let contents = Contents { files: [("outcomes/0001-ping.json".to_owned(), outcome.clone())].into() };
    assert!(matches!(pack(contents, predicate(), &key()), Err(PackError::TooLarge(_))), "the agent is told before it sends");
    let named = [files(), vec![("outcomes/0001-ping.json".to_owned(), outcome)]].concat();
    assert_eq!(refusal_of(&named), RefusalCode::TooLarge);
    let wide = [files(), vec![("notes.json".to_owned(), vec![b' '; MAX_JSON_BYTES + 1])]].concat();
    assert!(matches!(refusal_of(&wide), RefusalCode::TooLarge | RefusalCode::Bomb));
}

#[test]
fn a_withheld_name_that_would_steer_a_terminal_is_refused() {
    for name in ["\u{1b}[2Jx", "../x", "a b", "\u{202e}x"] {
        let mut map: std::collections::BTreeMap<String, Vec<u8>> = files().into_iter().collect();
        map.retain(|name, _| !manifest::is_proof(name));
        let mut named = map.clone();
        named.insert(name.to_owned(), Vec::new());
        let claimed = Predicate { key_id: key_id(&key().verifying_key()), ..predicate() };
        let manifest = readable_json(&manifest::Manifest::of(&named, claimed));
        let envelope = crate::dsse::Envelope::sign(manifest::PAYLOAD_TYPE, manifest.clone(), &key());
        map.insert(file_name::ENVELOPE.into(), envelope.to_json());
        map.insert(file_name::SSH_SIGNATURE.into(), ssh_signature::sign(&manifest, &key()).into_bytes());
        map.insert(file_name::MANIFEST.into(), manifest);
        let refusal = verify(&compress(&archive_of(&map.into_iter().collect()))).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Malformed, "{name:?}");
        assert!(crate::harmless::is_clean(&refusal.text), "{refusal:?}");
    }
}

#[test]
fn too_many_files_are_refused() {
    let names: Vec<String> = (0..=MAX_ENTRIES).map(|number| format!("{number}")).collect();
    let many = compress(&tar(names.iter().map(|name| (name.as_str(), &b""[..]))).unwrap());
    assert!(matches!(verify(&many).unwrap_err().code, RefusalCode::TooLarge | RefusalCode::Bomb));
}

#[test]
fn a_file_that_the_bundle_makes_itself_cannot_be_given() {
    for name in ["manifest.json", "README.txt", "../x", "a b"] {
        let contents = Contents { files: [(name.to_owned(), Vec::new())].into() };
        assert_eq!(pack(contents, predicate(), &key()), Err(PackError::Name(name.into())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_mutation_of_a_tar_makes_verify_panic_or_lie(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let original: Files = files();
        let mut archive = archive_of(&original);
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        if let Ok(bundle) = verify(&compress(&archive)) {
            let known: std::collections::BTreeMap<_, _> = original.into_iter().collect();
            for (name, content) in &bundle.files {
                prop_assert_eq!(Some(content), known.get(name));
            }
        }
    }

    #[test]
    fn no_bytes_make_verify_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = verify(&bytes);
        let _ = verify(&compress(&bytes));
        let _ = verify(&[&[0x1f, 0x8b, 8, 0], bytes.as_slice()].concat());
    }
}
