use super::send::SendCommand;
use crate::format::{self, Format};
use crate::stop::Stop;
use crate::{exit, terminal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Subcommand, ValueEnum};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use netsonde_contract::bundle::{self, Bundle, MAX_BYTES};
use netsonde_contract::document::Document;
use netsonde_contract::harmless::clean;
use netsonde_contract::history::History;
use netsonde_report::{html, markdown, text};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(super) enum BundleCommand {
    /// Says what a bundle is about, who made it, and what is in it.
    #[command(after_help = "Example:\n  netsonde bundle inspect netsonde-4711-0123456789ab.tar.gz")]
    Inspect {
        /// The bundle's file.
        file: PathBuf,
    },
    /// Checks that a bundle is intact and, given a key, that it is by that key.
    #[command(
        after_help = "Examples:\n  netsonde bundle verify b.tar.gz\n  netsonde bundle verify b.tar.gz --key agent.pub\n  netsonde bundle verify b.tar.gz --key sha256:9f86d0…"
    )]
    Verify {
        /// The bundle's file.
        file: PathBuf,
        /// The key that should have signed: its file (OpenSSH or PEM) or its id.
        #[arg(long, value_name = "FILE|sha256:…")]
        key: Option<String>,
    },
    /// Prints a bundle's report.
    #[command(
        after_help = "Examples:\n  netsonde bundle report b.tar.gz\n  netsonde bundle report b.tar.gz --format html > report.html"
    )]
    Report {
        /// The bundle's file.
        file: PathBuf,
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
        /// Print every observation.
        #[arg(long)]
        detail: bool,
        /// Print how the conclusion was reached.
        #[arg(long)]
        explain: bool,
    },
    /// Sends a kept bundle to the backend of the ticket that it was made for.
    Send(Box<SendCommand>),
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum ReportFormat {
    #[default]
    Text,
    Markdown,
    Html,
    /// The document, as `netsonde run --format json` prints it.
    Json,
}

impl BundleCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::Inspect { file } => terminal::output(&describe(&open(&file)?.1))?,
            Self::Verify { file, key } => {
                let (_, bundle) = open(&file)?;
                let known = key.as_deref().map(|key| key_id(key).map(|id| id == bundle::key_id(&bundle.key))).transpose()?;
                terminal::output(&verdict(&bundle, known))?;
                if known == Some(false) {
                    return Err(Stop::found(format!("{} is intact, but by another key than the one given", file.display()))
                        .next("do not rely on it; ask whoever sent it which key is theirs (netsonde key show)"));
                }
            }
            Self::Report { file, format, detail, explain } => {
                let depth = text::Depth { detail, explain };
                let bundle = open(&file)?.1;
                let (document, history) = (document(&bundle, &file)?, history(&bundle));
                let rendered = match format {
                    ReportFormat::Text => {
                        let style = text::Style { colour: terminal::output_colour(), width: terminal::output_width(), depth };
                        text::render_after(&document, history.as_ref(), style)
                    }
                    ReportFormat::Markdown => markdown::render(&document),
                    ReportFormat::Html => html::page_after(&document, history.as_ref()),
                    ReportFormat::Json => format::render(&document, Format::Json, depth),
                };
                terminal::output(&rendered)?;
            }
            Self::Send(command) => return command.execute(),
        }
        Ok(exit::AS_EXPECTED)
    }
}

/// The file's bytes and the bundle in them.
pub(super) fn open(file: &Path) -> Result<(Vec<u8>, Bundle), Stop> {
    let bytes = read(file).map_err(|error| {
        Stop::usage(format!("reading the bundle {} failed: {error}", file.display())).next("check the file's name and place")
    })?;
    let bundle = bundle::verify(&bytes).map_err(|refusal| {
        Stop::found(format!("{} is not intact: {} ({})", file.display(), refusal.text, refusal.code.as_str()))
            .next("do not rely on it; ask for the file again")
    })?;
    Ok((bytes, bundle))
}

/// One byte more than a bundle may have is enough to tell that it has more.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn document(bundle: &Bundle, file: &Path) -> Result<Document, Stop> {
    bundle.document().map_err(|refusal| {
        Stop::found(format!("{} is intact, but holds no whole run: {} ({})", file.display(), refusal.text, refusal.code.as_str()))
            .next("netsonde bundle inspect lists what is in it; files may have been withheld")
    })
}

/// What was measured before the run, where the bundle tells and this version understands it.
fn history(bundle: &Bundle) -> Option<History> {
    serde_json::from_slice(bundle.files.get(bundle::file_name::HISTORY)?).ok()
}

fn verdict(bundle: &Bundle, known: Option<bool>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "intact: yes, key {} signed these bytes (bundle {})", bundle::key_id(&bundle.key), bundle.id);
    let _ = match known {
        Some(true) => writeln!(text, "known:  yes, it is the key given"),
        Some(false) => writeln!(text, "known:  no, the key given is another one"),
        None => writeln!(text, "known:  not checked; --key FILE|sha256:… says whose key it should be"),
    };
    withheld(&mut text, bundle);
    text
}

fn withheld(text: &mut String, bundle: &Bundle) {
    if !bundle.withheld.is_empty() {
        let _ = writeln!(text, "withheld by whoever sent it: {}", clean(&bundle.withheld.join(", ")));
    }
}

