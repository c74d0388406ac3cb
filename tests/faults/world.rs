use anyhow::{Context, Result, bail};
use netsonde_backend::faults::names_blob;
use netsonde_contract::ticket::Ticket;
use netsonde_tests::programs::program;
use netsonde_tests::stage::{Backend, Stage};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// A real backend, and something to measure.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) backend: Backend,
    target: TcpListener,
    parcels: u32,
}

/// A bundle that waits in an agent's spool, for a ticket.
pub(crate) struct Parcel {
    pub(crate) ticket: String,
    pub(crate) state: PathBuf,
    /// The name of its folder in the spool.
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl Parcel {
    /// Of its bytes, in lower-case hexadecimal.
    fn digest(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The turn to write to a database, which no other writer has for as long as this lives.
pub(crate) struct HeldRows {
    /// The lock goes with it.
    _shared: File,
}

impl HeldRows {
    /// SQLite's writers take turns by a lock on this byte of the file with the suffix `-shm` (sqlite.org/walformat.html, section 2.3.1: WAL_WRITE_LOCK).
    const WRITE_LOCK: i64 = 120;

    fn of(database: &Path) -> Result<Option<Self>> {
        let file = File::options().read(true).write(true).open(database.with_extension("db-shm"));
        let file = file.context("opening what the backend's writers share")?;
        let (kind, whence) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
        let lock = libc::flock { l_type: kind, l_whence: whence, l_start: Self::WRITE_LOCK, l_len: 1, l_pid: 0 };
        match fcntl(&file, FcntlArg::F_SETLK(&lock)) {
            Ok(_) => Ok(Some(Self { _shared: file })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error).context("taking the turn to write to the backend's database"),
        }
    }
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let stage = Stage::new()?;
        let backend = Backend::start(&stage).await?;
        Self::with(stage, backend).await
    }

    /// The same with a backend that stands already.
    pub(crate) async fn with(stage: Stage, backend: Backend) -> Result<Self> {
        let target = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        Ok(Self { stage, backend, target, parcels: 0 })
    }

    /// A ticket and a state directory, and nothing measured yet.
    pub(crate) async fn ticket(&mut self) -> Result<(String, PathBuf)> {
        self.parcels += 1;
        let target = self.target.local_addr().context("the target's address")?.to_string();
        let ticket = self.stage.ticket(&self.backend, &format!("F-{}", self.parcels), "port", &[target]).await?;
        Ok((ticket.ticket, self.stage.folder().join(format!("state-{}", self.parcels))))
    }

    /// The agent's command, with its messages kept from the screen.
    pub(crate) fn agent(&self, state: &Path, arguments: &[&str]) -> Result<Child> {
        let mut command = Command::new(program("netsonde")?);
        command.args(arguments).arg("--state-dir").arg(state).env("HOME", self.stage.folder());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().context("starting netsonde")
    }

    /// Measures for the ticket and keeps the bundle.
    pub(crate) fn measure(&self, ticket: &str, state: &Path) -> Result<Child> {
        self.agent(state, &["run", "--ticket", ticket, "--yes", "--no-upload", "--keep"])
    }

    pub(crate) fn send(&self, parcel: &Parcel, ticket: &str) -> Result<Child> {
        self.agent(&parcel.state, &["spool", "retry", &parcel.id, "--ticket", ticket, "--yes", "--keep"])
    }

    /// A bundle that waits.
    pub(crate) async fn parcel(&mut self) -> Result<Parcel> {
        let (ticket, state) = self.ticket().await?;
        let ended = self.measure(&ticket, &state)?.wait().await.context("waiting for netsonde")?;
        self.kept(ticket, state).with_context(|| format!("netsonde run ended with {ended}"))
    }

    /// What a run left in the spool.
    pub(crate) fn kept(&self, ticket: String, state: PathBuf) -> Result<Parcel> {
        let ready = state.join("spool/ready");
        let mut folders: Vec<PathBuf> =
            ready.read_dir().context("looking into the spool")?.flatten().map(|entry| entry.path()).collect();
        let (Some(folder), true) = (folders.pop(), folders.is_empty()) else {
            bail!("there is not one bundle in {}", ready.display())
        };
        let file =
            folder.read_dir()?.flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(".tar.gz"));
        let bytes = std::fs::read(file.context("the spool's entry has no bundle")?).context("reading the bundle")?;
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Parcel { ticket, state, id, bytes })
    }

    /// Where the bundle's bytes lie in the backend's store, once they do.
    pub(crate) fn blob(&self, parcel: &Parcel) -> PathBuf {
        let digest = parcel.digest();
        self.stage.folder().join("backend/blobs/sha256").join(&digest[..2]).join(&digest)
    }

    /// The bundle's bytes in the backend's store.
    pub(crate) fn stored(&self, parcel: &Parcel) -> Option<Vec<u8>> {
        std::fs::read(self.blob(parcel)).ok()
    }

    /// Whether the backend has a row of the bundle, without which it has not taken it.
    pub(crate) async fn is_taken(&self, parcel: &Parcel) -> Result<bool> {
        names_blob(&self.database(), &parcel.digest()).await.context("asking the backend's database")
    }

    fn database(&self) -> PathBuf {
        self.stage.folder().join("backend/netsonde.db")
    }

    /// Keeps the backend from writing rows; none while it writes one itself.
    pub(crate) fn hold_rows(&self) -> Result<Option<HeldRows>> {
        HeldRows::of(&self.database())
    }

    /// Parts of uploads that are not whole yet.
    pub(crate) fn is_staged(&self) -> bool {
        self.stage.folder().join("backend/uploads").read_dir().is_ok_and(|mut files| files.next().is_some())
    }

    /// In which of the spool's folders a bundle lies, byte for byte.
    pub(crate) fn places(&self, parcel: &Parcel) -> Vec<&'static str> {
        let is_in = |stage: &&str| {
            let folder = parcel.state.join("spool").join(stage).join(&parcel.id);
            let files = folder.read_dir().into_iter().flatten().flatten();
            files.map(|file| file.path()).any(|path| std::fs::read(path).is_ok_and(|bytes| bytes == parcel.bytes))
        };
        ["ready", "sent"].into_iter().filter(is_in).collect()
    }

    /// How many bundles the backend has, by a look at each of them, and whether anything is wrong with one. The backend must have ended.
    pub(crate) async fn verify(&self) -> Result<(u64, bool, String)> {
        let mut command = Command::new(program("netsonde-backend")?);
        command.arg("verify").arg("--data").arg(self.stage.folder().join("backend"));
        let output = command.output().await.context("running netsonde-backend verify")?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let count = text.lines().find_map(|line| line.split_once(" bundles (")?.0.trim().parse().ok());
        Ok((count.with_context(|| format!("netsonde-backend verify said: {text}"))?, output.status.success(), text))
    }
}

/// The same ticket with the backend elsewhere on loopback.
pub(crate) fn moved(ticket: &str, port: u16, is_plain: bool) -> Result<String> {
    let mut ticket = Ticket::parse(ticket).context("reading the ticket")?;
    let scheme = if is_plain { "http" } else { ticket.backend.split_once("://").context("the backend's URL has no scheme")?.0 };
    ticket.backend = format!("{scheme}://127.0.0.1:{port}");
    if is_plain {
        ticket.tls_pin = None;
    }
    Ok(ticket.encode().to_string())
}
