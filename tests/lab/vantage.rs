//! The client's run held against another one, as `netsonde diagnose A --against B` does with two bundles.

use super::network::{Network, SECOND_MACHINE};
use super::reading::difference;
use super::scenario::{Control, Effect, User};
use super::trial::{Bench, Kept, Run, Stage};
use anyhow::{Context, Result, bail};
use netsonde_contract::control::ControlEffect;
use netsonde_contract::document::Document;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// The client's state folder where its other run has one of its own.
const OTHER_STATE: &str = "c-other";

/// What the runs of one user over one family leave behind: their bundles, and the state by which one machine's runs are known as its own.
pub(crate) struct Shelf {
    folder: TempDir,
    /// What the control measured last.
    control: Option<Measured>,
}

/// A run that was packed, and what it showed.
struct Measured {
    bundle: PathBuf,
    document: Document,
}

impl Shelf {
    pub(crate) fn below(folder: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vantage-").tempdir_in(folder).context("making a folder for bundles")?;
        let shelf = Self { folder, control: None };
        // Whoever measures writes there.
        for folder in [shelf.folder.path().to_owned(), shelf.state("c"), shelf.state(SECOND_MACHINE), shelf.state(OTHER_STATE)] {
            fs::create_dir_all(&folder).context("making a folder for bundles")?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).context("opening the folder for bundles")?;
        }
        Ok(shelf)
    }

    /// What the control showed last.
    pub(crate) fn control(&self) -> Option<&Document> {
        self.control.as_ref().map(|measured| &measured.document)
    }

    fn state(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("state-{node}"))
    }

    fn keep(&self, node: &str, name: &str) -> Kept {
        Kept { state: self.state(node), bundle: self.folder.path().join(format!("{name}.tar.gz")) }
    }
}

impl Bench {
    /// Measures as the scenario's control does, where that is due.
    pub(crate) fn measure_control(
        &self,
        control: &Control,
        network: &Network,
        run: &Run<'_>,
        stage: Stage,
        shelf: &mut Shelf,
    ) -> Result<()> {
        if stage != Stage::Healthy && !control.with_fault {
            return Ok(());
        }
        let node = if control.beside.is_some() { SECOND_MACHINE } else { run.node };
        let state = if control.other_state { OTHER_STATE } else { node };
        let kept = shelf.keep(state, &format!("control-{stage:?}"));
        let run = run.at(node).kept(&kept);
        // On a machine of its own nothing presses.
        let run = if control.beside.is_some() { run.unpressed() } else { run };
        let document = packed(&self.run_netsonde(network, &run)?, &kept.bundle).context("measuring as the control")?;
        shelf.control = Some(Measured { bundle: kept.bundle, document });
        Ok(())
    }

    /// Measures as the client, and holds that against the control.
    pub(crate) fn held_against(&self, network: &Network, run: &Run<'_>, stage: Stage, shelf: &Shelf) -> Result<Output> {
        let Some(control) = &shelf.control else { bail!("the control has measured nothing") };
        let kept = shelf.keep(run.node, &format!("client-{stage:?}"));
        packed(&self.run_netsonde(network, &run.kept(&kept))?, &kept.bundle).context("measuring as the client")?;
        let mut command = network.command(run.node, User::Root, self.netsonde());
        command.arg("diagnose").arg(&kept.bundle).arg("--against").arg(&control.bundle).args(["--format", "json"]);
        command.output().context("holding the client's run against the control's")
    }
}

/// A run may find what it likes, as long as it packs its bundle.
fn packed(output: &Output, bundle: &Path) -> Result<Document> {
    match bundle.is_file() {
        true => serde_json::from_slice(&output.stdout).context("reading what the run showed"),
        false => bail!("no bundle was packed: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// What is wrong with what the answer says of the control; none where it is right.
pub(crate) fn fault(control: &Control, document: &Document, stage: Stage) -> Option<String> {
    let Some(held) = &document.control else { return Some("was held against nothing".into()) };
    if held.compared == 0 {
        return Some("nothing was compared with the control".into());
    }
    if stage == Stage::Healthy {
        let difference = held.differences.first()?;
        let (subject, here, there) = (&difference.subject, &difference.here, &difference.there);
        return Some(format!("sees a difference where nothing is broken: {subject}: {here}, and there {there}"));
    }
    let said = |name: &String| held.differences.iter().any(|seen| difference(name) == Some(seen.about));
    if let Some(missing) = control.differs.iter().find(|name| !said(name)) {
        return Some(format!("did not tell a difference of {missing}"));
    }
    let effect = document.findings.first().and_then(|finding| Some(finding.control.as_ref()?.effect));
    let wanted = control.effect.map(|effect| match effect {
        Effect::Raised => ControlEffect::Raised,
        Effect::Lowered => ControlEffect::Lowered,
        Effect::Found => ControlEffect::Found,
        Effect::Unchanged => ControlEffect::Unchanged,
    });
    (wanted.is_some() && effect != wanted).then(|| format!("the control's effect is {effect:?} instead of {wanted:?}"))
}