fn describe(bundle: &Bundle) -> String {
    let predicate = &bundle.predicate;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Whoever made the bundle chose most of these.
        let _ = writeln!(text, "{name:<11} {}", clean(&value));
    };
    line("bundle", bundle.id.to_string());
    line("key", bundle::key_id(&bundle.key));
    line("made by", format!("{} {} ({})", predicate.build.program, predicate.build.version, predicate.build.target));
    line("run", predicate.run.to_string());
    line("probe set", format!("{} version {}, sha256 {}", predicate.set.name, predicate.set.version, predicate.set.sha256));
    if let Some(case) = &predicate.case {
        line("case", case.to_string());
    }
    if let Some(ticket) = &predicate.ticket {
        line("ticket", ticket.id.to_string());
    }
    line("began", predicate.clocks.began.to_string());
    line("ended", predicate.clocks.ended.to_string());
    let removed: Vec<String> = predicate.redaction.removed.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let removed = if removed.is_empty() { "nothing taken out".to_owned() } else { removed.join(", ") };
    line("redaction", format!("{}: {removed}", predicate.redaction.level.name()));
    line("sequence", predicate.sequence.to_string());
    for limit in &predicate.limits_hit {
        line("limit hit", limit.clone());
    }
    withheld(&mut text, bundle);
    for (name, content) in &bundle.files {
        let _ = writeln!(text, "{:>11} {}", content.len(), clean(name));
    }
    text
}

/// The id of a key given as its id, as an OpenSSH line, or as PEM.
fn key_id(given: &str) -> Result<String, Stop> {
    if given.starts_with("sha256:") {
        return Ok(given.to_ascii_lowercase());
    }
    let text = std::fs::read_to_string(given).map_err(|error| {
        Stop::usage(format!("reading the key {given} failed: {error}")).next("give its file, or its id as sha256:…")
    })?;
    let key = VerifyingKey::from_public_key_pem(text.trim()).ok().or_else(|| open_ssh(&text)).ok_or_else(|| {
        Stop::usage(format!("{given} holds no Ed25519 public key")).next("give an OpenSSH line (agent.pub) or PEM (agent.pem)")
    })?;
    Ok(bundle::key_id(&key))
}

/// The key of an OpenSSH line: the last 32 bytes of the blob (RFC 8709 section 4).
fn open_ssh(text: &str) -> Option<VerifyingKey> {
    const BLOB_BYTES: usize = 51;
    let encoded = text.trim().strip_prefix("ssh-ed25519 ")?.split(' ').next()?;
    let blob = STANDARD.decode(encoded).ok().filter(|blob| blob.len() == BLOB_BYTES)?;
    VerifyingKey::from_bytes(blob.last_chunk()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundling::tests::packed_bytes;

    fn kept(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.tar.gz");
        std::fs::write(&file, bytes).unwrap();
        (folder, file)
    }

    #[test]
    fn intact_and_known_are_said_apart() {
        let (folder, file) = kept(&packed_bytes());
        let (_, bundle) = open(&file).unwrap();
        for name in ["agent.pub", "agent.pem"] {
            let key = folder.path().join(name);
            std::fs::write(&key, &bundle.files[name]).unwrap();
            assert_eq!(key_id(key.to_str().unwrap()), Ok(bundle::key_id(&bundle.key)), "{name}");
        }
        let verify = |key: &str| BundleCommand::Verify { file: file.clone(), key: Some(key.to_owned()) }.execute();
        assert_eq!(verify(&bundle::key_id(&bundle.key)), Ok(exit::AS_EXPECTED));
        assert_eq!(verify(&format!("sha256:{}", "0".repeat(64))).unwrap_err().exit, exit::FOUND);
        assert_eq!(verify(file.to_str().unwrap()).unwrap_err().exit, exit::USAGE, "a file that holds no key");
    }

    #[test]
    fn what_a_bundle_says_of_itself_does_not_steer_the_terminal() {
        let mut bundle = bundle::verify(&packed_bytes()).unwrap();
        let hostile = "x\u{1b}]0;title\u{7}\u{202e}\nintact: yes";
        bundle.predicate.build.program = hostile.to_owned();
        bundle.predicate.set.name = hostile.to_owned();
        bundle.predicate.limits_hit = vec![hostile.to_owned()];
        bundle.predicate.redaction.removed = [(hostile.to_owned(), 1)].into();
        bundle.withheld = vec![hostile.to_owned()];
        for text in [describe(&bundle), verdict(&bundle, None)] {
            assert!(text.lines().all(netsonde_contract::harmless::is_clean), "{text:?}");
            assert!(!text.contains("\nintact: yes\n"), "{text:?}");
        }
    }

    #[test]
    fn a_changed_bundle_is_refused_with_its_code() {
        let mut bytes = packed_bytes();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let (_folder, file) = kept(&bytes);
        let stop = open(&file).err().unwrap();
        assert!(stop.exit == exit::FOUND && stop.message.contains("(bundle_"), "{stop:?}");
        assert_eq!(open(Path::new("/nowhere/b.tar.gz")).err().unwrap().exit, exit::USAGE);
    }
}
