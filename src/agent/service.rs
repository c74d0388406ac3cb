//! `netsonde agent`: one loop in one thread for what is asked from elsewhere ([`crate::daemon`]) and for what `agent.toml` asks ([`crate::rounds`]).
//!
//! Either is reason enough to run. Neither waits for the other: a backend that cannot be reached costs no schedule a run.

use crate::daemon::Scheduled;
use crate::identity::{Home, Identity};
use crate::interruption::Interruption;
use crate::notify::Notify;
use crate::rounds::{Files, Rounds};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, confinement, daemon, platform, policy_file, state_names, terminal};
use netsonde_contract::environment::Confinement;
use netsonde_disk::open_private;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;

/// Only one agent works with a state directory.
const LOCK_FILE: &str = state_names::AGENT_LOCK;
/// How often an agent that runs for its schedules alone looks whether the machine was enrolled meanwhile: seldom enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// When it is looked again whether orders can be taken, where something of this machine keeps them from it.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// After this time nothing that starting needed is needed any more.
const SETTLED: Duration = Duration::from_secs(5);

/// Works until it is interrupted. `confinement` is what this process gave up.
///
/// # Errors
/// Where there is nothing to do, another agent is at work, a file of the customer's is wrong, or the state directory cannot be used.
pub(crate) async fn run(
    state: StateDirectory,
    files: Files,
    confinement: Option<&Confinement>,
    interruption: &Interruption,
) -> Result<(), Stop> {
    let _lock = claim(&state)?;
    // Whoever asks how the agent is reads it from here.
    if let Some(Err(error)) = confinement.map(|confinement| confinement::note(&state, confinement)) {
        terminal::warn(&format!("netsonde: writing to {} failed: {error}", state.path().display()));
    }
    let identity = Home::of(&state).identity()?;
    let orders = orders_as_the_policy_says(&files.policy);
    let (tell, words) = unbounded_channel();
    let rounds = Rounds::open(StateDirectory::open(Some(state.path()))?, files.clone(), tell)?;
    let (uplink, reshelved, file_checks) =
        (Arc::clone(&rounds.uplink), Arc::clone(&rounds.reshelved), Arc::clone(&rounds.file_checks));
    let mut scheduled = Scheduled { words, uplink, reshelved, file_checks };
    let enrolled = Arc::clone(&rounds.enrolled);
    let has_rounds = rounds.has_work();
    if identity.is_none() && !has_rounds {
        return Err(nothing_to_do(&files.config));
    }
    terminal::say(&format!("netsonde: schedules of {}: {}", files.config.display(), rounds.describe()));
    let notify = Notify::of_environment();
    notify.ready();
    let orders = async {
        let mut known = identity.map(|identity| (identity, orders));
        let mut said = None;
        loop {
            let (identity, orders) = match known.take() {
                Some(known) => known,
                None => {
                    let Some(identity) = until_enrolled(&state, interruption).await else { return Ok(()) };
                    enrolled.notify_one();
                    (identity, orders_as_the_policy_says(&files.policy))
                }
            };
            if said.is_none() {
                say_whose(&identity, &state, orders);
            }
            let work = async {
                let state = StateDirectory::open(Some(state.path()))?;
                daemon::run(state, files.policy.clone(), &mut scheduled, interruption).await
            };
            match work.await {
                Ok(daemon::Ended::Interrupted) => return Ok(()),
                // Whoever tells the backend of the schedules has nobody to tell any more.
                Ok(daemon::Ended::Forgotten) => {
                    said = None;
                    enrolled.notify_one();
                }
                Err(stop) if !has_rounds => return Err(stop),
                Err(stop) => {
                    if said.as_ref() != Some(&stop) {
                        terminal::say_stop(&stop);
                        terminal::say("netsonde: no orders are taken meanwhile; schedules go on");
                        said = Some(stop);
                    }
                    known = Some((identity, orders));
                    tokio::select! {
                        biased;
                        () = interruption.came() => return Ok(()),
                        () = tokio::time::sleep(AGAIN_AFTER) => {}
                    }
                }
            }
        }
    };
    let rounds = async {
        rounds.run(interruption).await;
        Ok(())
    };
    let alive = async {
        notify.keep_alive(interruption).await;
        Ok(())
    };
    let settled = async {
        tokio::select! {
            () = tokio::time::sleep(SETTLED) => platform::give_back(),
            () = interruption.came() => {}
        }
        Ok(())
    };
    tokio::try_join!(orders, rounds, alive, settled).map(|_| ())
}

