use crate::Failure;
use crate::settings::Run;
use serde::Deserialize;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

/// The guest agent gives up after five minutes; what was measured by then is still to be told.
const LONGEST_RUN: Duration = Duration::from_secs(240);
/// What a run leaves for packing and sending.
const BUDGET: &str = "210s";
const LOOK: Duration = Duration::from_millis(100);
/// A document has some hundred kilobytes; what goes on for longer is none.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// Not sent, though asked for: the bundle is kept.
const NOT_UPLOADED: i32 = 5;

/// What a call of the program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

/// Calls the program, with what it is to read on standard input, and ends it where it takes longer than any operation may.
///
/// # Errors
/// Where it cannot be started or takes too long.
pub(crate) fn call(program: &Path, arguments: &[&str], input: &str) -> Result<Said, Failure> {
    let started =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(Failure::of(format!("starting {}", program.display())))?;
    // Both are read while it runs, so that a full pipe never holds it up.
    let (output, errors) = (read(child.stdout.take()), read(child.stderr.take()));
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want to hear is told nothing.
        let _ = stdin.write_all(input.as_bytes());
    }
    let code = wait(&mut child)?;
    let ended = |reading: thread::JoinHandle<Vec<u8>>| reading.join().unwrap_or_default();
    Ok(Said { code, output: ended(output), errors: String::from_utf8_lossy(&ended(errors)).trim().to_owned() })
}

/// The same, where only success will do.
///
/// # Errors
/// As [`call`], and what the program said where its exit code is not 0.
pub(crate) fn demand(what: &str, program: &Path, arguments: &[&str], input: &str) -> Result<(), Failure> {
    let said = call(program, arguments, input)?;
    if said.code == Some(0) { Ok(()) } else { Err(Failure::Unusable(format!("{what}: {}", said.errors))) }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child) -> Result<Option<i32>, Failure> {
    for _ in 0..LONGEST_RUN.as_millis() / LOOK.as_millis() {
        if let Some(status) = child.try_wait().map_err(Failure::of("waiting for netsonde"))? {
            return Ok(status.code());
        }
        sleep(LOOK);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(Failure::Failed(format!("netsonde did not end within {} s", LONGEST_RUN.as_secs())))
}

/// As much of a run's document as its status tells.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    findings: Vec<Finding>,
    bundle: Option<Bundle>,
}

#[derive(Deserialize)]
struct Finding {
    sentence: String,
    cause: String,
}

#[derive(Deserialize)]
struct Bundle {
    case_url: Option<String>,
}

/// One run; its findings in a sentence each. A ticket's run is sent to support, any other stays here.
///
/// # Errors
/// Where the run did not take place.
pub(crate) fn run(program: &Path, ticket: Option<&str>, asked: Option<&Run>) -> Result<String, Failure> {
    let mut arguments: Vec<String> = ["run", "--format", "json", "--budget", BUDGET].map(str::to_owned).into();
    match (ticket, asked) {
        (Some(_), _) => arguments.extend(["--ticket", "-", "--yes"].map(str::to_owned)),
        (None, Some(run)) => arguments.extend(words(run)),
        (None, None) => return Ok("nothing was asked for".to_owned()),
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    told(&call(program, &arguments, ticket.unwrap_or_default())?)
}

fn words(run: &Run) -> Vec<String> {
    let mut words = vec![run.set.clone(), "--no-upload".to_owned()];
    for target in &run.targets {
        words.extend(["--target".to_owned(), target.clone()]);
    }
    for (key, value) in &run.parameters {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        words.extend(["--param".to_owned(), format!("{key}={value}")]);
    }
    words
}

fn told(said: &Said) -> Result<String, Failure> {
    let Ok(document) = serde_json::from_slice::<Document>(&said.output) else {
        return Err(Failure::Unusable(format!("the run did not take place: {}", said.errors)));
    };
    let lines: Vec<String> = document
        .findings
        .iter()
        .map(|finding| format!("{} ({})", finding.sentence.trim_end_matches('.'), finding.cause))
        .collect();
    let mut text = if lines.is_empty() { "as expected: nothing was found".to_owned() } else { lines.join("; ") };
    if said.code == Some(NOT_UPLOADED) {
        text += ". The bundle could not be sent and is kept on the machine";
    }
    if let Some(case) = document.bundle.and_then(|bundle| bundle.case_url) {
        text += &format!(". Sent to support: {case}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, output: &str) -> Said {
        Said { code: Some(code), output: output.as_bytes().to_vec(), errors: "why".to_owned() }
    }

    #[test]
    fn findings_are_told_in_a_sentence_each_and_a_bundle_that_stayed_here_too() {
        let found =
            r#"{"findings":[{"sentence":"Nothing listens.","cause":"tcp.refused"}],"bundle":{"case_url":"https://s/4711"}}"#;
        assert_eq!(told(&said(1, found)).unwrap(), "Nothing listens (tcp.refused). Sent to support: https://s/4711");
        assert!(told(&said(5, r#"{"findings":[]}"#)).unwrap().ends_with("kept on the machine"));
        assert_eq!(told(&said(2, "")).unwrap_err(), Failure::Unusable("the run did not take place: why".to_owned()));
    }

    #[test]
    fn a_run_is_asked_for_by_set_targets_and_parameters() {
        let run: Run =
            serde_json::from_str(r#"{"set":"port","targets":["a:1","b:2"],"parameters":{"count":3,"name":"x y"}}"#).unwrap();
        let wanted = ["port", "--no-upload", "--target", "a:1", "--target", "b:2", "--param", "count=3", "--param", "name=x y"];
        assert_eq!(words(&run), wanted);
    }
}
