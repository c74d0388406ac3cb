use anyhow::{Context, Result, bail};
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{SigningKey, VerifyingKey};
use netsonde_contract::api::fleet::{
    AgentSummary, EnrolmentCodeIssued, EnrolmentCodeRequest, OrderDetail, SubmitOrder, TrustDocuments,
};
use netsonde_contract::api::path;
use netsonde_contract::desk_token::DeskToken;
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::pin::{self, Pin};
use netsonde_tests::programs::program;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A machine that is busy building something gets a minute.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The real backend in a folder of its own, with the desk's way in.
pub(crate) struct Backend {
    pub(crate) url: String,
    pub(crate) tls_pin: Option<Pin>,
    folder: PathBuf,
    plain: bool,
    token: String,
    client: reqwest::Client,
    process: Child,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    desk_token: Option<String>,
}

impl Backend {
    pub(crate) async fn start(folder: &Path, plain: bool) -> Result<Self> {
        let (process, ready) = launch(folder, plain, "127.0.0.1:0").await?;
        let token = ready.desk_token.context("the new backend named no desk token")?;
        let token = DeskToken::parse(&token).context("the desk token cannot be read")?;
        let mut client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120));
        if let Some(pin) = &token.tls_pin {
            client = client.tls_backend_preconfigured(pin::client_config(pin));
        }
        let client = client.build().context("making the desk's client")?;
        let (tls_pin, token) = (token.tls_pin.clone(), token.token.to_string());
        Ok(Self { url: ready.url, tls_pin, folder: folder.to_owned(), plain, token, client, process })
    }

    /// Kills the backend as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("killing the backend")
    }

    /// Starts it again where it was.
    pub(crate) async fn again(&mut self) -> Result<()> {
        let address = self.address()?.to_owned();
        let (process, ready) = launch(&self.folder, self.plain, &address).await?;
        if ready.url != self.url {
            bail!("the backend came back at {}", ready.url);
        }
        self.process = process;
        Ok(())
    }

    pub(crate) fn address(&self) -> Result<&str> {
        self.url.split_once("://").map(|(_, address)| address).context("the backend's URL has no scheme")
    }

    pub(crate) fn process(&self) -> Result<u32> {
        self.process.id().context("the backend has ended")
    }

    pub(crate) async fn publish(&self, documents: &TrustDocuments) -> Result<()> {
        succeed(self.signed_in(self.client.put(self.at(path::TRUST))).json(documents)).await.map(drop)
    }

    pub(crate) async fn code(&self, uses: u32) -> Result<EnrolmentCodeIssued> {
        let request = EnrolmentCodeRequest { uses, hours: 1, labels: [].into() };
        json(self.signed_in(self.client.post(self.at(path::ENROLMENTS))).json(&request)).await
    }

    /// The key that signs receipts, from the backend's own folder.
    pub(crate) fn receipt_key(&self) -> Result<VerifyingKey> {
        let pem = std::fs::read_to_string(self.folder.join("backend/receipt.key")).context("reading the receipt key")?;
        Ok(SigningKey::from_pkcs8_pem(&pem).context("reading the receipt key")?.verifying_key())
    }

    pub(crate) async fn submit(&self, order: &SubmitOrder) -> Result<()> {
        succeed(self.signed_in(self.client.post(self.at(path::ORDERS))).json(order)).await.map(drop)
    }

    /// How many agents hold a request, by the backend's own word.
    /// The agents that ask for work at this moment. Each is between two questions for some milliseconds a minute: of ten thousand, one mostly is.
    pub(crate) async fn online(&self) -> Result<BTreeSet<AgentId>> {
        let agents: Vec<AgentSummary> = json(self.signed_in(self.client.get(self.at(path::AGENTS)))).await?;
        Ok(agents.into_iter().filter(|agent| agent.online).map(|agent| agent.id).collect())
    }

    pub(crate) async fn order(&self, order: &OrderId) -> Result<OrderDetail> {
        json(self.signed_in(self.client.get(self.at(&path::order(order))))).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn signed_in(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(&self.token)
    }
}

async fn succeed(request: RequestBuilder) -> Result<reqwest::Response> {
    let answer = request.send().await.context("asking the backend")?;
    let status = answer.status();
    if !status.is_success() {
        bail!("the backend answered {status}: {}", answer.text().await.unwrap_or_default());
    }
    Ok(answer)
}

async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    succeed(request).await?.json().await.context("reading the backend's answer")
}

async fn launch(folder: &Path, plain: bool, listen: &str) -> Result<(Child, Ready)> {
    let ready = folder.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("backend.log"));
    let mut command = Command::new(program("netsonde-backend")?);
    command.args(["serve", "--listen", listen, "--data"]).arg(folder.join("backend")).arg("--ready-file").arg(&ready);
    // A line a request is for people; here it would measure the log.
    command.args(["--log", "warn"]);
    if plain {
        command.arg("--plain");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.context("making the backend's log")?).kill_on_drop(true);
    let process = command.spawn().context("starting netsonde-backend")?;
    let waiting = async {
        loop {
            if let Ok(text) = tokio::fs::read(&ready).await
                && let Ok(ready) = serde_json::from_slice::<Ready>(&text)
            {
                return ready;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(ready) = tokio::time::timeout(START_LIMIT, waiting).await else {
        let log = tokio::fs::read_to_string(folder.join("backend.log")).await.unwrap_or_default();
        bail!("netsonde-backend did not start within {} s:\n{log}", START_LIMIT.as_secs());
    };
    Ok((process, ready))
}
