//! What the lab's networks showed, recorded, and what the diagnosis makes of it: rules are tested against real evidence in
//! milliseconds and without a privilege.
//!
//! `cargo lab --write-golden` records evidence and findings anew. After a change of the rules alone, `NETSONDE_WRITE_GOLDEN=1 cargo test
//! -p netsonde-tests golden` writes the findings anew from the evidence as it was. Either way the difference is to be read.

use netsonde_tests::evidence::{Recorded, findings_of, folder};
use std::fs;
use std::num::NonZero;
use std::thread;

#[test]
fn recorded_evidence_leads_to_the_findings_that_were_judged() {
    let write = std::env::var_os("NETSONDE_WRITE_GOLDEN").is_some();
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json.gz")?.to_owned()))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no evidence is recorded: cargo lab --write-golden");
    let diagnosed = diagnosed(&names);
    let mut changed = Vec::new();
    for (name, findings) in names.iter().zip(diagnosed) {
        let path = folder().join(format!("{name}.findings.txt"));
        if write {
            fs::write(&path, &findings).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != findings {
            changed.push(format!("{name}:\n{findings}"));
        }
    }
    assert!(changed.is_empty(), "{} scenarios are diagnosed otherwise than was judged:\n{}", changed.len(), changed.join("\n"));
}

/// The findings of each scenario, in their order: all processors take turns.
fn diagnosed(names: &[String]) -> Vec<String> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let share = |worker: usize| -> Vec<(usize, String)> {
        let mine = names.iter().enumerate().skip(worker).step_by(workers);
        mine.map(|(at, name)| (at, findings_of(&Recorded::read(name).unwrap()))).collect()
    };
    let mut found: Vec<(usize, String)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || share(worker))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, findings)| findings).collect()
}
