use crate::Failure;
use crate::settings::{Asked, Run};
use serde::Deserialize;
use std::io::{Read, Write};
use std::path::PathBuf;
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

/// What a call of the program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

/// What calls netsonde.
pub(crate) trait Netsonde {
    /// Calls the program, with what it is to read on standard input, and ends it where it takes longer than any operation may.
    ///
    /// # Errors
    /// Where it cannot be started or takes too long.
    fn call(&self, arguments: &[&str], input: &str) -> Result<Said, Failure>;

    /// The same, where only success will do.
    ///
    /// # Errors
    /// As [`Self::call`], and what the program said where its exit code is not 0.
    fn demand(&self, what: &str, arguments: &[&str], input: &str) -> Result<(), Failure> {
        let said = self.call(arguments, input)?;
        if said.code == Some(0) { Ok(()) } else { Err(said.failed(what)) }
    }
}

impl Said {
    /// Exit codes that blame what the program was given, which is the settings: a wrong word or file, and a refusal.
    const BLAMES_SETTINGS: [i32; 2] = [2, 4];

    /// That the call failed, for whoever is to blame by its exit code.
    fn failed(&self, what: &str) -> Failure {
        let words = format!("{what}: {}", self.errors);
        match self.code {
            Some(code) if Self::BLAMES_SETTINGS.contains(&code) => Failure::Unusable(words),
            _ => Failure::Failed(words),
        }
    }
}

