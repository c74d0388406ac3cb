//! What writes to a disk, cut at each of its steps. Whoever is tried does numbered deeds, one after the other, and tells afterwards which of them are there.

use crate::tally::Tally;
use netsonde_disk::{Crash, Disk, Fault, Files, Simulated};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Of the disks that chance leaves, for each cut.
const SEEDS: u64 = 4;

/// Something of the product's that writes.
pub(crate) trait Subject: Sized {
    /// Its deeds, which build on each other in this order.
    const DEEDS: u64;
    /// A process begins on this disk.
    fn begin(disk: Disk) -> io::Result<Self>;
    /// `Ok` says that it stays. What was cut short is done again, whether or not it is there.
    fn perform(&self, deed: u64) -> io::Result<()>;
    /// Which deeds are there, byte for byte.
    ///
    /// # Errors
    /// Where something is there and is not what was written.
    fn present(&self) -> Result<BTreeSet<u64>, String>;
}

/// What a process did until it died, or to its end.
struct Life {
    /// All below this are done.
    done: u64,
    why: Option<io::Error>,
}

fn live<S: Subject>(disk: &Simulated, from: u64, tally: &mut Tally) -> Life {
    let mut life = Life { done: from, why: None };
    let subject = match S::begin(on(disk)) {
        Ok(subject) => subject,
        Err(error) => return Life { why: Some(error), ..life },
    };
    while life.done < S::DEEDS {
        match subject.perform(life.done) {
            Ok(()) => {
                tally.acknowledged += 1;
                life.done += 1;
            }
            Err(error) => return Life { why: Some(error), ..life },
        }
    }
    life
}

fn on(disk: &Simulated) -> Disk {
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    Disk::of(files)
}

/// Everything that was said to be done is there, and nothing beyond what was being done.
fn settle<S: Subject>(disk: &Simulated, done: u64) -> Result<(), String> {
    let subject = S::begin(on(disk)).map_err(|error| format!("the next process cannot begin: {error}"))?;
    let present = subject.present()?;
    if let Some(gone) = (0..done).find(|deed| !present.contains(deed)) {
        return Err(format!("deed {gone} of {done} is gone"));
    }
    match present.iter().find(|deed| **deed > done) {
        Some(strange) => Err(format!("deed {strange} is there and was never begun")),
        None => Ok(()),
    }
}

fn steps<S: Subject>() -> Vec<String> {
    let disk = Simulated::default();
    live::<S>(&disk, 0, &mut Tally::default());
    disk.steps()
}

/// Of a sync that is left out, the first loss says enough.
fn cut_everywhere<S: Subject>(ignore: Option<&str>) -> Tally {
    let mut tally = Tally::default();
    let crashes = || [Crash::Process, Crash::PowerNothing, Crash::PowerNames].into_iter().chain((0..SEEDS).map(Crash::Power));
    for cut in 0..=steps::<S>().len() as u64 {
        if ignore.is_some() && !tally.lost.is_empty() {
            break;
        }
        let disk = Simulated::default();
        let fault = |cut| Fault { cut, ignore: ignore.map(str::to_owned), ..Fault::default() };
        disk.plan(fault(Some(cut)));
        let life = live::<S>(&disk, 0, &mut tally);
        let at = disk.cut_at();
        for crash in crashes() {
            if let Some(step) = &at {
                tally.killed(step);
            }
            let next = disk.after(crash);
            next.plan(fault(None));
            let how = |verdict: String| format!("after {crash:?} at {}: {verdict}", at.as_deref().unwrap_or("the end"));
            match settle::<S>(&next, life.done) {
                Err(verdict) => tally.lost.push(how(verdict)),
                // A process that died left names that no later one may take for safe: what was not acknowledged is done again.
                Ok(()) => {
                    let rest = live::<S>(&next, life.done, &mut tally);
                    if let Some(why) = &rest.why {
                        tally.lost.push(how(format!("the next process cannot go on: {why}")));
                    }
                    if let Err(verdict) = settle::<S>(&next.after(Crash::PowerNothing), rest.done) {
                        tally.lost.push(how(format!("{verdict}, after the power failed once more")));
                    }
                }
            }
        }
    }
    tally
}

/// Every step once, refused in every way, for a moment or for good.
fn refuse_everywhere<S: Subject>() -> Tally {
    let mut tally = Tally::default();
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::Other];
    for at in 0..steps::<S>().len() as u64 {
        for (kind, from_then_on) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let disk = Simulated::default();
            disk.plan(Fault { refuse: Some((at, kind)), from_then_on, ..Fault::default() });
            let life = live::<S>(&disk, 0, &mut tally);
            tally.faults += 1;
            for crash in [Crash::Process, Crash::PowerNothing, Crash::Power(at)] {
                if let Err(verdict) = settle::<S>(&disk.after(crash), life.done) {
                    tally.lost.push(format!("after {kind:?} at step {at}, {crash:?}: {verdict}"));
                }
            }
        }
    }
    tally
}

/// Every step is cut and refused, nothing is lost, and every single sync is needed: without it something is. Names of syncs that are there for
/// other reasons are given.
pub(crate) fn exhaustive<S: Subject>(not_needed: &[&str]) -> (Tally, Vec<String>) {
    let mut tally = cut_everywhere::<S>(None);
    let steps: BTreeSet<String> = steps::<S>().into_iter().collect();
    tally.expect_steps(steps.iter().map(String::as_str));
    tally.add(refuse_everywhere::<S>());
    let mut needed = Vec::new();
    for sync in steps.iter().filter(|step| step.starts_with("sync") && !not_needed.contains(&step.as_str())) {
        if cut_everywhere::<S>(Some(sync)).lost.is_empty() {
            tally.wanting.push(format!("without the step `{sync}` nothing is lost: it is not needed, or the suite is blind"));
        } else {
            needed.push(sync.clone());
        }
    }
    (tally, needed)
}
