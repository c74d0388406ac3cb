//! The little of the ssh-agent protocol that signing needs (draft-miller-ssh-agent, sections 3.5 and 3.6).

use crate::stop::Stop;
use netsonde_contract::trust::PublicKey;
use std::path::PathBuf;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ALGORITHM: &[u8] = b"ssh-ed25519";

/// The agent that `SSH_AUTH_SOCK` names.
#[derive(Clone)]
pub(crate) struct SshAgent {
    socket: PathBuf,
}

impl SshAgent {
    pub(crate) fn from_environment() -> Option<Self> {
        std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(|path| Self::at(path.into()))
    }

    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The Ed25519 keys that the agent holds; keys of other types are passed over.
    pub(crate) fn identities(&self) -> Result<Vec<PublicKey>, Stop> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        self.keys(&answer).ok_or_else(|| self.failed("its list of keys cannot be read"))
    }

    /// The signature of `key` over `message`.
    pub(crate) fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], Stop> {
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, &blob(key));
        put(&mut request, message);
        request.extend([0; 4]);
        let answer = self.ask(&request)?;
        if answer.first() == Some(&FAILURE) {
            return Err(self.failed(&format!("it refuses to sign with {}", key.fingerprint())));
        }
        signature(&answer).ok_or_else(|| self.failed("its signature cannot be read"))
    }

    fn keys(&self, answer: &[u8]) -> Option<Vec<PublicKey>> {
        let mut rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
        let count = u32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?);
        let mut keys = Vec::new();
        for _ in 0..count {
            let (blob, comment) = (take(&mut rest)?, take(&mut rest)?);
            keys.extend(parse(blob, &String::from_utf8_lossy(comment)));
        }
        Some(keys)
    }

    #[cfg(unix)]
    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Stop> {
        use std::io::{Error, Read, Write};
        use std::time::Duration;
        /// A person may be asked to confirm, or to touch a token.
        const PATIENCE: Duration = Duration::from_secs(120);
        /// OpenSSH's own agent takes and gives no longer messages.
        const MAX_MESSAGE: usize = 256 * 1024;
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = std::os::unix::net::UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let mut message = Vec::new();
            put(&mut message, request);
            stream.write_all(&message)?;
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length == 0 || length > MAX_MESSAGE {
                return Err(Error::other(format!("it announces an answer of {length} bytes")));
            }
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        exchange().map_err(|error| self.failed(&error.to_string()))
    }

    #[cfg(not(unix))]
    fn ask(&self, _: &[u8]) -> Result<Vec<u8>, Stop> {
        Err(self.failed("agents are reached over Unix sockets only"))
    }

    fn failed(&self, why: &str) -> Stop {
        Stop::failed(format!("the ssh-agent at {} does not help: {why}", self.socket.display()))
            .next("see what it holds with `ssh-add -l`, or give a key file with --key FILE")
    }
}

fn blob(key: &PublicKey) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ALGORITHM);
    put(&mut blob, key.key().as_bytes());
    blob
}

fn parse(blob: &[u8], comment: &str) -> Option<PublicKey> {
    use base64::Engine;
    let mut rest = blob;
    if take(&mut rest)? != ALGORITHM {
        return None;
    }
    let line = format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob));
    // A comment that is no plain name is left out; the key stays.
    format!("{line} {comment}").parse().or_else(|_| line.parse()).ok()
}

fn signature(answer: &[u8]) -> Option<[u8; 64]> {
    let mut rest = answer.strip_prefix(&[SIGN_RESPONSE])?;
    let mut inner = take(&mut rest)?;
    if take(&mut inner)? != ALGORITHM {
        return None;
    }
    take(&mut inner)?.try_into().ok()
}

/// An SSH string (RFC 4251 section 5): its length in four bytes, then itself.
fn put(message: &mut Vec<u8>, text: &[u8]) {
    // Everything that is put here is far shorter than 4 GiB.
    message.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(text);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?) as usize;
    rest.split_off(..length)
}
