//! The agent's own spool on a disk that is cut at every step. What was said to be done is held against what the next process finds.

use crate::tally::Tally;
use netsonde_agent::faults::{Inventory, Keeper};
use netsonde_disk::{Crash, Disk, Fault, Simulated};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// Of the disks that chance leaves, for each cut.
const SEEDS: u64 = 6;
/// The same each time, so that a run means the same.
const SEED: u64 = 0x6e65_7473;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Keep { number: u64, size: u16, schedule: bool },
    Deliver(u64),
    Again(u64),
    Fail(u64),
    Remove(u64),
    State(u64),
}

/// A bundle as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Must {
    bytes: Vec<u8>,
    failed: u32,
    receipt: Option<Vec<u8>>,
    /// A schedule made it.
    schedule: bool,
}

/// What was said to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    bundles: BTreeMap<u64, Must>,
    state: Option<u64>,
}

impl Said {
    fn after(&self, deed: Deed) -> Self {
        let mut after = self.clone();
        match deed {
            Deed::Keep { number, size, schedule } => {
                after.bundles.insert(number, Must { bytes: bytes(number, size), failed: 0, receipt: None, schedule });
            }
            Deed::Deliver(number) => {
                if let Some(must) = after.bundles.get_mut(&number) {
                    must.receipt = Some(receipt(number));
                }
            }
            Deed::Again(number) => {
                if let Some(must) = after.bundles.get_mut(&number) {
                    must.receipt = Some(newer_receipt(number));
                }
            }
            Deed::Fail(number) => {
                if let Some(must) = after.bundles.get_mut(&number) {
                    must.failed += 1;
                }
            }
            Deed::Remove(number) => drop(after.bundles.remove(&number)),
            Deed::State(number) => after.state = Some(number),
        }
        after
    }

    /// A deed makes sense only where its bundle waits, or, for a new one, does not.
    fn allows(&self, deed: Deed) -> bool {
        let waits = |number: &u64| self.bundles.get(number).is_some_and(|must| must.receipt.is_none());
        match deed {
            Deed::Keep { number, .. } => !self.bundles.contains_key(&number),
            Deed::Deliver(number) | Deed::Fail(number) | Deed::Remove(number) => waits(&number),
            Deed::Again(number) => self.bundles.get(&number).is_some_and(|must| must.receipt.is_some()),
            Deed::State(_) => true,
        }
    }

    /// What contradicts it in what was found. Where the disk was full, what was delivered and what schedules made may have gone, and nothing else.
    fn against(&self, found: &Inventory, was_full: bool) -> Verdict {
        let mut verdict = Verdict::default();
        let mut seen = BTreeSet::new();
        for one in &found.bundles {
            if !seen.insert(one.number) {
                verdict.duplicated.push(format!("bundle {} is there twice", one.number));
            }
            match self.bundles.get(&one.number) {
                None => verdict.lost.push(format!("bundle {} was removed, or never kept, and is there", one.number)),
                Some(must) if must.bytes != one.bytes => verdict.lost.push(format!("bundle {} has other bytes", one.number)),
                Some(must) if must.receipt != one.receipt => verdict.lost.push(format!("bundle {} lost its receipt", one.number)),
                Some(must) if must.failed != one.failed => {
                    verdict.lost.push(format!("bundle {} forgot its failures", one.number))
                }
                Some(_) => {}
            }
        }
        let may_go = |must: &Must| was_full && (must.schedule || must.receipt.is_some());
        let gone = self.bundles.iter().filter(|(number, must)| !seen.contains(number) && !may_go(must));
        verdict.lost.extend(gone.map(|(number, _)| format!("bundle {number} is gone")));
        verdict.lost.extend(found.damaged.iter().map(|reason| format!("a bundle is damaged: {reason}")));
        if self.state != found.state {
            verdict.lost.push(format!("the state is {:?} and was {:?}", found.state, self.state));
        }
        verdict
    }
}

#[derive(Clone, Debug, Default)]
struct Verdict {
    lost: Vec<String>,
    duplicated: Vec<String>,
}

impl Verdict {
    fn is_fine(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty()
    }
}

fn bytes(number: u64, size: u16) -> Vec<u8> {
    (0..size).map(|place| (number as u16 ^ place.wrapping_mul(31)) as u8).collect()
}

fn receipt(number: u64) -> Vec<u8> {
    format!("receipt of {number}").into_bytes()
}

fn newer_receipt(number: u64) -> Vec<u8> {
    format!("newer receipt of {number}").into_bytes()
}

