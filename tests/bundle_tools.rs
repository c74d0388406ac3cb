//! Bundles against the tools that customers and engineers have: tar, gzip, sha256sum, ssh-keygen, openssl.
//!
//! The commands are not repeated here: they are taken from the bundle's own `README.txt`, so that what it tells people is what is tested.

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use netsonde_contract::bundle::{self, Build, Clocks, Consent, Contents, Predicate};
use netsonde_contract::document::SetReference;
use netsonde_contract::id::RunId;
use netsonde_contract::redaction::RedactionReport;
use std::path::Path;
use std::process::{Command, Output};

const FILE: &str = "BUNDLE.tar.gz";

#[test]
fn the_readme_proves_an_intact_bundle_with_stock_tools() {
    let folder = unpacked();
    let output = shell(folder.path(), &readme_commands(folder.path(), "Or by hand", "A signature says"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("run.json: OK"), "{said}");
    assert!(said.contains("Good \"bundle@netsonde\" signature for agent with ED25519 key"), "{said}");
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    // The two lines that the reader compares by eye: the digest in the manifest is that of the file.
    let digest = said.lines().find_map(|line| line.strip_suffix("  SHA256SUMS")).expect("sha256sum prints a line");
    assert!(said.contains(&format!("\"sha256\": \"{digest}\"")), "{said}");
}

#[test]
fn stock_tools_refuse_what_was_changed_after_signing() {
    let folder = unpacked();
    std::fs::write(folder.path().join("run.json"), "{\"changed\":true}").unwrap();
    assert!(!shell(folder.path(), "sha256sum -c SHA256SUMS").status.success());
    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    std::fs::write(folder.path().join("manifest.json"), manifest.replace("\"sequence\": 1", "\"sequence\": 2")).unwrap();
    let by_hand = readme_commands(folder.path(), "Or by hand", "A signature says");
    let is_check = |line: &&str| line.starts_with("ssh-keygen") || line.starts_with("openssl pkeyutl");
    let is_digest = |line: &&str| line.starts_with("sha256sum") || line.starts_with("grep");
    let (checks, others): (Vec<&str>, Vec<&str>) = by_hand.lines().partition(is_check);
    let preparation: Vec<&str> = others.into_iter().filter(|line| !is_digest(line)).collect();
    assert!(shell(folder.path(), &preparation.join("\n")).status.success());
    assert_eq!(checks.len(), 2, "{by_hand}");
    for check in checks {
        assert!(!shell(folder.path(), check).status.success(), "{check}");
    }
}

#[test]
fn a_file_taken_out_as_the_readme_says_is_withheld_and_the_rest_proves() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), packed()).unwrap();
    assert!(shell(folder.path(), &format!("tar xzf {FILE} README.txt")).status.success());
    let output = shell(folder.path(), &readme_commands(folder.path(), "On Linux:", "How to check it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = bundle::verify(&std::fs::read(folder.path().join(FILE)).unwrap()).unwrap();
    assert_eq!(read.withheld, ["environment.json"]);
}

#[test]
fn a_bundle_packed_again_with_its_folders_is_refused() {
    let folder = unpacked();
    for format in ["ustar", "gnu", "pax"] {
        let command = format!("set -- *; tar --format={format} -czf again.tar.gz \"$@\"");
        assert!(shell(folder.path(), &command).status.success());
        let again = std::fs::read(folder.path().join("again.tar.gz")).unwrap();
        assert!(bundle::verify(&again).is_err(), "{format}");
        std::fs::remove_file(folder.path().join("again.tar.gz")).unwrap();
    }
}

fn packed() -> Vec<u8> {
    let files = [("run.json", "{}\n"), ("environment.json", "{}\n"), ("outcomes/0001-connect.json", "{}\n")];
    let contents = Contents { files: files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into() };
    let began = Timestamp::from_second(1_700_000_000).unwrap();
    let predicate = Predicate {
        key_id: String::new(),
        build: Build { program: "netsonde".into(), version: "0.1.0".into(), target: "x86_64-unknown-linux-gnu".into() },
        run: RunId::new("0190b1de-0000-7000-8000-000000000000"),
        set: SetReference { name: "web".into(), version: 1, sha256: "ab".repeat(32) },
        case: None,
        ticket: None,
        order: None,
        scheduled: None,
        policy_sha256: None,
        consent: Consent::None,
        redaction: RedactionReport::default(),
        sequence: 1,
        previous: None,
        audit_head: None,
        clocks: Clocks { began, ended: began, elapsed_us: 5, server: None },
        limits_hit: Vec::new(),
    };
    bundle::pack(contents, predicate, &SigningKey::from_bytes(&[7; 32])).unwrap().bytes
}

/// A folder with the bundle, unpacked by the system's tar.
fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), packed()).unwrap();
    let output = shell(folder.path(), &format!("tar xzf {FILE}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// The indented lines of the readme between two of its phrases, continued lines joined.
fn readme_commands(folder: &Path, from: &str, to: &str) -> String {
    let readme = std::fs::read_to_string(folder.join("README.txt")).unwrap();
    let (_, after) = readme.split_once(from).unwrap();
    let (section, _) = after.split_once(to).unwrap();
    let lines: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    lines.join("\n").replace("\\\n", " ").replace("\n  |", " |")
}

fn shell(folder: &Path, commands: &str) -> Output {
    Command::new("sh").args(["-e", "-c", commands]).current_dir(folder).output().unwrap()
}
