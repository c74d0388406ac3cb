//! The real agent and the real backend, killed at random times. The oracle: what was acknowledged is there, once, byte for byte.

use crate::tally::Tally;
use crate::world::{Parcel, World};
use anyhow::{Context, Result, bail};
use netsonde_agent::load::Clock;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::Child;

/// One bundle meets so many kills at most; then it is let through.
const MOST_A_BUNDLE: u32 = 8;
/// A send ends by itself within this time, also on a machine that does much else.
const SEND_LIMIT: Duration = Duration::from_secs(120);

/// The same each time it is asked, for the same seed (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// Where agent and backend must have been killed.
const STEPS: [&str; 9] = [
    "agent, while it measures or keeps",
    "agent, before anything is stored",
    "agent, after a part was staged",
    "agent, between the backend's blob and its row",
    "agent, after the backend stored",
    "backend, before anything is stored",
    "backend, after a part was staged",
    "backend, between blob and row",
    "backend, after it stored",
];
/// Beyond what was asked for, each world kills so often at most for steps that were not met.
const MOST_MORE: u64 = 60;
/// Steps last some milliseconds.
const LOOK_AT_STEP_EVERY: Duration = Duration::from_millis(1);
/// After a part lies at the backend, the row that says so is written within this time, mostly; what the bundle holds is looked at for longer before it is stored.
const ROW_OF_PART_MS: u64 = 8;
/// Rows are held back for so long, so that a blob comes without its row: less than the five seconds for which the backend waits for its turn to write.
const ROWS_HELD: Duration = Duration::from_secs(2);
/// Backends with their agents side by side: most of a life is waiting.
const WORLDS: u64 = 4;

/// The steps that were met so far, in all worlds.
#[derive(Clone, Default)]
struct Met(Arc<Mutex<BTreeSet<&'static str>>>);

impl Met {
    fn add(&self, step: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(step);
    }

    fn all(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() >= STEPS.len()
    }
}

/// Kills as often as it is told, and goes on where a step was not met by then. Every step must have been met.
pub(crate) async fn run(wanted: u64, seed: u64) -> Result<Tally> {
    let mut tally = Tally::default();
    let (mut worlds, met) = (tokio::task::JoinSet::new(), Met::default());
    for world in 0..WORLDS {
        let share = wanted / WORLDS + u64::from(world < wanted % WORLDS);
        worlds.spawn(in_one_world(share, seed.wrapping_mul(WORLDS).wrapping_add(world), met.clone()));
    }
    while let Some(done) = worlds.join_next().await {
        tally.add(done.context("one of the worlds")??);
    }
    tally.expect_steps(STEPS);
    Ok(tally)
}

async fn in_one_world(wanted: u64, seed: u64, met: Met) -> Result<Tally> {
    let mut world = World::new().await?;
    let mut chance = Chance(seed);
    let (mut tally, mut delivered) = (Tally::default(), Vec::new());
    // How long a whole run and a whole send take here, so that kills are spread over all of it.
    let (run_ms, send_ms) = {
        let clock = Clock::start();
        let parcel = world.parcel().await?;
        let run_ms = clock.now().as_millis() as u64;
        if !end(&world, &parcel).await? {
            bail!("a bundle was not delivered although nothing stood in its way");
        }
        delivered.push(parcel);
        (run_ms, (clock.now().as_millis() as u64).saturating_sub(run_ms))
    };
    let mut kills = 0;
    let is_enough = |kills| kills >= wanted && (met.all() || kills >= wanted + MOST_MORE);
    while !is_enough(kills) {
        let (ticket, state) = world.ticket().await?;
        // The agent dies while it measures and keeps: the next run finds a spool that is whole.
        let mut run = world.measure(&ticket, &state)?;
        tokio::time::sleep(Duration::from_millis(chance.below(run_ms + run_ms / 4))).await;
        if run.try_wait().context("asking for netsonde")?.is_none() {
            run.kill().await.context("killing netsonde")?;
            kills += 1;
            tally.killed("agent, while it measures or keeps");
            met.add("agent, while it measures or keeps");
        }
        if world.kept(ticket.clone(), state.clone()).is_err() {
            world.measure(&ticket, &state)?.wait().await.context("waiting for netsonde")?;
        }
        let parcel = world.kept(ticket, state).context("after a kill while a bundle was kept")?;
        for _ in 0..MOST_A_BUNDLE {
            if is_enough(kills) {
                break;
            }
            match one_kill(&mut world, &parcel, send_ms, &mut chance, &mut tally).await? {
                Sent::Through => break,
                Sent::Killed { step, is_sent } => {
                    kills += 1;
                    tally.killed(step);
                    met.add(step);
                    if is_sent {
                        break;
                    }
                }
            }
        }
        if world.places(&parcel) != ["sent"] && !end(&world, &parcel).await? {
            tally.lost.push(format!("bundle {} is not delivered", parcel.id));
        }
        tally.acknowledged += 1;
        delivered.push(parcel);
    }
    judge(&mut world, &delivered, &mut tally).await?;
    Ok(tally)
}

/// What became of a send.
enum Sent {
    /// It was through, or gave up, before the moment came.
    Through,
    Killed {
        step: &'static str,
        is_sent: bool,
    },
}

/// When a process is to die.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    AnyMoment,
    Part,
    BlobWithoutRow,
    Blob,
}

