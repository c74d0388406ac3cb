//! One target for every parser: `FUZZ_PARSER` names it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

type Parser = (&'static str, fn(&[u8]));

/// Every parser of every crate.
const LISTS: [&[Parser]; 3] =
    [netsonde_contract::fuzzing::PARSERS, netsonde_probes::fuzzing::PARSERS, netsonde_report::fuzzing::PARSERS];

static CHOSEN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_PARSER").unwrap_or_default();
    match LISTS.into_iter().flatten().find(|(name, _)| *name == wanted) {
        Some((_, parse)) => *parse,
        None => {
            eprintln!("FUZZ_PARSER={wanted} names no parser; the folders of tests/fuzz/seeds have their names");
            std::process::exit(2);
        }
    }
});

fuzz_target!(|bytes: &[u8]| CHOSEN(bytes));
