use super::{Passphrases, Signer, SshAgent, read};
use crate::private_file;
use crate::stop::Stop;
use crate::terminal::harmless;
use netsonde_contract::trust::PublicKey;
use std::path::{Path, PathBuf};

/// A public key is one line.
const MAX_PUBLIC_KEY_BYTES: u64 = 16 * 1024;

/// The key that signs: the one that was given, `agent` for one of the ssh-agent's, or without either the agent's first one that is among
/// `counting`, else `~/.ssh/id_ed25519`.
///
/// # Errors
/// Where there is none, or it is not among `counting`: an order that it signed would be refused everywhere.
pub(crate) fn choose(given: Option<&str>, counting: &[PublicKey], passphrases: &mut Passphrases) -> Result<Signer, Stop> {
    let counts = |key: &PublicKey| counting.iter().any(|one| one.key() == key.key());
    let signer = match given {
        Some("agent") => match of_agent(&counts)? {
            Some(signer) => signer,
            None => return Err(none("the ssh-agent holds none of the keys that count", counting)),
        },
        Some(path) => of_file(Path::new(path), passphrases)?,
        None => match of_agent(&counts).unwrap_or(None) {
            Some(signer) => signer,
            None => match own_key().filter(|path| path.is_file()) {
                Some(path) => read(&path, passphrases)?,
                None => return Err(none("there is no key to sign with", counting)),
            },
        },
    };
    if counts(signer.public()) {
        return Ok(signer);
    }
    Err(none(&format!("the key {} does not count", signer.public().fingerprint()), counting))
}

/// A public key as a line, or the file with it.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, Stop> {
    if text.starts_with("ssh-") {
        return parse(text, "the key");
    }
    let bytes = private_file::read(Path::new(text), MAX_PUBLIC_KEY_BYTES)?;
    parse(&String::from_utf8_lossy(&bytes), &harmless(text))
}

fn parse(line: &str, what: &str) -> Result<PublicKey, Stop> {
    line.parse().map_err(|error| {
        Stop::usage(format!("{what}: {error}")).next("give the public half of an Ed25519 key, such as ~/.ssh/id_ed25519.pub")
    })
}

fn of_file(path: &Path, passphrases: &mut Passphrases) -> Result<Signer, Stop> {
    if path.extension().is_none_or(|ending| ending != "pub") {
        return read(path, passphrases);
    }
    // The public half names a key of the agent, as it does for ssh.
    let public = public_key(&path.to_string_lossy())?;
    let named = |key: &PublicKey| key.key() == public.key();
    of_agent(&named)?.ok_or_else(|| {
        Stop::failed(format!("the ssh-agent does not hold {}", public.fingerprint()))
            .next("add it with ssh-add, or give the private file")
    })
}

fn of_agent(fits: &dyn Fn(&PublicKey) -> bool) -> Result<Option<Signer>, Stop> {
    let Some(agent) = SshAgent::from_environment() else { return Ok(None) };
    let key = agent.identities()?.into_iter().find(|key| fits(key));
    Ok(key.map(|key| Signer::Agent(agent, key)))
}

fn own_key() -> Option<PathBuf> {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    std::env::var_os(home).map(|home| PathBuf::from(home).join(".ssh").join("id_ed25519"))
}

fn none(why: &str, counting: &[PublicKey]) -> Stop {
    let known: Vec<String> =
        counting.iter().map(|key| format!("{} {}", key.fingerprint(), key.comment()).trim().to_owned()).collect();
    let next = if known.is_empty() {
        "no key counts yet: add yours with `netsonde-desk org add-signer KEY.pub`, then sign and publish the list".to_owned()
    } else {
        format!("give one of these with --key FILE or load it with ssh-add: {}", known.join("; "))
    };
    Stop::failed(why).next(next)
}
