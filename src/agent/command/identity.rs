use super::policy::PolicyOption;
use super::state_option::StateOption;
use crate::audit::{Audit, Entry};
use crate::identity::{Home, Rotation, check_in, held_epochs};
use crate::state::{StateDirectory, new_signing_key, random};
use crate::stop::Stop;
use crate::transport::Client;
use crate::{daemon, exit, policy_file, service, terminal};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::trust::fingerprint;
use netsonde_probes::clock::Clock;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  netsonde identity\n  netsonde identity rotate\n  netsonde identity forget"
)]
pub(super) struct IdentityCommand {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    state: StateOption,
}

#[derive(Subcommand)]
enum Change {
    /// Makes a new transport key; the old one counts until the backend knows the new one.
    #[command(
        after_help = "Examples:\n  netsonde identity rotate\n  netsonde identity rotate --bundle-key     the key that signs bundles, too: the agent gets a new id"
    )]
    Rotate {
        /// Also make a new bundle key, signed by the old one. The agent's id changes with it.
        #[arg(long)]
        bundle_key: bool,
        #[command(flatten)]
        policy: PolicyOption,
        #[command(flatten)]
        state: StateOption,
    },
    /// Ends the enrolment on this machine. The bundle key and the audit log stay.
    #[command(
        after_help = "Examples:\n  netsonde identity forget\n  netsonde identity forget --copy     on the copy of a machine, before it enrols by itself"
    )]
    Forget {
        /// This machine is a copy of another one: it gets a bundle key of its own too, without which both stay one agent.
        #[arg(long)]
        copy: bool,
        #[command(flatten)]
        state: StateOption,
    },
}

impl IdentityCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self.change {
            None => show(&StateDirectory::open(self.state.path())?),
            Some(Change::Rotate { bundle_key, policy, state }) => {
                rotate(&StateDirectory::open(state.path())?, bundle_key, &policy)
            }
            Some(Change::Forget { copy, state }) => forget(&StateDirectory::open(state.path())?, copy),
        }
    }
}

fn show(state: &StateDirectory) -> Result<u8, Stop> {
    let home = Home::of(state);
    let identity = home.enrolled()?;
    let mut text = format!("Agent {}\n", identity.agent);
    let mut line = |name: &str, value: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<14} {}", netsonde_contract::harmless::clean(value));
    };
    line("organisation", &identity.organisation);
    line("their root", &identity.root);
    line("backend", &identity.backend);
    line("bundle key", &fingerprint(&state.signing_key()?.verifying_key()));
    line("transport key", &fingerprint(&identity.transport.key()?.verifying_key()));
    if let Some(anchor) = home.anchor()? {
        let (root, list) = anchor.versions();
        line("root version", &root.to_string());
        match anchor.list() {
            Some(known) => line("list of keys", &format!("version {list}, expires {:.0}", known.expires)),
            None => line("list of keys", "none yet: no order counts"),
        }
    }
    line("epoch", held_epochs(&home)?.current.as_str());
    line("orders", if home.is_paused() { "paused" } else { "as the policy has it" });
    terminal::output(&text)?;
    Ok(exit::AS_EXPECTED)
}

fn rotate(state: &StateDirectory, bundle_key: bool, policy: &PolicyOption) -> Result<u8, Stop> {
    let home = Home::of(state);
    let identity = home.enrolled()?;
    let rotation = Rotation::begin(&home, &identity, &state.signing_key()?, bundle_key)?;
    let epochs = held_epochs(&home)?;
    let policy = policy_file::load(&policy_in_force(&home, policy.path())).ok();
    let about = check_in(&home, &epochs.current, policy.as_ref(), &hexadecimal(&random::<16>()?));
    let body = rotation.body(about);
    let answer = super::block_on(async {
        let client = Client::new(&identity.clone().by_policy(policy.as_ref()), Clock::start())?;
        client.introduce(&body).await.map_err(|fault| {
            Stop::usage(format!("the keys were not changed: {fault}"))
                .next("the old ones still count; netsonde identity rotate tries again with the same new ones")
        })
    })?;
    let identity = rotation.finish(&home, &answer.link)?;
    note(state, "keys_changed", &format!("agent {}", identity.agent));
    terminal::say(&format!("The new keys count; this is agent {}.", identity.agent.short()));
    Ok(exit::AS_EXPECTED)
}

/// The policy that the agent goes by, which may be another than the machine's own: the backend shows what it is told last.
fn policy_in_force(home: &Home<'_>, given: Option<&Path>) -> PathBuf {
    let of_agent = || if given.is_none() { home.policy_path() } else { None };
    of_agent().unwrap_or_else(|| policy_file::path(given))
}

fn forget(state: &StateDirectory, copy: bool) -> Result<u8, Stop> {
    let home = Home::of(state);
    // A copy that is enrolled with nobody yet, or no more, may still want a key of its own.
    let identity = if copy { home.identity()? } else { Some(home.enrolled()?) };
    let question = match &identity {
        Some(identity) => format!("End the enrolment with {}?", identity.organisation),
        None => "Make a new bundle key? What was sent with the old one can be told from what comes.".to_owned(),
    };
    if terminal::can_ask() && !terminal::ask(&question, false) {
        return Err(Stop::refused("nothing was changed"));
    }
    let disk = |error| Stop::usage(format!("removing the identity from {} failed: {error}", state.path().display()));
    home.forget().map_err(disk)?;
    // An agent that runs sees it by itself, ends what goes on, and has the state directory meanwhile.
    if !service::is_running(state) {
        daemon::end_orders_at_rest(state).map_err(disk)?;
    }
    if copy {
        state.replace_signing_key(&new_signing_key()?)?;
    }
    let words = identity.map_or_else(|| "a new key".to_owned(), |identity| format!("agent {}", identity.agent));
    note(state, "forgotten", &words);
    terminal::say("This machine is enrolled with nobody. Support may be told to take the agent off their list.");
    Ok(exit::AS_EXPECTED)
}

fn note(state: &StateDirectory, what: &str, words: &str) {
    let now: Timestamp = Clock::start().wall();
    if let Err(error) = Audit::of(state).append(Entry::new(now, what).decided(words)) {
        terminal::say(&format!("netsonde: the audit log cannot be written: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_tells_of_the_policy_that_the_agent_goes_by() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let home = Home::of(&state);
        assert_eq!(policy_in_force(&home, None), policy_file::path(None), "no agent has run");
        let (own, other) = (folder.path().join("own.toml"), folder.path().join("other.toml"));
        home.save_policy_path(&own).unwrap();
        assert_eq!(policy_in_force(&home, None), own);
        assert_eq!(policy_in_force(&home, Some(&other)), other);
    }
}