/// Sends and kills one of the two on the way: at any moment, or as soon as there is a part, or all, of the bundle at the backend, and all without the row that makes it
/// the backend's.
async fn one_kill(world: &mut World, parcel: &Parcel, send_ms: u64, chance: &mut Chance, tally: &mut Tally) -> Result<Sent> {
    let mut send = world.send(parcel, &parcel.ticket)?;
    let aim = match chance.below(5) {
        0 | 1 => Aim::AnyMoment,
        2 => Aim::Part,
        3 => Aim::BlobWithoutRow,
        _ => Aim::Blob,
    };
    let blob = world.blob(parcel);
    let mut held = None;
    match aim {
        Aim::AnyMoment => tokio::time::sleep(Duration::from_millis(chance.below(send_ms + send_ms / 4))).await,
        Aim::Part => until(&mut send, SEND_LIMIT, || world.is_staged()).await?,
        Aim::Blob => until(&mut send, SEND_LIMIT, || blob.exists()).await?,
        Aim::BlobWithoutRow => {
            until(&mut send, SEND_LIMIT, || world.is_staged()).await?;
            tokio::time::sleep(Duration::from_millis(1 + chance.below(ROW_OF_PART_MS))).await;
            held = world.hold_rows()?;
            until(&mut send, ROWS_HELD, || blob.exists()).await?;
        }
    }
    if send.try_wait().context("asking for netsonde")?.is_some() {
        return Ok(Sent::Through);
    }
    let whom = if chance.below(if aim == Aim::AnyMoment { 4 } else { 2 }) == 0 { "backend" } else { "agent" };
    if whom == "agent" {
        send.kill().await.context("killing netsonde")?;
    } else {
        world.backend.kill().await?;
    }
    let is_taken = world.is_taken(parcel).await?;
    drop(held);
    let step = match (whom, blob.exists(), is_taken) {
        ("agent", _, true) => "agent, after the backend stored",
        ("agent", true, false) => "agent, between the backend's blob and its row",
        ("agent", false, _) if world.is_staged() => "agent, after a part was staged",
        ("agent", ..) => "agent, before anything is stored",
        (_, _, true) => "backend, after it stored",
        (_, true, false) => "backend, between blob and row",
        (_, false, _) if world.is_staged() => "backend, after a part was staged",
        _ => "backend, before anything is stored",
    };
    let places = world.places(parcel);
    match places.len() {
        0 => tally.lost.push(format!("bundle {} is nowhere after a kill: {step}", parcel.id)),
        1 => {}
        _ => tally.duplicated.push(format!("bundle {} is in {places:?} after a kill: {step}", parcel.id)),
    }
    if whom == "backend" {
        let stage = &world.stage;
        world.backend.restart(stage).await?;
        // The agent goes on by itself, or gives up and keeps the bundle.
        let ended = tokio::time::timeout(SEND_LIMIT, send.wait()).await.context("netsonde hangs after the backend died")?;
        let is_sent = ended.context("waiting for netsonde")?.success();
        return Ok(Sent::Killed { step, is_sent });
    }
    Ok(Sent::Killed { step, is_sent: world.places(parcel) == ["sent"] })
}

/// Waits until something is there, the command has ended, or it takes too long.
async fn until(send: &mut Child, longest: Duration, is_there: impl Fn() -> bool) -> Result<()> {
    let began = Clock::start();
    while send.try_wait().context("asking for netsonde")?.is_none() && !is_there() && began.now() < longest {
        tokio::time::sleep(LOOK_AT_STEP_EVERY).await;
    }
    Ok(())
}

/// Sends without a kill.
pub(crate) async fn end(world: &World, parcel: &Parcel) -> Result<bool> {
    let mut send = world.send(parcel, &parcel.ticket)?;
    let ended = tokio::time::timeout(SEND_LIMIT, send.wait()).await.context("netsonde hangs")?;
    Ok(ended.context("waiting for netsonde")?.success())
}

/// Everything that was acknowledged is there, once, byte for byte, and the store is in order.
pub(crate) async fn judge(world: &mut World, delivered: &[Parcel], tally: &mut Tally) -> Result<()> {
    world.backend.kill().await?;
    let stage = &world.stage;
    world.backend.restart(stage).await?;
    for parcel in delivered {
        match world.stored(parcel) {
            Some(bytes) if bytes == parcel.bytes => {}
            Some(_) => tally.lost.push(format!("bundle {} has other bytes at the backend", parcel.id)),
            None => tally.lost.push(format!("bundle {} is not at the backend", parcel.id)),
        }
        if world.places(parcel) != ["sent"] {
            tally.lost.push(format!("bundle {} lies in {:?} on its machine", parcel.id, world.places(parcel)));
        }
    }
    world.backend.kill().await?;
    let (count, is_fine, text) = world.verify().await?;
    if !is_fine {
        tally.lost.push(format!("netsonde-backend verify: {text}"));
    }
    let expected = delivered.len() as u64;
    if count > expected {
        tally.duplicated.push(format!("the backend has {count} bundles, and {expected} were sent"));
    } else if count < expected {
        tally.lost.push(format!("the backend has {count} bundles, and {expected} were delivered"));
    }
    Ok(())
}
