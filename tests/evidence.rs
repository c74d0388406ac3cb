//! Evidence of lab trials, kept under `tests/golden`.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use netsonde_contract::control::ControlRelation;
use netsonde_contract::document::Document;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::{Diagnosis, Severity};
use netsonde_contract::id::{BundleId, RunId};
use netsonde_contract::outcome::Outcome;
use netsonde_diagnosis::{Vantage, diagnose, diagnose_against};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

/// The trials of one scenario, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recorded {
    pub trials: BTreeMap<String, Evidence>,
}

/// What the diagnosis is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evidence {
    pub environment: Environment,
    pub outcomes: Vec<Outcome>,
    /// The run that it was held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Box<Held>>,
}

/// Another run, and what it is to the one that is diagnosed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    pub relation: ControlRelation,
    pub environment: Environment,
    pub outcomes: Vec<Outcome>,
}

impl From<&Document> for Evidence {
    /// Without the name of the machine that recorded it.
    fn from(document: &Document) -> Self {
        Self { environment: nameless(&document.environment), outcomes: document.outcomes.clone(), control: None }
    }
}

impl Evidence {
    /// The same, held against another run.
    #[must_use]
    pub fn against(self, relation: ControlRelation, document: &Document) -> Self {
        let held = Held { relation, environment: nameless(&document.environment), outcomes: document.outcomes.clone() };
        Self { control: Some(Box::new(held)), ..self }
    }

    fn diagnosed(&self) -> Diagnosis {
        let Some(control) = &self.control else { return diagnose(&self.outcomes, &self.environment) };
        let (bundle, run) = (BundleId::new("00".repeat(32)), RunId::new("control"));
        let vantage = Vantage {
            outcomes: &control.outcomes,
            environment: &control.environment,
            bundle: &bundle,
            run: &run,
            relation: control.relation,
        };
        diagnose_against(&self.outcomes, &self.environment, &vantage).0
    }
}

fn nameless(environment: &Environment) -> Environment {
    Environment { hostname: "lab".to_owned(), ..environment.clone() }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

impl Recorded {
    /// # Errors
    /// Where the file cannot be read or is not evidence.
    pub fn read(scenario: &str) -> Result<Self> {
        let path = folder().join(format!("{scenario}.json.gz"));
        let file = fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let mut text = Vec::new();
        GzDecoder::new(file).read_to_end(&mut text).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes the evidence and the findings that it leads to.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, scenario: &str) -> Result<()> {
        fs::create_dir_all(folder()).context("making the folder of golden evidence")?;
        let path = folder().join(format!("{scenario}.json.gz"));
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&serde_json::to_vec(self)?).context("packing evidence")?;
        fs::write(&path, packed.finish().context("packing evidence")?).with_context(|| format!("writing {}", path.display()))?;
        let path = folder().join(format!("{scenario}.findings.txt"));
        fs::write(&path, findings_of(self)).with_context(|| format!("writing {}", path.display()))
    }
}

/// The findings of every trial as lines whose difference can be read.
pub fn findings_of(recorded: &Recorded) -> String {
    let mut text = String::new();
    for (name, evidence) in &recorded.trials {
        let diagnosis = evidence.diagnosed();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name}: {:?}", diagnosis.state);
        for finding in &diagnosis.findings {
            let severity = match finding.severity {
                Severity::Problem => "problem",
                Severity::Degraded => "degraded",
                Severity::Notice => "notice",
            };
            let _ = writeln!(text, "  {severity} {} {:.2} {}", finding.cause, finding.confidence, finding.sentence);
            for rejected in &finding.rejected {
                let _ = writeln!(text, "    not {}: {}", rejected.cause, rejected.reason);
            }
            if let Some(control) = &finding.control {
                let _ =
                    writeln!(text, "    the control ({:?} {:.2}): {}", control.effect, control.confidence_alone, control.text);
            }
            if !finding.suppressed.is_empty() {
                let _ = writeln!(text, "    explains {}", finding.suppressed.join(", "));
            }
        }
        for failure in &diagnosis.unexplained {
            let _ = writeln!(text, "  unexplained {}: {}", failure.check, failure.what);
        }
        for gap in &diagnosis.not_measured {
            let _ = writeln!(text, "  not measured {}: {}", gap.check, gap.why);
        }
    }
    text
}
