use super::{LOOK_EVERY, in_time, json, said};
use crate::stage::{Backend, Stage};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use netsonde_contract::api::fleet::{AgentSummary, DeliveryState};
use netsonde_contract::id::{AgentId, OrderId};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::process::Child;

/// One machine of the customer's; its agent ends with this value.
pub struct Agent {
    pub id: AgentId,
    folder: PathBuf,
    root: Option<PathBuf>,
    process: Option<Child>,
}

/// One line of an agent's audit log.
#[derive(Clone, Debug, Deserialize)]
pub struct Audited {
    pub at: Timestamp,
    pub what: String,
    #[serde(default)]
    pub order: Option<OrderId>,
    #[serde(default)]
    pub decision: Option<String>,
}

impl Agent {
    /// Enrols a machine of this name, with a state directory and a policy of its own. `root` is a certificate authority that it trusts.
    ///
    /// # Errors
    /// Where desk or agent refuse.
    pub async fn enrol(stage: &Stage, backend: &Backend, name: &str, policy: &str, root: Option<&Path>) -> Result<Self> {
        let mut agent = Self::on(stage, name, policy, root)?;
        let made: serde_json::Value = json(stage, backend, &["enrol", "--label", &format!("name={name}")]).await?;
        let string = made["enrolment"].as_str().context("the desk made no enrolment string")?;
        agent.netsonde(stage, &["enroll", "--yes", string, "--policy", &agent.policy().to_string_lossy()]).await?;
        agent.id = agent.own_id(stage).await?;
        Ok(agent)
    }

    /// A machine that is not enrolled yet.
    ///
    /// # Errors
    /// Where its folder cannot be made.
    pub fn on(stage: &Stage, name: &str, policy: &str, root: Option<&Path>) -> Result<Self> {
        let folder = stage.folder().join(name);
        std::fs::create_dir_all(&folder).context("making the agent's folder")?;
        let agent = Self { id: AgentId::new(""), folder, root: root.map(Path::to_owned), process: None };
        agent.allow(policy)?;
        Ok(agent)
    }

    /// The agent's id, as it says it itself.
    ///
    /// # Errors
    /// Where it is not enrolled.
    pub async fn own_id(&self, stage: &Stage) -> Result<AgentId> {
        let text = self.netsonde(stage, &["identity"]).await?;
        text.split_whitespace().find_map(AgentId::parse).with_context(|| format!("no agent's id in: {text}"))
    }

    /// Puts another policy in force.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn allow(&self, policy: &str) -> Result<()> {
        std::fs::write(self.policy(), policy).context("writing the policy")
    }

    pub fn policy(&self) -> PathBuf {
        self.folder.join("policy.toml")
    }

    /// Puts another `agent.toml` in its place.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn configure(&self, schedules: &str) -> Result<()> {
        std::fs::write(self.config(), schedules).context("writing agent.toml")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The first digits of the agent's id.
    pub fn short(&self) -> &str {
        self.id.short()
    }

    /// Runs `netsonde` with this machine's state directory; what it says where it ends with 0.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn netsonde(&self, stage: &Stage, arguments: &[&str]) -> Result<String> {
        let state = self.state().to_string_lossy().into_owned();
        let output = stage.netsonde(&[arguments, &["--state-dir", &state]].concat()).await?;
        if !output.status.success() {
            bail!("netsonde {}: {}", arguments.join(" "), said(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts `netsonde agent`.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(&mut self, stage: &Stage) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).context("making a log")?;
        let mut command = stage.command("netsonde")?;
        command
            .arg("agent")
            .arg("--config")
            .arg(self.config())
            .arg("--policy")
            .arg(self.policy())
            .arg("--state-dir")
            .arg(self.state());
        if let Some(root) = &self.root {
            command.env("SSL_CERT_FILE", root);
        }
        command.stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().context("starting netsonde agent")?);
        Ok(())
    }

    /// The running process's number.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().and_then(|process| process.id())
    }

    /// Kills the agent as a crash would.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await.context("killing the agent"),
            None => Ok(()),
        }
    }

    /// Sends the agent a signal, by its name.
    ///
    /// # Errors
    /// Where no agent runs, or it cannot be sent.
    pub async fn signal(&self, name: &str) -> Result<()> {
        crate::stage::signal(self.process_id().context("no agent runs")?, name).await
    }

    /// Asks the agent to end, as a service manager does, and tells how it did.
    ///
    /// # Errors
    /// Where no agent runs, or it does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        let mut process = self.process.take().context("no agent runs")?;
        in_time("the agent's end", async { process.wait().await.context("waiting for the agent") }).await
    }

    /// What the agent said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits until the agent's log says something.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn until_says(&self, words: &str) -> Result<()> {
        let waiting = async {
            while !self.log().contains(words) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        in_time(words, waiting).await.with_context(|| self.log())
    }

    /// Waits until the agent has noted that the backend heard of this state of an order from it: nothing is left to be said of it.
    ///
    /// # Errors
    /// Where it does not come.
    pub async fn until_told(&self, order: &OrderId, wanted: DeliveryState) -> Result<()> {
        let record = self.state().join("orders").join(format!("{order}.json"));
        let is_told = |bytes: Vec<u8>| {
            let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            record["reported"] == wanted.name()
        };
        let waiting = async {
            while !std::fs::read(&record).is_ok_and(is_told) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        in_time(wanted.name(), waiting).await.with_context(|| self.log())
    }

    /// Waits until the agent holds a request for work.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn until_online(&self, stage: &Stage, backend: &Backend) -> Result<()> {
        let waiting = async {
            loop {
                let agents: Result<Vec<AgentSummary>> = json(stage, backend, &["agents"]).await;
                if agents.is_ok_and(|agents| agents.iter().any(|agent| agent.id == self.id && agent.online)) {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        in_time("online", waiting).await.with_context(|| self.log())
    }

    /// What the agent's audit log has of an order.
    pub fn audited(&self, order: &OrderId) -> Vec<Audited> {
        let text = std::fs::read_to_string(self.state().join("audit.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Audited>(line).ok());
        lines.filter(|line| line.order.as_ref() == Some(order)).collect()
    }

    /// How often the order's run began on this machine.
    pub fn runs(&self, order: &OrderId) -> usize {
        self.audited(order).iter().filter(|line| line.what == "run_began").count()
    }
}
