//! A schedule's run by a person, or by a system's timer, where no agent runs: what becomes failing by it is packed as the agent would pack it.

use super::Files;
use super::planning::{plan_of, targets_at};
use super::running::{self, Fault, GRACE, Job, Packed, Purpose, Told, faults, of_target};
use crate::measurement::{Bounds, Measured};
use crate::recording::Noted;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::agent_config::{AgentConfig, Schedule};
use netsonde_contract::set::Plan;
use std::sync::Arc;

/// Where it is noted, and by which thresholds.
pub(crate) struct ByHand<'a> {
    pub(crate) state: &'a StateDirectory,
    pub(crate) files: Files,
    pub(crate) config: Arc<AgentConfig>,
}

impl ByHand<'_> {
    /// Notes what a run of the schedule's own set found, and packs it where it made a target failing and no deep set is named. What changed, and the targets that are
    /// to be looked at by themselves.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn note(&self, schedule: &Schedule, plan: Plan, measured: Measured) -> Result<(Vec<Noted>, Vec<Fault>), Stop> {
        let job = self.job(schedule, plan, Purpose::Slot { packed_lately: Vec::new() });
        let Told::Measured { noted, packed, .. } = running::keep(&job, self.state, measured)? else {
            return Ok((Vec::new(), Vec::new()));
        };
        let mut left = faults(&noted);
        if let Some(packed) = packed {
            left.retain(|fault| fault.target != packed.target);
            say(schedule, &packed);
        }
        Ok((noted, left))
    }

    /// The run that looks at a target which became failing.
    ///
    /// # Errors
    /// Where the set cannot be read, or its targets and parameters do not fit it.
    pub(crate) fn closer(&self, schedule: &Schedule, fault: &Fault) -> Result<Plan, Stop> {
        let targets = targets_at(&self.files.config, schedule, fault.target.as_deref());
        plan_of(&self.files.config, schedule, schedule.deep.as_deref().unwrap_or(&schedule.set), &targets)
    }

    /// Packs what such a run found.
    ///
    /// # Errors
    /// As the spool has them.
    pub(crate) fn pack(&self, schedule: &Schedule, plan: Plan, fault: Fault, measured: Measured) -> Result<(), Stop> {
        let job = self.job(schedule, plan, Purpose::Deep(fault));
        if let Told::Deep(packed) = running::keep(&job, self.state, measured)? {
            say(schedule, &packed);
        }
        Ok(())
    }

    fn job(&self, schedule: &Schedule, plan: Plan, purpose: Purpose) -> Job {
        Job {
            schedule: schedule.clone(),
            config: Arc::clone(&self.config),
            longest: plan.budget + GRACE,
            plan,
            purpose,
            state: self.state.path().to_owned(),
            policy: self.files.policy.clone(),
            bounds: Bounds::PERSON,
            held: None,
        }
    }
}

fn say(schedule: &Schedule, packed: &Packed) {
    let of = of_target(packed.target.as_deref());
    terminal::say(&format!("{}: what was seen{of} is in the bundle {}", schedule.name, packed.entry.bundle.short()));
}
