use super::bundle::{document, open};
use crate::exit::BundleFate;
use crate::format::{self, Format};
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::{Args, ValueEnum};
use netsonde_contract::bundle::{self, Bundle};
use netsonde_contract::control::ControlRelation;
use netsonde_contract::document::{BundlePlace, Document};
use netsonde_contract::redaction::Level;
use netsonde_diagnosis::{Machine, Vantage, diagnose, diagnose_against, relation};
use netsonde_report::text::Depth;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  netsonde diagnose customer.tar.gz                            the stored run, by this version's rules\n  netsonde diagnose customer.tar.gz --against mine.tar.gz      what differs from another place\n  netsonde diagnose today.tar.gz --against yesterday.tar.gz    what has changed since it worked"
)]
pub(super) struct DiagnoseCommand {
    /// The bundle to diagnose.
    file: PathBuf,
    /// Another run of the same set: another agent's, one's own, or an older one of the same machine.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: DiagnosisFormat,
    /// Print every observation.
    #[arg(long)]
    detail: bool,
    /// Print how the conclusion was reached.
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum DiagnosisFormat {
    /// Findings first, in plain words.
    #[default]
    Human,
    /// The document, as `netsonde run --format json` prints it, with what the control says.
    Json,
    /// For a support ticket.
    Markdown,
    /// One self-contained page.
    Html,
}

impl DiagnoseCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let (_, bundle) = open(&self.file)?;
        let mut run = document(&bundle, &self.file)?;
        run.bundle = Some(BundlePlace { id: bundle.id.clone(), path: Some(self.file.display().to_string()), case_url: None });
        match &self.against {
            Some(file) => against(&mut run, &bundle, file)?,
            None => conclude(&mut run, None),
        }
        let format = match self.format {
            DiagnosisFormat::Human => Format::Human,
            DiagnosisFormat::Json => Format::Json,
            DiagnosisFormat::Markdown => Format::Markdown,
            DiagnosisFormat::Html => Format::Html,
        };
        terminal::output(&format::render(&run, format, Depth { detail: self.detail, explain: self.explain }))?;
        Ok(exit::code(&run, BundleFate::InPlace))
    }
}

fn against(run: &mut Document, bundle: &Bundle, file: &Path) -> Result<(), Stop> {
    let (_, other) = open(file)?;
    if other.id == bundle.id {
        return Err(Stop::usage(format!("{} is the very bundle that is diagnosed", file.display()))
            .next("give a run of another machine, or an older one of the same machine"));
    }
    let control = document(&other, file)?;
    let relation = relation(&machine(run, bundle), &machine(&control, &other));
    conclude(run, Some((&control, &other, relation)));
    if run.control.as_ref().is_some_and(|control| control.compared == 0) {
        return Err(nothing_in_common(file, bundle, &other));
    }
    Ok(())
}

/// What the run and its bundle say of the machine that measured.
fn machine<'a>(run: &'a Document, bundle: &'a Bundle) -> Machine<'a> {
    let plain = bundle.predicate.redaction.level != Level::Strict;
    Machine { key: bundle::key_id(&bundle.key), environment: &run.environment, outcomes: &run.outcomes, plain }
}

/// Tokens that stand for names mean something to the machine alone that made them.
fn nothing_in_common(file: &Path, bundle: &Bundle, other: &Bundle) -> Stop {
    let stop = Stop::usage(format!("no check of {} asks what the diagnosed run asks: nothing can be compared", file.display()));
    let strict = |bundle: &Bundle| bundle.predicate.redaction.level == Level::Strict;
    if strict(bundle) || strict(other) {
        return stop.next("one of the two was redacted strictly, with tokens for names; compare runs at the default level");
    }
    stop.next("run the same set with the same target at both places (netsonde bundle inspect FILE shows set and target)")
}

/// The run with the findings of this version's rules in place of those that it was stored with.
fn conclude(run: &mut Document, control: Option<(&Document, &Bundle, ControlRelation)>) {
    let diagnosis = match control {
        None => diagnose(&run.outcomes, &run.environment),
        Some((control, bundle, relation)) => {
            let vantage = Vantage {
                outcomes: &control.outcomes,
                environment: &control.environment,
                bundle: &bundle.id,
                run: &control.run.id,
                relation,
            };
            let (diagnosis, control) = diagnose_against(&run.outcomes, &run.environment, &vantage);
            run.control = Some(Box::new(control));
            diagnosis
        }
    };
    run.state = diagnosis.state;
    run.findings = diagnosis.findings;
    run.unexplained = diagnosis.unexplained;
    run.not_measured = diagnosis.not_measured;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundling::tests::packed_bytes;

    fn command(file: &Path, against: Option<PathBuf>) -> DiagnoseCommand {
        DiagnoseCommand { file: file.to_owned(), against, format: DiagnosisFormat::Json, detail: false, explain: false }
    }

    #[test]
    fn a_changed_bundle_is_refused_on_either_side() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good.tar.gz"), folder.path().join("bad.tar.gz"));
        let mut bytes = packed_bytes();
        std::fs::write(&good, &bytes).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&bad, &bytes).unwrap();
        for (file, other) in [(&bad, None), (&good, Some(bad.clone()))] {
            let stop = command(file, other).execute().unwrap_err();
            assert!(stop.exit == exit::FOUND && stop.message.contains("bad.tar.gz is not intact"), "{stop:?}");
        }
        assert_eq!(command(&good, Some(good.clone())).execute().unwrap_err().exit, exit::USAGE, "against itself");
        assert_eq!(command(&good, Some("/nowhere".into())).execute().unwrap_err().exit, exit::USAGE);
    }
}
