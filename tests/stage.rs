use crate::programs::program;
use anyhow::{Context, Result, bail};
use netsonde_contract::api::TicketIssued;
use netsonde_contract::desk_token::DeskToken;
use serde::Deserialize;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The backend starts in well under a second; a machine that is busy building something gets a minute.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A folder of its own for everything that the programs read and write, which goes with it.
pub struct Stage {
    folder: TempDir,
    namespace: Mutex<Option<String>>,
}

/// A running backend and the way into it; it ends with this value.
pub struct Backend {
    pub url: String,
    pub password: String,
    pub tls_pin: Option<String>,
    pub desk_token: String,
    /// The address that it listens on.
    pub listens: String,
    process: Child,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    password: Option<String>,
    desk_token: Option<String>,
    tls_pin: Option<String>,
}

impl Backend {
    /// Starts a backend on an ephemeral port of loopback, with its data in the stage's folder.
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn start(stage: &Stage) -> Result<Self> {
        Self::start_at(stage, "127.0.0.1:0").await
    }

    /// Starts a backend at an address of the namespace that the stage stands in.
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn start_at(stage: &Stage, address: &str) -> Result<Self> {
        let (process, ready) = serve(stage, &["--listen", address]).await?;
        let listens = ready.url.rsplit('/').next().unwrap_or_default().to_owned();
        Self::of(process, ready, listens)
    }

    /// Starts a backend on loopback with more arguments for `serve`.
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn start_with(stage: &Stage, more: &[&str]) -> Result<Self> {
        let (process, ready) = serve(stage, &[&["--listen", "127.0.0.1:0"], more].concat()).await?;
        let listens = ready.url.rsplit('/').next().unwrap_or_default().to_owned();
        Self::of(process, ready, listens)
    }

    /// Starts a backend that something else speaks TLS for, at this URL. The desk goes past that, as it does on the same machine.
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn start_behind(stage: &Stage, public_url: &str) -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        let listens = free.local_addr().context("the free port has no address")?.to_string();
        drop(free);
        let (process, ready) = serve(stage, &["--plain", "--listen", &listens, "--public-url", public_url]).await?;
        let backend = Self::of(process, ready, listens)?;
        let token = DeskToken::parse(&backend.desk_token).context("reading the desk token")?;
        let token = DeskToken { backend: format!("http://{}", backend.listens), ..token };
        Ok(Self { desk_token: token.encode().to_string(), ..backend })
    }

    /// A backend that somebody else started, from the file that it wrote when it was ready; it ends with the process that is given.
    ///
    /// # Errors
    /// Where it is not ready in time.
    pub async fn attach(process: Child, ready: &Path) -> Result<Self> {
        let waiting = until_ready(ready);
        let ready = tokio::time::timeout(START_LIMIT, waiting).await.context("the backend did not start")?;
        let listens = ready.url.rsplit('/').next().unwrap_or_default().to_owned();
        Self::of(process, ready, listens)
    }

    /// Asks the backend to end, as a service manager does.
    ///
    /// # Errors
    /// Where it cannot be asked, or goes on.
    pub async fn stop(&mut self) -> Result<std::process::ExitStatus> {
        signal(self.process.id().context("no backend runs")?, "TERM").await?;
        self.ended().await
    }

    /// Whether it has ended, and how it did, within a while.
    ///
    /// # Errors
    /// Where it goes on.
    async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        let ended = tokio::time::timeout(START_LIMIT, self.process.wait()).await.context("the backend goes on")?;
        ended.context("waiting for the backend")
    }

    /// Starts a backend that agents reach under this name. The desk goes to its address, as it does on the same machine.
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn start_named(stage: &Stage, name: &str) -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        let listens = free.local_addr().context("the free port has no address")?;
        drop(free);
        let backend = Self::start_reached_at(stage, listens, &format!("https://{name}:{}", listens.port())).await?;
        let token = DeskToken::parse(&backend.desk_token).context("reading the desk token")?;
        let token = DeskToken { backend: format!("https://{listens}"), ..token };
        Ok(Self { desk_token: token.encode().to_string(), ..backend })
    }

    /// Starts a backend at an address of loopback that everybody, the desk included, reaches at this URL.
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn start_reached_at(stage: &Stage, listens: SocketAddr, url: &str) -> Result<Self> {
        let (process, ready) = serve(stage, &["--listen", &listens.to_string(), "--public-url", url]).await?;
        Self::of(process, ready, listens.to_string())
    }

    /// The process, for whoever measures it.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    fn of(process: Child, ready: Ready, listens: String) -> Result<Self> {
        Ok(Self {
            url: ready.url,
            password: ready.password.context("the new backend named no password")?,
            tls_pin: ready.tls_pin,
            desk_token: ready.desk_token.context("the new backend named no desk token")?,
            listens,
            process,
        })
    }

    /// Starts it again at the same address and with the same data, after [`Backend::kill`].
    ///
    /// # Errors
    /// Where it does not start; its log is in the error.
    pub async fn restart(&mut self, stage: &Stage) -> Result<()> {
        (self.process, _) = serve(stage, &["--listen", &self.listens]).await?;
        Ok(())
    }

    /// Kills the backend as a crash would.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("killing the backend")
    }
}

async fn serve(stage: &Stage, arguments: &[&str]) -> Result<(Child, Ready)> {
    let ready = stage.folder().join("ready.json");
    // What an earlier start wrote says nothing of this one.
    let _ = std::fs::remove_file(&ready);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(stage.folder().join("backend.log"));
    let process = stage
        .program("netsonde-backend")?
        .arg("serve")
        .args(arguments)
        .arg("--data")
        .arg(stage.folder().join("backend"))
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.context("making the backend's log")?)
        .kill_on_drop(true)
        .spawn()
        .context("starting netsonde-backend")?;
    let Ok(ready) = tokio::time::timeout(START_LIMIT, until_ready(&ready)).await else {
        let log = tokio::fs::read_to_string(stage.folder().join("backend.log")).await.unwrap_or_default();
        bail!("netsonde-backend did not start within {} s:\n{log}", START_LIMIT.as_secs());
    };
    Ok((process, ready))
}

