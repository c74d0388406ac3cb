use super::*;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PASSPHRASE: &str = "correct horse";

/// Runs an OpenSSH tool; false where it is not installed.
fn tool(name: &str, arguments: &[&str], socket: Option<&Path>) -> Option<String> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).env_remove("SSH_AUTH_SOCK");
    if let Some(socket) = socket {
        command.env("SSH_AUTH_SOCK", socket);
    }
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_) => {
            println!("skipped: signing: {name} is not installed");
            None
        }
    }
}

fn generate(folder: &Path, kind: &str, passphrase: &str) -> Option<PathBuf> {
    let path = folder.join(format!("id_{kind}_{}", passphrase.len()));
    let text = path.to_str().unwrap();
    tool("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", "asha@desk", "-f", text], None)?;
    Some(path)
}

fn knowing(passphrase: &str) -> Passphrases {
    Passphrases::knowing(passphrase)
}

fn check(signer: &Signer) {
    let mut envelope = Envelope::unsigned("text/plain", b"facts".to_vec());
    signer.sign(&mut envelope).unwrap();
    let read = Envelope::from_json(&envelope.to_json()).unwrap();
    assert_eq!(read.verify("text/plain", signer.public().key()), Ok(&b"facts"[..]));
}

#[test]
fn keys_of_ssh_keygen_sign_whether_encrypted_or_not() {
    let folder = tempfile::tempdir().unwrap();
    for passphrase in ["", PASSPHRASE] {
        let Some(path) = generate(folder.path(), "ed25519", passphrase) else { return };
        let signer = read(&path, &mut knowing(passphrase)).unwrap();
        assert_eq!(signer.public().comment(), "asha@desk");
        let public = public_key(path.with_extension("pub").to_str().unwrap()).unwrap();
        assert_eq!(public.key(), signer.public().key());
        let listed = tool("ssh-keygen", &["-l", "-f", path.to_str().unwrap()], None).unwrap();
        assert!(listed.contains(&signer.public().fingerprint()), "{listed}");
        check(&signer);
    }
}

#[test]
fn a_key_of_another_kind_and_one_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(other) = generate(folder.path(), "ecdsa", "") else { return };
    let stop = read(&other, &mut Passphrases::default()).err().unwrap();
    assert!(stop.next.is_some_and(|next| next.contains("ssh-keygen -t ed25519")));
    let path = generate(folder.path(), "ed25519", "").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path, &mut Passphrases::default()).err().unwrap().next.unwrap().starts_with("run `chmod 600"));
    }
    assert!(read(&folder.path().join("absent"), &mut Passphrases::default()).is_err());
}

#[test]
fn a_key_made_here_is_one_for_ssh_keygen_and_only_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    for (name, passphrase) in [("plain", None), ("locked", Some(PASSPHRASE))] {
        let path = folder.path().join(name);
        let made = make(&path, "root-1-1", passphrase).unwrap();
        check(&made);
        check(&read(&path, &mut knowing(passphrase.unwrap_or_default())).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(make(&path, "again", None).is_err(), "a key is never replaced");
        let text = path.to_str().unwrap();
        let Some(line) = tool("ssh-keygen", &["-y", "-P", passphrase.unwrap_or_default(), "-f", text], None) else { return };
        assert_eq!(line.parse::<PublicKey>().unwrap().key(), made.public().key());
    }
}

/// A real ssh-agent, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[test]
fn a_real_ssh_agent_signs_with_the_keys_that_it_holds_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let started = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn();
    let Ok(child) = started else {
        println!("skipped: a_real_ssh_agent_signs: ssh-agent is not installed");
        return;
    };
    let _running = Running(child);
    let (held, stranger) =
        (generate(folder.path(), "ed25519", "").unwrap(), make(&folder.path().join("other"), "x", None).unwrap());
    let other_kind = generate(folder.path(), "ecdsa", "").unwrap();
    assert!(wait_for(&socket), "the agent does not listen");
    for path in [&held, &other_kind] {
        tool("ssh-add", &["-q", path.to_str().unwrap()], Some(&socket)).unwrap();
    }
    let agent = SshAgent::at(socket);
    let keys = agent.identities().unwrap();
    assert_eq!(keys.len(), 1, "keys of other kinds are passed over");
    assert_eq!(keys[0].comment(), "asha@desk");
    check(&Signer::Agent(agent.clone(), keys[0].clone()));
    let refused = Signer::Agent(agent, stranger.public().clone());
    let stop = refused.sign(&mut Envelope::unsigned("text/plain", Vec::new())).unwrap_err();
    assert!(stop.message.contains("refuses to sign"), "{stop:?}");
}

#[cfg(unix)]
fn wait_for(socket: &Path) -> bool {
    (0..200_000).any(|_| {
        std::thread::yield_now();
        std::os::unix::net::UnixStream::connect(socket).is_ok()
    })
}

/// Answers one request with `answer`, whatever it is.
#[cfg(unix)]
fn false_agent(folder: &Path, answer: Vec<u8>) -> SshAgent {
    use std::io::{Read, Write};
    let socket = folder.join(format!("false-{}", answer.len()));
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(&answer).unwrap();
    });
    SshAgent::at(socket)
}

#[cfg(unix)]
#[test]
fn an_agent_that_answers_nonsense_is_told_and_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let truncated = vec![0, 0, 0, 5, 12, 0, 0, 0, 9];
    let huge = vec![0xff, 0xff, 0xff, 0xff, 12, 0];
    let none = vec![0, 0, 0, 0];
    let count_only = vec![0, 0, 0, 9, 12, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    for answer in [truncated, huge, none, count_only] {
        assert!(false_agent(folder.path(), answer).identities().is_err());
    }
    let public = make(&folder.path().join("key"), "x", None).unwrap().public().clone();
    let mut forged = vec![0, 0, 0, 88, 14, 0, 0, 0, 83, 0, 0, 0, 11];
    forged.extend(b"ssh-ed25519");
    forged.extend([0, 0, 0, 64]);
    forged.extend([7; 64]);
    let signer = Signer::Agent(false_agent(folder.path(), forged), public);
    let stop = signer.sign(&mut Envelope::unsigned("text/plain", Vec::new())).unwrap_err();
    assert!(stop.message.contains("no signature of this key"), "{stop:?}");
}