fn perform(keeper: &Keeper, deed: Deed) -> io::Result<()> {
    match deed {
        Deed::Keep { number, size, schedule } => keeper.keep(number, &bytes(number, size), schedule),
        Deed::Deliver(number) => keeper.deliver(number, &receipt(number)),
        Deed::Again(number) => keeper.deliver_again(number, &newer_receipt(number)),
        Deed::Fail(number) => keeper.fail(number),
        Deed::Remove(number) => keeper.remove(number),
        Deed::State(number) => keeper.write_state(number),
    }
}

/// One life of a process: what it did until it died, or to its end.
struct Life {
    said: Said,
    /// As it would be had the deed that was cut short been done.
    or: Said,
    /// What is left to do.
    left: Vec<Deed>,
}

fn live(disk: &Simulated, said: Said, deeds: &[Deed], tally: &mut Tally) -> Life {
    let files: Arc<dyn netsonde_disk::Files> = Arc::new(disk.clone());
    let mut said = said;
    let Ok(keeper) = Keeper::begin(Disk::of(files)) else { return Life { or: said.clone(), said, left: deeds.to_vec() } };
    for (place, &deed) in deeds.iter().enumerate() {
        if !said.allows(deed) {
            continue;
        }
        match perform(&keeper, deed) {
            Ok(()) => {
                tally.acknowledged += 1;
                said = said.after(deed);
            }
            Err(_) => {
                let left = deeds.get(place..).unwrap_or_default().to_vec();
                return Life { or: said.after(deed), said, left };
            }
        }
    }
    Life { or: said.clone(), said, left: Vec::new() }
}

/// What the next process finds, and which of the two it is.
fn settle(disk: &Simulated, life: &Life, was_full: bool) -> Result<Said, Verdict> {
    let damaged = |why: String| Verdict { lost: vec![why], duplicated: Vec::new() };
    let files: Arc<dyn netsonde_disk::Files> = Arc::new(disk.clone());
    let keeper = Keeper::begin(Disk::of(files)).map_err(|error| damaged(format!("the next process cannot begin: {error}")))?;
    let found = keeper.inventory().map_err(damaged)?;
    let verdict = life.said.against(&found, was_full);
    if verdict.is_fine() {
        Ok(life.said.clone())
    } else if life.or.against(&found, was_full).is_fine() {
        Ok(life.or.clone())
    } else {
        Err(verdict)
    }
}

/// A history in which every kind of deed comes, on an empty spool and on one that holds something.
const HISTORY: [Deed; 12] = [
    Deed::Keep { number: 1, size: 900, schedule: false },
    Deed::State(7),
    Deed::Fail(1),
    Deed::Keep { number: 2, size: 40, schedule: true },
    Deed::Deliver(1),
    Deed::Fail(2),
    Deed::Keep { number: 3, size: 300, schedule: true },
    Deed::Remove(2),
    Deed::State(8),
    Deed::Deliver(3),
    Deed::Again(1),
    Deed::Keep { number: 4, size: 10, schedule: false },
];

fn crashes() -> impl Iterator<Item = Crash> {
    [Crash::Process, Crash::PowerNothing, Crash::PowerNames].into_iter().chain((0..SEEDS).map(Crash::Power))
}

/// The names of the steps of the whole history, and how many it takes.
fn steps() -> Vec<String> {
    let disk = Simulated::default();
    live(&disk, Said::default(), &HISTORY, &mut Tally::default());
    disk.steps()
}

/// Cuts the history at every step and with every crash, then goes on with what is left and cuts the power at the end. Of a sync that is left
/// out, the first loss says enough.
fn cut_everywhere(ignore: Option<&str>) -> Tally {
    let mut tally = Tally::default();
    let count = steps().len() as u64;
    for cut in 0..=count {
        if ignore.is_some() && !(tally.lost.is_empty() && tally.duplicated.is_empty()) {
            break;
        }
        for crash in crashes() {
            let disk = Simulated::default();
            let fault = |cut| Fault { cut, ignore: ignore.map(str::to_owned), ..Fault::default() };
            disk.plan(fault(Some(cut)));
            let life = live(&disk, Said::default(), &HISTORY, &mut tally);
            if let Some(step) = disk.cut_at() {
                tally.killed(&step);
            }
            let next = disk.after(crash);
            next.plan(fault(None));
            let how = |verdict: &str| format!("after {crash:?} at {}: {verdict}", disk.cut_at().unwrap_or("the end".to_owned()));
            match settle(&next, &life, false) {
                Err(verdict) => note(&mut tally, verdict, how),
                // A process that died left names that no later one may take for safe.
                Ok(said) => {
                    let rest = live(&next, said, &life.left, &mut tally);
                    let last = next.after(Crash::PowerNothing);
                    if let Err(verdict) = settle(&last, &rest, false) {
                        note(&mut tally, verdict, |verdict| format!("{}, then the power failed", how(verdict)));
                    }
                }
            }
        }
    }
    tally
}

