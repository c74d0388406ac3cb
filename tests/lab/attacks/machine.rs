use super::case::{Agent, Behaviour, Enrolled};
use super::ground::{Ground, PORT, TLS_PORT};
use super::trust::Organisation;
use crate::timestamp;
use anyhow::{Context, Result, bail};
use jiff::tz::TimeZone;
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What the control order needs, and names that lead to one address of the server's.
const POLICY: &str = r#"version = 1
[orders]
remote = "allow"
[targets]
names = ["shop.example", "*.shop.example"]
networks = ["10.99.0.1/32"]
"#;
/// The agent starts and checks in in a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// An enrolled agent: its state, its policy, and its process while it runs.
pub(super) struct Machine {
    folder: PathBuf,
    env: Vec<(String, String)>,
    process: Option<Child>,
}

/// Enrols a machine at the backend.
///
/// # Errors
/// Where `netsonde enroll` fails: its own words are in the error.
pub(super) fn enrol(ground: &Ground, how: Enrolled, organisation: &Arc<Organisation>, state: &Path) -> Result<()> {
    ground.backend.reset(organisation, &Behaviour::default());
    let said = try_to_enrol(ground, how, organisation, state)?;
    if !state.join("identity.json").is_file() {
        bail!("the machine did not enrol: {said}");
    }
    Ok(())
}

/// What `netsonde enroll` says, whatever comes of it.
///
/// # Errors
/// Where it cannot be started.
pub(super) fn try_to_enrol(ground: &Ground, how: Enrolled, organisation: &Organisation, state: &Path) -> Result<String> {
    let (backend, pin) = match how {
        Enrolled::Pinned => (format!("https://127.0.0.1:{TLS_PORT}"), Some(ground.backend.pin.clone())),
        _ => (format!("http://127.0.0.1:{PORT}"), None),
    };
    let mut command = ground.netsonde()?;
    command.args(["enroll", "--yes", &organisation.enrolment(&backend, pin)?, "--state-dir"]).arg(state);
    command.args(["--policy", "/nonexistent/policy.toml"]);
    let output = command.output().context("running netsonde enroll")?;
    Ok(format!("exit {}\n{}", output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr)))
}

impl Machine {
    /// A machine with a copy of an enrolled agent's state, where there is one.
    ///
    /// # Errors
    /// Where files cannot be written.
    pub(super) fn new(folder: PathBuf, enrolled: Option<&Path>, agent: &Agent) -> Result<Self> {
        fs::create_dir_all(folder.join("policy")).context("making a folder")?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).context("closing a folder")?;
        fs::set_permissions(folder.join("policy"), Permissions::from_mode(0o755)).context("closing a folder")?;
        if let Some(state) = enrolled {
            copy(state, &folder.join("state"))?;
            for name in &agent.folders {
                fs::create_dir_all(folder.join("state").join(name)).context("making a folder of the state")?;
            }
        }
        let env = agent.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let machine = Self { folder, env, process: None };
        machine.allow(agent)?;
        Ok(machine)
    }

    fn allow(&self, agent: &Agent) -> Result<()> {
        if agent.no_policy {
            return Ok(());
        }
        let text = agent.policy.as_deref().unwrap_or(POLICY);
        // Six hours from now nobody works here.
        let hour = (timestamp().to_zoned(TimeZone::UTC).hour() + 6) % 23;
        let text = text.replace("{far}", &format!("{hour:02}:00")).replace("{far_end}", &format!("{:02}:00", hour + 1));
        fs::write(self.policy(), text).context("writing the policy")?;
        self.open_policy("644")
    }

    /// Gives the policy another mode, in octal.
    ///
    /// # Errors
    /// Where that is no mode, or there is no policy.
    pub(super) fn open_policy(&self, mode: &str) -> Result<()> {
        let mode = u32::from_str_radix(mode, 8).context("reading a mode")?;
        fs::set_permissions(self.policy(), Permissions::from_mode(mode)).context("setting the policy's mode")
    }

    /// Puts the policy, unaltered, into a folder that everybody may write, and a link in its place.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub(super) fn link_policy(&self) -> Result<()> {
        let open = self.folder.join("open");
        fs::create_dir_all(&open).context("making an open folder")?;
        fs::set_permissions(&open, Permissions::from_mode(0o777)).context("opening a folder")?;
        fs::rename(self.policy(), open.join("policy.toml")).context("moving the policy")?;
        std::os::unix::fs::symlink(open.join("policy.toml"), self.policy()).context("linking the policy")
    }

    fn policy(&self) -> PathBuf {
        self.folder.join("policy/policy.toml")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Starts the daemon. Where it is to ask for work, waits until it does.
    ///
    /// # Errors
    /// Where it does not come to ask.
    pub(super) fn start(&mut self, ground: &Ground, asks: bool) -> Result<()> {
        ground.backend.next_process();
        let log = File::options().create(true).append(true).open(self.folder.join("log")).context("making the agent's log")?;
        let mut command = ground.netsonde()?;
        command.args(["agent", "--policy"]).arg(self.policy()).arg("--state-dir").arg(self.state());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().context("starting the agent")?);
        if asks && !ground.backend.wait(PATIENCE, |seen| seen.checked_in && seen.polled) {
            bail!("the agent never asked for work: {}", self.log());
        }
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // One that is gone already needs no ending.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Runs `netsonde` to its end on this machine.
    ///
    /// # Errors
    /// Where it says that it failed.
    pub(super) fn run(&self, ground: &Ground, arguments: &[&str]) -> Result<()> {
        let mut command = ground.netsonde()?;
        let output = command.args(arguments).arg("--state-dir").arg(self.state()).output().context("running netsonde")?;
        if !output.status.success() {
            bail!("netsonde {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Has the epoch drawn by a boot that is over, so that the next start draws another.
    ///
    /// # Errors
    /// Where the file is not as the agent writes it.
    pub(super) fn boot_again(&self) -> Result<()> {
        let path = self.state().join("epochs.json");
        let mut epochs: Value =
            serde_json::from_slice(&fs::read(&path).context("reading the epochs")?).context("reading the epochs")?;
        epochs["boot"] = "another".into();
        fs::write(&path, epochs.to_string()).context("writing the epochs")
    }

    /// The most of its memory that was resident at a time, in KiB.
    ///
    /// # Errors
    /// Where no agent runs.
    pub(super) fn most_resident_kib(&self) -> Result<u64> {
        let process = self.process.as_ref().context("no agent runs")?.id();
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("reading what the agent's process takes")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the agent has no memory")?;
        line.trim().trim_end_matches(" kB").parse().context("reading the agent's memory")
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(super) fn audit(&self) -> String {
        fs::read_to_string(self.state().join("audit.jsonl")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    let mode = fs::metadata(from).with_context(|| format!("reading {}", from.display()))?.permissions();
    fs::set_permissions(to, mode).context("setting a folder's mode")?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let path = entry?.path();
        let there = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &there)?;
        } else {
            fs::copy(&path, &there).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}