async fn until_ready(file: &Path) -> Ready {
    loop {
        if let Ok(text) = tokio::fs::read(file).await
            && let Ok(ready) = serde_json::from_slice::<Ready>(&text)
        {
            return ready;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Stage {
    /// # Errors
    /// Where no folder can be made.
    pub fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// The same with its folder in another place, such as a file system in memory.
    ///
    /// # Errors
    /// Where no folder can be made there.
    pub fn within(place: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("netsonde-stage-").tempdir_in(place).context("making a folder")?;
        Ok(Self { folder, namespace: Mutex::default() })
    }

    /// From here on programs start in this network namespace, which is there already.
    pub fn enter(&self, namespace: &str) {
        *self.namespace.lock().unwrap_or_else(PoisonError::into_inner) = Some(namespace.to_owned());
    }

    /// The program, in the namespace that the stage stands in.
    fn program(&self, name: &str) -> Result<Command> {
        let program = program(name)?;
        match &*self.namespace.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                Ok(command)
            }
            None => Ok(Command::new(program)),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a ticket with the desk, as an engineer does.
    ///
    /// # Errors
    /// Where the desk or the backend refuses.
    pub async fn ticket(&self, backend: &Backend, case: &str, set: &str, targets: &[String]) -> Result<TicketIssued> {
        let mut arguments = vec!["ticket", "--case", case, "--set", set, "--format", "json"];
        for target in targets {
            arguments.extend(["--target", target]);
        }
        let output = self.desk(backend, &arguments).await?;
        if !output.status.success() {
            bail!("netsonde-desk ticket: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("reading the desk's answer")
    }

    /// Runs `netsonde` to its end, whatever that is, with its state in the stage's folder.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub async fn netsonde<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Output> {
        let mut command = self.command("netsonde")?;
        command.args(arguments);
        output(command).await
    }

    /// Runs `netsonde-desk` to its end, signed in to the backend.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub async fn desk<S: AsRef<OsStr>>(&self, backend: &Backend, arguments: &[S]) -> Result<Output> {
        let mut command = self.command("netsonde-desk")?;
        command.args(arguments).env("NETSONDE_DESK_TOKEN", &backend.desk_token);
        output(command).await
    }

    /// Starts `netsonde-desk serve`, which ends with the process that is given back; and the address that it printed.
    ///
    /// # Errors
    /// Where it cannot be started, or prints nothing.
    pub async fn desk_serve(&self, backend: &Backend, key: &Path) -> Result<(String, Child)> {
        let mut command = self.command("netsonde-desk")?;
        command.args(["serve", "--port", "0", "--key"]).arg(key).env("NETSONDE_DESK_TOKEN", &backend.desk_token);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting netsonde-desk serve")?;
        let out = process.stdout.take().context("netsonde-desk has no output")?;
        let line = tokio::time::timeout(START_LIMIT, BufReader::new(out).lines().next_line()).await;
        let address = line.ok().and_then(Result::ok).flatten().context("netsonde-desk serve printed no address")?;
        Ok((address, process))
    }

    /// What `ssh-keygen` says of the bundle; none where it is not installed.
    ///
    /// # Errors
    /// Where the bundle does not open or `ssh-keygen` refuses it.
    pub async fn verify_with_ssh_keygen(&self, bundle: &Path) -> Result<Option<String>> {
        let installed = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("ssh-keygen").is_file()));
        if !installed {
            return Ok(None);
        }
        let unpacked = self.folder().join("unpacked");
        std::fs::create_dir_all(&unpacked).context("making a folder for the bundle's files")?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(bundle).arg("-C").arg(&unpacked);
        succeed(tar).await?;
        let key = std::fs::read_to_string(unpacked.join("agent.pub")).context("reading agent.pub")?;
        std::fs::write(unpacked.join("allowed_signers"), format!("agent namespaces=\"bundle@netsonde\" {key}"))
            .context("writing allowed_signers")?;
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-f", "allowed_signers", "-I", "agent", "-n", "bundle@netsonde", "-s", "manifest.json.sig"]);
        verify
            .current_dir(&unpacked)
            .stdin(std::fs::File::open(unpacked.join("manifest.json")).context("opening manifest.json")?);
        let output = succeed(verify).await?;
        Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    /// A program that neither reads nor changes what the person keeps for the real programs.
    pub(crate) fn command(&self, name: &str) -> Result<Command> {
        let mut command = self.program(name)?;
        let folder = |name: &str| self.folder().join(name);
        command.env("HOME", self.folder()).env("XDG_CONFIG_HOME", folder("config")).env("XDG_STATE_HOME", folder("state"));
        command.env("NETSONDE_STATE_DIR", folder("agent"));
        for variable in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
        ] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }
}

/// Sends a process a signal, by its name.
///
/// # Errors
/// Where it cannot be sent.
pub async fn signal(process: u32, name: &str) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg(process.to_string());
    succeed(kill).await.map(drop)
}

async fn output(mut command: Command) -> Result<Output> {
    command.output().await.with_context(|| format!("running {}", name(&command)))
}

pub(crate) async fn succeed(command: Command) -> Result<Output> {
    let name = name(&command);
    let output = output(command).await?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

fn name(command: &Command) -> String {
    Path::new(command.as_std().get_program()).file_name().unwrap_or(OsStr::new("a program")).to_string_lossy().into_owned()
}
