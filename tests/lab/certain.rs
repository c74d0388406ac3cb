//! What a scenario file may not leave to chance: it is run a thousand times and has to be right each time, so that its fault must show
//! in every sample, and no time may lie near the threshold by which it is judged.
//!
//! Networks that are drawn may: what chance hides in them is counted.

use super::cable::Impairment;
use super::scenario::Scenario;
use anyhow::{Result, bail};

/// Of the twenty pings of a set at least four show what happens to one packet in so many.
const MOST_IN_A_RUN: f64 = 5.0;
/// A time counts as far from a threshold from here on, as a part of the threshold.
const MARGIN: f64 = 0.3;
/// Round trips from which on a way counts as far, in milliseconds (`FAR_ROUND_TRIP_US` of the rules).
const FAR_MS: f64 = 300.0;
/// A first byte from which on a server counts as slow, in milliseconds (`SLOW_FIRST_BYTE_US`).
const SLOW_MS: f64 = 750.0;
/// Jitter from which on it is felt, in milliseconds (`JITTER_US`).
const JITTER_MS: f64 = 20.0;
/// A wait from which on packets count as waiting in a queue, in milliseconds (`CONGESTED_WAIT_US`).
const WAIT_MS: f64 = 50.0;

/// # Errors
/// Where something in the scenario happens by chance, or nearly does not happen.
pub(crate) fn check(scenario: &Scenario) -> Result<()> {
    let faults = || scenario.fault.iter().chain(&scenario.oddity);
    let of_faults = faults().flat_map(|fault| &fault.cable);
    of_faults.chain(&scenario.cable).try_for_each(|impairment| check_cable(scenario, impairment))?;
    if faults().any(|fault| fault.nft.contains("numgen random")) {
        bail!("`numgen random` drops by chance: `numgen inc` drops every nth");
    }
    let twin = scenario.twin.as_ref().map(|twin| format!("{twin}b"));
    if !scenario.in_turn && faults().any(|fault| Some(&fault.node) == twin.as_ref()) {
        bail!(
            "by the hash of six connections all or none may take the broken way: `in_turn = true` sends every second one there"
        );
    }
    for argument in scenario.ask.iter().chain(scenario.ask_off.iter().flatten()) {
        let slow = argument.split_once("/slow/").and_then(|(_, ms)| ms.parse().ok());
        far_from(slow.unwrap_or_default(), SLOW_MS, "the server's pause")?;
    }
    Ok(())
}

fn check_cable(scenario: &Scenario, impairment: &Impairment) -> Result<()> {
    for share in impairment.shares().into_iter().filter(|share| *share > 0.0 && *share < 1.0) {
        let run = 1.0 / share;
        if !impairment.evenly {
            bail!(
                "a share of {share} may not happen in any packet of a sample: `evenly = true` makes it happen in one of {run:.0}"
            );
        }
        if run > MOST_IN_A_RUN || (run - run.round()).abs() > 0.001 {
            bail!("a share of {share} is none that falls evenly: one in two to one in {MOST_IN_A_RUN} does");
        }
    }
    if impairment.flows > 0.0 && impairment.flows < 1.0 {
        bail!("a share of the flows may be none of those that are made: `in_turn` of a twin hits every second one");
    }
    far_from(2.0 * impairment.delay_ms, FAR_MS, "the round trip")?;
    if scenario.notice.as_deref() == Some("path.jitter") {
        // One direction alone makes a tenth of the packets later than the first ones by more than this.
        far_from(impairment.jitter_ms, JITTER_MS, "the jitter")?;
    }
    let waits = scenario.expect.as_ref().is_some_and(|expect| expect.cause == "path.congestion");
    if waits && impairment.jitter_ms > 0.0 {
        bail!("jitter makes a queue by chance: `queue_ms` and `period_ms` make one that fills and empties");
    }
    // Half of the time in the queue lies above half of its depth.
    far_from(impairment.queue_ms / 2.0, WAIT_MS, "the usual wait")
}

fn far_from(value: f64, threshold: f64, what: &str) -> Result<()> {
    if (value - threshold).abs() < threshold * MARGIN {
        bail!("{what} is {value} ms, too near to the threshold of {threshold} ms to be judged alike each time");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &str) -> String {
        let text = format!("about = \"\"\nask = [\"run\"]\n{lines}");
        check(&toml::from_str(&text).unwrap()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn cable(settings: &str) -> String {
        refused(&format!("[[fault]]\ncable = [{{ between = [\"r1\", \"r2\"], {settings} }}]"))
    }

    #[test]
    fn loss_that_may_leave_a_sample_out_is_refused() {
        assert!(cable("loss = 0.25").contains("may not happen"));
        assert!(cable("loss = 0.3, evenly = true").contains("none that falls evenly"));
        assert!(cable("duplicate = 0.05, evenly = true").contains("none that falls evenly"));
        assert_eq!(cable("loss = 0.2, evenly = true"), "");
    }

    #[test]
    fn a_way_that_a_hash_chooses_and_drops_by_dice_are_refused() {
        let fault = "[[fault]]\nnode = \"r2b\"\nnft = \"forward meta l4proto tcp drop\"";
        assert!(refused(&format!("twin = \"r2\"\n{fault}")).contains("in_turn"));
        assert_eq!(refused(&format!("twin = \"r2\"\nin_turn = true\n{fault}")), "");
        assert!(refused("[[fault]]\nnft = \"forward numgen random mod 4 == 0 drop\"").contains("numgen inc"));
        assert!(cable("down = true, flows = 0.5").contains("share of the flows"));
    }

    #[test]
    fn times_near_a_threshold_are_refused() {
        assert!(cable("delay_ms = 160").contains("the round trip is 320 ms"));
        assert!(cable("queue_ms = 120, period_ms = 600").contains("the usual wait"));
        assert_eq!(cable("delay_ms = 200"), "");
        let slow = Scenario { ask: vec!["http://{url}/slow/900".into()], ..Scenario::default() };
        assert!(check(&slow).is_err());
    }
}
