use super::policy::PolicyOption;
use super::state_option::StateOption;
use crate::audit::{Audit, Entry};
use crate::identity::{Enrolling, Home, check_in, held_epochs};
use crate::state::{StateDirectory, random};
use crate::stop::Stop;
use crate::transport::{Client, Fault};
use crate::{disk, exit, policy_file, terminal, upload};
use clap::Args;
use netsonde_contract::api::fleet::{CheckIn, Introduced, MAX_DETAIL_CHARS};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::enrolment::Enrolment;
use netsonde_contract::harmless::{clean, clean_up_to};
use netsonde_contract::policy::Policy;
use netsonde_contract::trust::fingerprint;
use netsonde_probes::clock::Clock;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  netsonde enroll                              asks for the string (or reads it from standard input)
  echo \"$STRING\" | netsonde enroll - --yes     in a script, which compares no fingerprints
  netsonde enroll - --offline request.json     where the backend cannot be reached: hand the file to support …
  netsonde enroll --answer answer.json         … and give their answer here
Enrolling alone lets nobody do anything: what may be asked is for the policy (netsonde policy init).";

/// An enrolment string is shorter; a stream that is none ends here.
const MAX_STRING_BYTES: u64 = 64 * 1024;
/// An answer holds the organisation's roots and its list of keys.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EnrollCommand {
    /// The string from support, or `-` to be asked for it (or read it from standard input).
    #[arg(value_name = "nse1_…|-", default_value = "-", conflicts_with = "answer")]
    string: String,
    /// Write what the backend has to be told to this file instead of telling it.
    #[arg(long, value_name = "FILE", conflicts_with = "answer")]
    offline: Option<PathBuf>,
    /// Finish an enrolment with the backend's answer in this file.
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,
    /// Tell support what this machine calls itself.
    #[arg(long)]
    host_name: bool,
    /// Where something on the way opens TLS: rely on what this machine trusts, from now on. It could read what is sent, and change none of it.
    /// The policy's `upload.accept_inspection` says the same, for as long as it stands there.
    #[arg(long)]
    accept_inspection: bool,
    /// Do not ask whether the fingerprints are support's: where nobody can be asked, or they were compared already.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    policy: PolicyOption,
    #[command(flatten)]
    state: StateOption,
}

impl EnrollCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let state = StateDirectory::open(self.state.path())?;
        let home = Home::of(&state);
        if let Some(identity) = home.identity()? {
            return Err(Stop::usage(format!("this machine is enrolled with {} already", clean(&identity.organisation)))
                .next("to enrol it anew: netsonde identity forget"));
        }
        if let Some(answer) = &self.answer {
            return finish_offline(&state, answer);
        }
        let mut enrolment = read(&self.string)?;
        if self.accept_inspection {
            enrolment.tls_pin = None;
        }
        let key = state.signing_key()?;
        terminal::say(&format!(
            "Enrolling with {} at {}\n{}  machine   {}\nRoot and receipts must be what support's message shows; they can tell you both by another way than this string.",
            enrolment.organisation,
            enrolment.backend,
            enrolment.fingerprints(),
            fingerprint(&key.verifying_key())
        ));
        self.agree()?;
        let host_name = self.host_name.then(|| netsonde_probes::environment("", &Clock::start()).hostname);
        let mut enrolling = Enrolling::begin(&home, &enrolment, &key, host_name)?;
        enrolling.identity.tls_pin = enrolment.tls_pin.clone();
        let policy_path = policy_file::path(self.policy.path());
        let policy = policy_file::load(&policy_path).ok();
        let about = about(&home, policy.as_ref())?;
        if let Some(file) = &self.offline {
            disk::write_json(file, &enrolling.body(about))
                .map_err(|error| Stop::usage(format!("the request cannot be written to {}: {error}", file.display())))?;
            terminal::say(&format!(
                "Wrote {}; it is good until the string expires.\n  next: hand it to support, and give their answer to netsonde enroll --answer FILE",
                file.display()
            ));
            return Ok(exit::AS_EXPECTED);
        }
        let introduce = enrolling.body(about);
        let answer = super::block_on(async {
            let client = Client::new(&enrolling.identity.clone().by_policy(policy.as_ref()), Clock::start())?;
            client.introduce(&introduce).await.map_err(|fault| not_enrolled(&fault))
        })?;
        finish(&state, enrolling, &answer)
    }

    /// Somebody has compared the fingerprints, or has said beforehand that nobody need.
    fn agree(&self) -> Result<(), Stop> {
        if self.yes {
            return Ok(());
        }
        if !terminal::can_ask() {
            return Err(Stop::refused("nothing was enrolled: nobody can be asked whether these fingerprints are support's")
                .next("compare them, and agree on the command line with --yes"));
        }
        if terminal::ask("Are root and receipts what support's message shows?", false) {
            return Ok(());
        }
        Err(Stop::refused("nothing was enrolled").next("ask support for their fingerprints by another way, and for a new string"))
    }
}

fn about(home: &Home<'_>, policy: Option<&Policy>) -> Result<CheckIn, Stop> {
    let epochs = held_epochs(home)?;
    Ok(check_in(home, &epochs.current, policy, &hexadecimal(&random::<16>()?)))
}

