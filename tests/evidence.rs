//! Evidence of lab trials, kept under `tests/golden`.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use netsonde_contract::document::Document;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::Severity;
use netsonde_contract::outcome::Outcome;
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
}

impl From<&Document> for Evidence {
    /// Without the name of the machine that recorded it.
    fn from(document: &Document) -> Self {
        let environment = Environment { hostname: "lab".to_owned(), ..document.environment.clone() };
        Self { environment, outcomes: document.outcomes.clone() }
    }
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
        let diagnosis = netsonde_diagnosis::diagnose(&evidence.outcomes, &evidence.environment);
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