/// The program that lies there.
impl Netsonde for PathBuf {
    fn call(&self, arguments: &[&str], input: &str) -> Result<Said, Failure> {
        let started =
            Command::new(self).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(Failure::of(format!("starting {}", self.display())))?;
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
    state: String,
    findings: Vec<Finding>,
    unexplained: Vec<Unexplained>,
    not_measured: Vec<Gap>,
    bundle: Option<Bundle>,
}

#[derive(Deserialize)]
struct Finding {
    sentence: String,
    cause: String,
}

#[derive(Deserialize)]
struct Unexplained {
    check: String,
    what: String,
}

#[derive(Deserialize)]
struct Gap {
    check: String,
    required: bool,
    why: String,
}

/// It has a path as long as it is not delivered.
#[derive(Deserialize)]
struct Bundle {
    path: Option<String>,
    case_url: Option<String>,
}

/// One run; its findings in a sentence each. A ticket's run is sent to support, any other stays here.
///
/// # Errors
/// Where the run did not take place, or its bundle was to reach support and did not.
pub(crate) fn run(netsonde: &dyn Netsonde, asked: &Asked<'_>) -> Result<String, Failure> {
    let mut arguments: Vec<String> = ["run", "--format", "json", "--budget", BUDGET].map(str::to_owned).into();
    let ticket = match asked {
        Asked::Ticket(ticket) => {
            arguments.extend(["--ticket", "-", "--yes"].map(str::to_owned));
            Some(*ticket)
        }
        Asked::Run(run) => {
            arguments.extend(words(run));
            None
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    told(&netsonde.call(&arguments, ticket.unwrap_or_default())?, ticket.is_some())
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

/// What a run came to, and where its bundle is. The program's exit code does not tell: a problem that was found stands before a bundle
/// that was not sent.
fn told(said: &Said, to_be_sent: bool) -> Result<String, Failure> {
    let Ok(document) = serde_json::from_slice::<Document>(&said.output) else {
        return Err(said.failed("the run did not take place"));
    };
    let text = verdict(&document);
    match document.bundle {
        Some(Bundle { case_url: Some(case), .. }) if to_be_sent => Ok(format!("{text}. Sent to support: {case}")),
        Some(Bundle { path: None, .. }) if to_be_sent => Ok(format!("{text}. Sent to support")),
        bundle if to_be_sent => {
            let path = bundle.and_then(|bundle| bundle.path);
            let kept = path.map_or_else(|| "the bundle is not kept".to_owned(), |path| format!("the bundle is kept: {path}"));
            let why = said.errors.lines().rev().find_map(|line| line.strip_prefix("netsonde: "));
            let why = why.map(|why| format!("{why}; ")).unwrap_or_default();
            Err(Failure::Failed(format!("{text}. NOT sent to support: {why}{kept}")))
        }
        Some(Bundle { path: Some(_), .. }) => Ok(text),
        _ => Ok(format!("{text}. Its bundle could not be kept")),
    }
}

/// A sentence for each finding, failure without an explanation and, where they leave no verdict, gap.
fn verdict(document: &Document) -> String {
    let sentence = |text: &str| text.trim_end_matches('.').to_owned();
    let mut lines: Vec<String> =
        document.findings.iter().map(|finding| format!("{} ({})", sentence(&finding.sentence), finding.cause)).collect();
    let unexplained = document.unexplained.iter();
    lines.extend(
        unexplained.map(|failure| format!("{}: {} (no known cause explains it)", failure.check, sentence(&failure.what))),
    );
    let opening = match document.state.as_str() {
        "as_expected" if lines.is_empty() => Some("as expected: nothing was found".to_owned()),
        "as_expected" => Some("as expected, but noticed".to_owned()),
        "indeterminate" => {
            let gaps = document.not_measured.iter().filter(|gap| gap.required);
            let gaps: Vec<String> = gaps.map(|gap| format!("{}: {}", gap.check, sentence(&gap.why))).collect();
            Some(format!("no verdict, because what is needed for one could not be measured ({})", gaps.join("; ")))
        }
        _ => None,
    };
    opening.into_iter().chain(lines).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = r#""state":"explained","findings":[{"sentence":"Nothing listens.","cause":"tcp.refused"}],"unexplained":[],"not_measured":[]"#;

    fn said(output: &str) -> Said {
        Said { code: Some(1), output: output.into(), errors: "netsonde: sending failed: why\n  next: x".to_owned() }
    }

    fn refused(bundle: &str) -> Said {
        said(&format!("{{{REFUSED},\"bundle\":{bundle}}}"))
    }

    #[test]
    fn findings_are_told_in_a_sentence_each_and_where_their_bundle_is() {
        let (kept, sent) = (r#"{"path":"b.tar.gz"}"#, r#"{"case_url":"https://s/4711"}"#);
        assert_eq!(told(&refused(kept), false).unwrap(), "Nothing listens (tcp.refused)");
        assert_eq!(told(&refused("null"), false).unwrap(), "Nothing listens (tcp.refused). Its bundle could not be kept");
        assert_eq!(told(&refused(sent), true).unwrap(), "Nothing listens (tcp.refused). Sent to support: https://s/4711");
        assert_eq!(told(&refused("{}"), true).unwrap(), "Nothing listens (tcp.refused). Sent to support");
    }

    #[test]
    fn a_run_that_did_not_take_place_blames_the_settings_where_the_program_does() {
        for (code, blamed) in [(Some(2), 53), (Some(4), 53), (Some(6), 1), (Some(1), 1), (None, 1)] {
            let failure = told(&Said { code, ..said("") }, true).unwrap_err();
            assert!(failure.words().starts_with("the run did not take place: "), "{failure:?}");
            assert_eq!(failure.code(), blamed, "{code:?}");
        }
    }

    #[test]
    fn a_bundle_that_did_not_reach_support_is_no_success_whatever_was_found() {
        for (place, kept) in [(r#"{"path":"b.tar.gz"}"#, "kept: b.tar.gz"), ("null", "not kept")] {
            let wanted = format!("Nothing listens (tcp.refused). NOT sent to support: sending failed: why; the bundle is {kept}");
            assert_eq!(told(&refused(place), true).unwrap_err(), Failure::Failed(wanted));
        }
    }

    #[test]
    fn a_run_without_a_verdict_or_an_explanation_is_not_told_as_expected() {
        let of = |state: &str, unexplained: &str, gaps: &str| {
            let fields = format!(r#""state":"{state}","findings":[],"unexplained":[{unexplained}],"not_measured":[{gaps}]"#);
            told(&said(&format!(r#"{{{fields},"bundle":{{"path":"b"}}}}"#)), false).unwrap()
        };
        let gaps = r#"{"check":"port","required":true,"why":"No permission."},{"check":"extra","required":false,"why":"None."}"#;
        let failure = r#"{"check":"port","what":"It failed."}"#;
        assert_eq!(of("as_expected", "", ""), "as expected: nothing was found");
        assert_eq!(of("as_expected", failure, ""), "as expected, but noticed; port: It failed (no known cause explains it)");
        assert_eq!(
            of("indeterminate", "", gaps),
            "no verdict, because what is needed for one could not be measured (port: No permission)"
        );
        assert_eq!(of("unexplained", failure, ""), "port: It failed (no known cause explains it)");
    }

    #[test]
    fn a_run_is_asked_for_by_set_targets_and_parameters() {
        let run: Run =
            serde_json::from_str(r#"{"set":"port","targets":["a:1","b:2"],"parameters":{"count":3,"name":"x y"}}"#).unwrap();
        let wanted = ["port", "--no-upload", "--target", "a:1", "--target", "b:2", "--param", "count=3", "--param", "name=x y"];
        assert_eq!(words(&run), wanted);
    }
}