fn finish_offline(state: &StateDirectory, file: &Path) -> Result<u8, Stop> {
    let home = Home::of(state);
    let enrolling = Enrolling::begun(&home)?.ok_or_else(|| {
        Stop::usage("no enrolment waits for an answer here").next("begin with: netsonde enroll - --offline request.json")
    })?;
    let unusable = |why: String| {
        Stop::usage(format!("the answer {} cannot be used: {why}", file.display()))
            .next("ask support for the answer's file again")
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| unusable(error.to_string()))?;
    let answer: Introduced = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
    finish(state, enrolling, &answer)
}

fn finish(state: &StateDirectory, enrolling: Enrolling, answer: &Introduced) -> Result<u8, Stop> {
    let home = Home::of(state);
    let (identity, anchor) = enrolling.finish(&home, answer)?;
    let by = match &identity.tls_pin {
        Some(pin) => format!("the key {pin} vouches for the backend's TLS, unless upload.accept_inspection is set"),
        None => "what this machine trusts vouches for the backend's TLS".to_owned(),
    };
    let entry = Entry::new(Clock::start().wall(), "enrolled").decided(&format!("root {}; {by}", identity.root));
    if let Err(error) = Audit::of(state).append(entry) {
        terminal::say(&format!("netsonde: the audit log cannot be written: {error}"));
    }
    terminal::say(&format!(
        "Enrolled with {} as agent {}.{}\n  next: say what they may ask for (netsonde policy init), and start netsonde agent",
        anchor.root().name,
        identity.agent.short(),
        if anchor.list().is_none() { " They have published no list of keys yet: no order counts until they do." } else { "" }
    ));
    Ok(exit::AS_EXPECTED)
}

/// What the backend refuses is the string's fault; whatever kept it from being asked is not, and may pass.
fn not_enrolled(fault: &Fault) -> Stop {
    let exit = if matches!(fault, Fault::Refused(_)) { exit::USAGE } else { exit::NOT_NOW };
    let stop = Stop { exit, ..Stop::usage(format!("this machine was not enrolled: {fault}")) };
    match fault {
        Fault::Untrusted => stop.next(
            "something on the way opens TLS, such as an inspecting proxy: with --accept-inspection, or upload.accept_inspection = true in the policy, what this machine trusts vouches for the backend",
        ),
        Fault::Refused(problem) => {
            let own = problem.next_step.as_deref().map(|step| clean_up_to(step, MAX_DETAIL_CHARS).into_owned());
            stop.next(own.unwrap_or_else(|| "ask support for a new string".to_owned()))
        }
        Fault::OldBackend(_) => stop.next(fault.next_step()),
        _ => stop.next("enrol again with the same string, or by file: --offline request.json"),
    }
}

fn read(given: &str) -> Result<Enrolment, Stop> {
    let text = if given == "-" { from_standard_input()? } else { given.to_owned() };
    let enrolment = Enrolment::parse(text.trim()).map_err(|error| {
        Stop::usage(error.to_string()).next("copy the string again from the message, or ask support for a new one")
    })?;
    if enrolment.backend.starts_with("http://") && !upload::is_loopback(&enrolment.backend) {
        return Err(Stop::usage(format!("the string would have this machine talk to {} in the clear", enrolment.backend))
            .next("ask support for a string of a backend that speaks https"));
    }
    Ok(enrolment)
}

fn from_standard_input() -> Result<String, Stop> {
    let mut text = String::new();
    let read = if terminal::can_ask() {
        terminal::say("Paste the string (nse1_…) and press Enter:");
        io::stdin().lock().take(MAX_STRING_BYTES).read_line(&mut text)
    } else {
        io::stdin().lock().take(MAX_STRING_BYTES).read_to_string(&mut text)
    };
    read.map_err(|error| Stop::usage(format!("reading the string from standard input failed: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use netsonde_contract::api::{Problem, ProblemCode};
    use netsonde_contract::enrolment::EnrolmentCode;
    use netsonde_contract::id::TicketId;

    #[test]
    fn a_backend_that_was_not_reached_is_no_wrong_string() {
        let problem = Problem::new(ProblemCode::MalformedRequest, "");
        assert_eq!(not_enrolled(&Fault::Refused(Box::new(problem))).exit, 2);
        let passing = [
            Fault::Unreachable(String::new()),
            Fault::NoAnswer(String::new()),
            Fault::Untrusted,
            Fault::NotNow { what: String::new(), retry_after: None },
            Fault::Interposed { status: 502, retry_after: None },
        ];
        for fault in passing {
            let stop = not_enrolled(&fault);
            assert!(stop.exit == 6 && stop.next.is_some(), "{stop:?}");
        }
    }

    #[test]
    fn an_enrolment_that_would_talk_in_the_clear_is_refused() {
        let to = |backend: &str| {
            let enrolment = Enrolment {
                id: TicketId::from_bytes([7; 10]),
                backend: backend.to_owned(),
                tls_pin: None,
                organisation: "Contoso".into(),
                root: "ab".repeat(32),
                receipt_key: SigningKey::from_bytes(&[1; 32]).verifying_key(),
                expires: jiff::Timestamp::UNIX_EPOCH,
                code: EnrolmentCode::from_bytes([9; 16]),
            };
            read(&enrolment.encode())
        };
        assert!(to("https://support.example").is_ok() && to("http://127.0.0.1:8443").is_ok());
        assert!(to("http://support.example").err().unwrap().message.contains("in the clear"));
    }
}
