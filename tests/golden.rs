//! What the lab's networks showed, recorded, and what the diagnosis makes of it: rules are tested against real evidence in
//! milliseconds and without a privilege.
//!
//! `cargo lab --write-golden` records evidence and findings anew. After a change of the rules alone, `NETSONDE_WRITE_GOLDEN=1 cargo test
//! -p netsonde-tests golden` writes the findings anew from the evidence as it was. Either way the difference is to be read.

use netsonde_tests::evidence::{Recorded, findings_of, folder};
use std::fs;

#[test]
fn recorded_evidence_leads_to_the_findings_that_were_judged() {
    let write = std::env::var_os("NETSONDE_WRITE_GOLDEN").is_some();
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json.gz")?.to_owned()))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no evidence is recorded: cargo lab --write-golden");
    let mut changed = Vec::new();
    for name in names {
        let findings = findings_of(&Recorded::read(&name).unwrap());
        let path = folder().join(format!("{name}.findings.txt"));
        if write {
            fs::write(&path, &findings).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != findings {
            changed.push(format!("{name}:\n{findings}"));
        }
    }
    assert!(changed.is_empty(), "{} scenarios are diagnosed otherwise than was judged:\n{}", changed.len(), changed.join("\n"));
}
