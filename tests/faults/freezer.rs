//! A process that the kernel holds where it stands, as it holds each process of a machine before that goes to sleep: by the freezer of a control group of its own
//! (cgroups(7), `cgroup.freeze` of cgroup v2). No signal is sent, and the process cannot tell. Where there is no such group, SIGSTOP holds it.

use crate::clocks::{halt, resume};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "netsonde-faults-";
/// The kernel freezes within milliseconds; a machine that is busy building something gets this many looks.
const LOOKS: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

pub(crate) struct Freezer {
    process: u32,
    /// The control group that the process is in, and where it was before.
    group: Option<(PathBuf, PathBuf)>,
}

impl Freezer {
    /// Takes a process in hand; it goes on meanwhile.
    pub(crate) fn around(process: u32) -> Self {
        let group = own_group().and_then(|before| {
            sweep(&before);
            let group = before.join(format!("{PREFIX}{process}"));
            fs::create_dir(&group).ok()?;
            let is_in =
                group.join("cgroup.freeze").exists() && fs::write(group.join("cgroup.procs"), process.to_string()).is_ok();
            if !is_in {
                let _ = fs::remove_dir(&group);
            }
            is_in.then_some((group, before))
        });
        Self { process, group }
    }

    /// Holds every thread of it.
    ///
    /// # Errors
    /// Where it is gone or goes on.
    pub(crate) async fn freeze(&self) -> Result<()> {
        match &self.group {
            Some((group, _)) => set(group, true).await,
            None => halt(self.process).await,
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where it is gone.
    pub(crate) async fn thaw(&self) -> Result<()> {
        match &self.group {
            Some((group, _)) => set(group, false).await,
            None => resume(self.process).await,
        }
    }
}

impl fmt::Display for Freezer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.group.is_some() { "the freezer of its control group" } else { "SIGSTOP" })
    }
}

impl Drop for Freezer {
    /// A group goes once nothing is in it.
    fn drop(&mut self) {
        if let Some((group, before)) = &self.group {
            let _ = fs::write(group.join("cgroup.freeze"), "0");
            let _ = fs::write(before.join("cgroup.procs"), self.process.to_string());
            let _ = fs::remove_dir(group);
        }
    }
}

async fn set(group: &Path, is_frozen: bool) -> Result<()> {
    let digit = u8::from(is_frozen);
    fs::write(group.join("cgroup.freeze"), digit.to_string()).context("writing cgroup.freeze")?;
    let wanted = format!("frozen {digit}");
    for _ in 0..LOOKS {
        let events = fs::read_to_string(group.join("cgroup.events")).context("reading cgroup.events")?;
        if events.lines().any(|line| line == wanted) {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    bail!("the control group {} does not become `{wanted}`", group.display())
}

/// The control group of cgroup v2 that this process is in; none where that is not mounted.
fn own_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| place.split_whitespace().nth(4)).flatten()
    })?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own))
}

/// Groups that a suite left which was ended from outside.
fn sweep(folder: &Path) {
    let left = folder.read_dir().into_iter().flatten().flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    // One that something is in stays.
    left.for_each(|entry| drop(fs::remove_dir(entry.path())));
}
