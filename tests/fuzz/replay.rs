//! Reads what `tests/fuzz` keeps with the ordinary compiler: every seed, and every input that once broke a parser. Compiled into the unit
//! tests of each crate that has a list of parsers.

use std::path::Path;

/// # Panics
/// Where a parser breaks a promise, has no seed, or stands in the list twice.
pub(super) fn all(parsers: &[super::Parser]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fuzz = folder.ancestors().map(|above| above.join("tests/fuzz")).find(|fuzz| fuzz.is_dir()).unwrap();
    for (at, (name, parse)) in parsers.iter().enumerate() {
        assert!(parsers[..at].iter().all(|(known, _)| known != name), "{name} stands in the list twice");
        let seeds = inputs(&fuzz.join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seed in tests/fuzz/seeds/{name}");
        for (path, input) in seeds.into_iter().chain(inputs(&fuzz.join("regressions").join(name))) {
            // The name of the input stands in the output of a test that panics.
            println!("{path}");
            parse(&input);
        }
    }
}

fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}