/// Neither orders nor measurements are asked for: the machine is not enrolled, and this `agent.toml` is not there or empty.
pub(crate) fn nothing_to_do(config: &Path) -> Stop {
    let begin = agent_file::beginning(config);
    Stop::usage(format!(
        "there is nothing to do: this machine is not enrolled with a support organisation, and {} asks for no measurements",
        config.display()
    ))
    .next(format!("netsonde enroll, with the string nse1_… from support; or {begin}, and fill it in"))
}

/// A policy that counts for nothing is better known now than with the first order. It refuses every order, and stops nothing else: schedules
/// are the customer's own, and the backend hears why nothing else runs.
fn orders_as_the_policy_says(policy: &Path) -> &'static str {
    match policy_file::load(policy) {
        Ok(policy) => policy.remote.name(),
        Err(stop) => {
            terminal::say_stop(&stop);
            "none, until the policy is right"
        }
    }
}

fn say_whose(identity: &Identity, state: &StateDirectory, orders: &str) {
    terminal::say(&format!(
        "netsonde: agent {} of {}, at {}; orders: {orders}{}",
        identity.agent.short(),
        identity.organisation,
        identity.backend,
        if Home::of(state).is_paused() { " (paused)" } else { "" }
    ));
}

/// Waits until somebody enrols the machine; none where the agent is to end before. An identity that is damaged is said by whoever makes one.
async fn until_enrolled(state: &StateDirectory, interruption: &Interruption) -> Option<Identity> {
    loop {
        if let Ok(Some(identity)) = Home::of(state).identity() {
            return Some(identity);
        }
        tokio::select! {
            biased;
            () = interruption.came() => return None,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Whether an agent works with this state directory now.
pub(crate) fn is_running(state: &StateDirectory) -> bool {
    let lock = OpenOptions::new().write(true).open(state.path().join(LOCK_FILE));
    lock.is_ok_and(|lock| lock.try_lock().is_err())
}

fn claim(state: &StateDirectory) -> Result<File, Stop> {
    let path = state.path().join(LOCK_FILE);
    let lock = open_private(&path)
        .map_err(|error| Stop::disk(format!("the state directory {} cannot be used: {error}", state.path().display()), &error))?;
    lock.try_lock().map_err(|_| {
        Stop::usage(format!("another netsonde agent works with {} already", state.path().display()))
            .next("stop it first, or name another directory with --state-dir DIR")
    })?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::World;
    use netsonde_probes::clock::Clock;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_second_agent_changes_nothing_of_the_first_ones_state() {
        let world = tokio::task::spawn_blocking(|| World::new("deny")).await.unwrap();
        let state = world.state();
        let _first = claim(&state).unwrap();
        let own = Confinement { files: None, capabilities: vec!["cap_net_raw".to_owned()] };
        let never = Interruption::of(CancellationToken::new());
        let stop = run(world.state(), world.files(), Some(&own), &never).await.unwrap_err();
        assert!(stop.message.contains("another netsonde agent"), "{stop:?}");
        assert_eq!(confinement::noted(&state), None);
    }

    #[test]
    fn what_keeps_orders_from_being_taken_ends_no_schedule() {
        let world = World::new("deny");
        let (state, files) = (world.state(), world.files());
        // A folder that is not empty stands where the daemon writes first.
        std::fs::create_dir_all(state.path().join("policy-in-force.json/full")).unwrap();
        assert!(Home::of(&state).save_policy_path(&files.policy).is_err());
        let address = world.target.local_addr().unwrap();
        let text = format!(
            "[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{address}\"]\nevery = \"10s\"\nsplay = \"1ms\"\n"
        );
        std::fs::write(&files.config, text).unwrap();
        let (stop, clock) = (CancellationToken::new(), Clock::start());
        let interruption = stop.clone();
        let agent = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { run(state, files, None, &Interruption::of(interruption)).await })
        });
        world.target.set_nonblocking(true).unwrap();
        while world.target.accept().is_err() {
            assert!(!agent.is_finished() && clock.now() < Duration::from_secs(30), "nothing was measured");
            std::thread::yield_now();
        }
        stop.cancel();
        assert_eq!(agent.join().unwrap(), Ok(()));
    }
}