fn note(tally: &mut Tally, verdict: Verdict, how: impl Fn(&str) -> String) {
    tally.lost.extend(verdict.lost.iter().map(|one| how(one)));
    tally.duplicated.extend(verdict.duplicated.iter().map(|one| how(one)));
}

/// Every step once, refused in every way: full, read-only, broken; for a moment or for good.
fn refuse_everywhere() -> Tally {
    let mut tally = Tally::default();
    let count = steps().len() as u64;
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::Other];
    for (at, kind, from_then_on) in
        (0..count).flat_map(|at| kinds.map(|kind| (at, kind))).flat_map(|(at, kind)| [(at, kind, false), (at, kind, true)])
    {
        let disk = Simulated::default();
        disk.plan(Fault { refuse: Some((at, kind)), from_then_on, ..Fault::default() });
        let life = live(&disk, Said::default(), &HISTORY, &mut tally);
        tally.faults += 1;
        for crash in [Crash::Process, Crash::PowerNothing, Crash::Power(at)] {
            let next = disk.after(crash);
            if let Err(verdict) = settle(&next, &life, kind == io::ErrorKind::StorageFull) {
                note(&mut tally, verdict, |verdict| format!("after {kind:?} at step {at}, {crash:?}: {verdict}"));
            }
        }
    }
    tally
}

/// Every step is cut, nothing is lost, and every single sync is needed: without it something is.
pub(crate) fn exhaustive() -> (Tally, Vec<String>) {
    let mut tally = cut_everywhere(None);
    let steps: BTreeSet<String> = steps().into_iter().collect();
    tally.expect_steps(steps.iter().map(String::as_str));
    tally.add(refuse_everywhere());
    let mut needed = Vec::new();
    for sync in steps.iter().filter(|step| step.starts_with("sync")) {
        let found = cut_everywhere(Some(sync));
        if found.lost.is_empty() && found.duplicated.is_empty() {
            tally.wanting.push(format!("without the step `{sync}` nothing is lost: it is not needed, or the suite is blind"));
        } else {
            needed.push(sync.clone());
        }
    }
    (tally, needed)
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let number = 1..5_u64;
    prop_oneof![
        3 => (number.clone(), 0..2_000_u16, any::<bool>()).prop_map(|(number, size, schedule)| Deed::Keep { number, size, schedule }),
        2 => number.clone().prop_map(Deed::Deliver),
        1 => number.clone().prop_map(Deed::Again),
        1 => number.clone().prop_map(Deed::Fail),
        1 => number.prop_map(Deed::Remove),
        1 => any::<u64>().prop_map(Deed::State),
    ]
}

/// Any deeds, in lives that any crash ends at any step.
pub(crate) fn random(cases: u32) -> Tally {
    let tally = std::cell::RefCell::new(Tally::default());
    let lives = prop::collection::vec((prop::collection::vec(any_deed(), 1..8), 0..90_u64, 0..8_u64), 1..6);
    let config = Config { cases, rng_seed: RngSeed::Fixed(SEED), failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&lives, |lives| {
        let mut tally = tally.borrow_mut();
        let mut disk = Simulated::default();
        let mut said = Said::default();
        for (deeds, cut, crash) in lives {
            disk.plan(Fault { cut: Some(cut), ..Fault::default() });
            let life = live(&disk, said, &deeds, &mut tally);
            if let Some(step) = disk.cut_at() {
                tally.killed(&step);
            }
            let crash = match crash {
                0 | 1 => Crash::Process,
                2 => Crash::PowerNothing,
                3 => Crash::PowerNames,
                seed => Crash::Power(seed ^ cut),
            };
            let next = disk.after(crash);
            said = settle(&next, &life, false).map_err(|verdict| TestCaseError::fail(format!("after {crash:?}: {verdict:?}")))?;
            disk = next;
        }
        Ok(())
    });
    let mut tally = tally.into_inner();
    if let Err(error) = ran {
        tally.lost.push(error.to_string());
    }
    tally
}
