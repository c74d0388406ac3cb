use super::{Place, RunCommand, Sending};
use crate::exit::{self, BundleFate};
use crate::format::Format;
use crate::history::{Recorded, samples};
use crate::interruption::Interruption;
use crate::measurement::{Settings, measure};
use crate::stop::Stop;
use crate::{preview, terminal};
use clap::Args;
use jiff::SignedDuration;
use netsonde_contract::document::Document;
use netsonde_contract::history::{CheckHistory, MAX_SAMPLES, Sample, Series};
use netsonde_contract::redaction::Level;
use netsonde_contract::set::Plan;
use netsonde_probes::clock::Clock;
use std::collections::BTreeMap;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  netsonde watch web --target https://shop.example/ --until-fail
  netsonde watch port --target db.example:5432 --until-fail --every 10s --longest 48h";
/// Faster would measure the measuring.
const SHORTEST: Duration = Duration::from_secs(1);
/// Who waits longer has a schedule.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Of each check the newest of these stay in memory; the bundle carries no more of all together.
const KEPT: usize = MAX_SAMPLES;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::command) struct WatchCommand {
    /// End with the first run in which something is wrong, and make its bundle. Without it, go on to the end.
    #[arg(long, help_heading = "Watching")]
    until_fail: bool,
    /// From the beginning of one run to that of the next, such as 10s or 5m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, help_heading = "Watching")]
    every: Duration,
    /// End after so long, whatever was seen.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time, help_heading = "Watching")]
    longest: Duration,
    #[command(flatten)]
    run: RunCommand,
}

/// What was measured so far.
#[derive(Default)]
struct Past {
    checks: BTreeMap<Series, Vec<Sample>>,
    rounds: u32,
    failed: u32,
}

impl WatchCommand {
    pub(in crate::command) fn execute(self) -> Result<u8, Stop> {
        if self.run.ticket.is_some() {
            return Err(Stop::usage("a ticket is for one run, and a watch is many")
                .next("watch without it; when the fault shows: netsonde run --ticket -"));
        }
        let plan = self.run.plan(None)?;
        if self.run.preview {
            terminal::output(&preview::describe(&plan, self.run.level(), None, false, !self.run.no_follow_up))?;
            return Ok(exit::AS_EXPECTED);
        }
        let (trust, origins) = (self.run.measuring.trust()?, self.run.measuring.origins()?);
        self.run.check_out()?;
        let kept = match self.run.level() {
            Level::Strict => self.run.open_state(true)?,
            _ => Place { state: None, key: None },
        };
        let settings = self.run.settings(trust, origins, None, self.run.printed(&kept)?, &plan);
        crate::command::block_on(self.watch(&plan, settings))
    }

    async fn watch(&self, plan: &Plan, mut settings: Settings) -> Result<u8, Stop> {
        let (interruption, clock, mut past) = (Interruption::listen(), Clock::start(), Past::default());
        if settings.format == Format::Jsonl {
            // Observations of run after run would be no document.
            settings.format = Format::Human;
        }
        loop {
            let began = clock.now();
            let mut measured = measure(plan, &settings, &interruption).await?;
            let is_wrong = past.take(&measured.document);
            terminal::say(&format!("{}  {}", measured.document.run.began, words(&measured.printed.of(&measured.document).0)));
            let is_over = measured.document.run.interrupted || clock.now() + self.every > self.longest;
            if is_over || is_wrong && self.until_fail {
                terminal::say(&past.summary(clock.now()));
                measured.history = Some(past.into_history());
                let place = self.run.open_state(true)?;
                return self.run.finish(measured, None, Sending::No, place, None, &interruption).await;
            }
            tokio::select! {
                () = tokio::time::sleep((began + self.every).saturating_sub(clock.now())) => {}
                () = interruption.came() => {
                    terminal::say(&past.summary(clock.now()));
                    measured.history = Some(past.into_history());
                    let place = self.run.open_state(true)?;
                    self.run.finish(measured, None, Sending::No, place, None, &interruption).await?;
                    return Ok(exit::INTERRUPTED);
                }
            }
        }
    }
}

impl Past {
    /// Notes a run; whether anything was wrong in it. An interrupted one is half a run and proves nothing.
    fn take(&mut self, document: &Document) -> bool {
        if document.run.interrupted {
            return false;
        }
        self.rounds += 1;
        for (series, sample) in samples(&format!("watch {}", document.run.set.name), document) {
            let known = self.checks.entry(series).or_default();
            known.push(sample);
            if known.len() > KEPT {
                known.remove(0);
            }
        }
        let is_wrong = exit::code(document, BundleFate::InPlace) == exit::FOUND;
        self.failed += u32::from(is_wrong);
        is_wrong
    }

    fn summary(&self, took: Duration) -> String {
        let took = SignedDuration::from_secs(i64::try_from(took.as_secs()).unwrap_or(i64::MAX));
        format!("Something was wrong in {} of {} runs, in {took:#}.", self.failed, self.rounds)
    }

    fn into_history(self) -> netsonde_contract::history::History {
        let checks = self.checks.into_iter().map(|(series, samples)| CheckHistory { series, samples }).collect();
        Recorded { checks, changes: Vec::new() }.document()
    }
}

/// The first thing that is wrong, in a few words.
fn words(document: &Document) -> String {
    match (document.findings.first(), document.unexplained.first()) {
        (Some(finding), _) => finding.sentence.clone(),
        (None, Some(failure)) => format!("{} failed: {}", failure.check, failure.what),
        (None, None) => "as expected".to_owned(),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    match parsed.ok().and_then(|signed| Duration::try_from(signed).ok()) {
        Some(time) if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
        Some(_) => Err("give 1s to 168h".to_owned()),
        None => Err("write it as 10s, 5m or 2h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_within_their_bounds() {
        assert_eq!(parse_time("30s"), Ok(Duration::from_secs(30)));
        for wrong in ["", "500ms", "169h", "often"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
