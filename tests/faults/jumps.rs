//! Clocks that are set by hours while the agent runs, and a machine that sleeps for eight hours: schedules go on, failures are told, bundles arrive.

use crate::clocks::{Clocks, halt, resume};
use crate::scheduled::Scheduled;
use crate::tally::Tally;
use anyhow::{Context, Result};
use netsonde_agent::load::Clock;
use netsonde_tests::stage::{Backend, Stage};
use std::time::Duration;

const HOUR: i64 = 3_600;

/// What happens to the agent's clocks. Wall and boot clock, in seconds.
struct Fault {
    /// Of the schedule whose target goes down with it.
    schedule: &'static str,
    what: &'static str,
    wall: i64,
    boot: i64,
}

const FAULTS: [Fault; 4] = [
    Fault { schedule: "forward", what: "a clock that is set forward by five hours", wall: 5 * HOUR, boot: 0 },
    Fault { schedule: "back", what: "a clock that is set back by nine hours", wall: -9 * HOUR, boot: 0 },
    Fault { schedule: "right", what: "a clock that is set right again", wall: 4 * HOUR, boot: 0 },
    Fault { schedule: "asleep", what: "eight hours of sleep", wall: 8 * HOUR, boot: 8 * HOUR },
];

pub(crate) async fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let stage = Stage::new()?;
    let backend = Backend::start(&stage).await?;
    let (mut world, unsteady) = Scheduled::start(stage, backend, &FAULTS.each_ref().map(|fault| fault.schedule), "").await?;
    let process = world.process()?;
    let clocks = match Clocks::of(process).await {
        Ok(clocks) => clocks,
        Err(error) => {
            tally.skipped.push(format!("clocks that jump, and sleep: {error:#}"));
            return Ok(tally);
        }
    };
    let (mut wall, mut boot, mut told) = (0, 0, 0);
    for (fault, target) in FAULTS.iter().zip(unsteady) {
        let (before, began) = (world.measured().await?, Clock::start());
        (wall, boot) = (wall + fault.wall, boot + fault.boot);
        halt(process).await?;
        target.fail().await;
        clocks.set(wall, boot)?;
        if fault.boot > 0 {
            meanwhile(&mut world, wall, boot).await?;
        }
        resume(process).await?;
        tally.faults += 1;
        world.expect_schedules(fault.what, (before, began), Duration::ZERO, &mut tally).await?;
        world.agent.until_says(&format!("{}: what was seen of", fault.schedule)).await?;
        tally.acknowledged += 1;
        world.expect_delivered(tally.acknowledged).await.with_context(|| fault.what)?;
        // Asleep, nobody sets a clock.
        told += usize::from(fault.boot == 0);
        let said = world.agent.log().matches("the clock was set by").count();
        if said != told {
            tally.wanting.push(format!("{}: {said} settings of the clock are told, not {told}", fault.what));
        }
    }
    world.judge(&mut tally).await?;
    Ok(tally)
}

/// While the machine sleeps, time goes on for the backend, and no connection outlives it.
async fn meanwhile(world: &mut Scheduled, wall: i64, boot: i64) -> Result<()> {
    world.backend.kill().await?;
    world.backend.restart(&world.stage).await?;
    let process = world.backend.process_id().context("no backend runs")?;
    Clocks::of(process).await?.set(wall, boot)
}
