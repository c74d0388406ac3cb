//! The commands that the documents tell a person to type, given to the real program: a renamed option must not outlive itself there.

use netsonde_tests::programs::program;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands for a person's own words in the documents, and something of that shape. The longest first.
const PLACEHOLDERS: [(&str, &str); 9] = [
    ("TARGET:PORT", "host.invalid:443"),
    ("HOST:PORT", "host.invalid:443"),
    ("TARGET", "host.invalid"),
    ("HOST", "host.invalid"),
    ("PORT", "443"),
    ("URL", "http://host.invalid/"),
    ("MX1", "mx1.invalid"),
    ("MX2", "mx2.invalid"),
    ("KIND", "tcp"),
];

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = vec![root.join("README.md")];
    for folder in ["docs", "docs/causes"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        found.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "md")),
        );
    }
    found
}

/// What stands between backticks and begins with the program's name.
fn commands(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("netsonde ") && !code.contains('\n')).collect()
}

/// The program's own words for what is wrong with the command, if anything. With a target the whole run is previewed, which sends nothing;
/// otherwise the words up to the end are read, and help is shown.
fn complaint(command: &str) -> Option<String> {
    let mut words = Vec::new();
    // What a person is to think of in an option's place cannot be tried.
    let tried = command.split_once('…').map_or(command, |(before, _)| before.split(" --").next().unwrap_or_default());
    for word in tried.split_whitespace().skip(1) {
        let replaced = PLACEHOLDERS.iter().fold(word.to_owned(), |word, (from, to)| word.replace(from, to));
        words.push(replaced);
    }
    let is_whole = !command.contains('…') && !command.contains("FILE");
    let previewed = words.first().is_some_and(|word| word == "run") && words.iter().any(|word| word == "--target") && is_whole;
    let state = tempfile::tempdir().unwrap();
    let mut run = Command::new(program("netsonde").unwrap());
    run.args(&words).arg(if previewed { "--preview" } else { "--help" }).env("NETSONDE_STATE_DIR", state.path());
    let output = run.output().unwrap();
    (!output.status.success()).then(|| format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[test]
fn every_documented_command_is_one_that_the_program_takes() {
    let mut tried = 0;
    let mut complaints = Vec::new();
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for command in commands(&text) {
            tried += 1;
            complaints.extend(complaint(command).map(|words| format!("{}: {words}", path.display())));
        }
    }
    assert!(tried > 40, "{tried} commands were found");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
