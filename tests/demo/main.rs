//! The whole way in one command: backend, ticket, run, bundle, upload, case page, all real and on this machine.
#![expect(clippy::print_stdout, reason = "what the demo prints is what it is for")]

/// Schedules and health.
mod health;
/// An organisation, agents and orders.
mod remote;

use anyhow::{Context, Result, bail};
use clap::Parser;
use netsonde_contract::document::Document;
use netsonde_contract::finding::Severity;
use netsonde_tests::certificates::{Flaw, Pki};
use netsonde_tests::programs::program;
use netsonde_tests::servers::{self, Server};
use netsonde_tests::stage::{Backend, Stage};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Starts a support backend, makes a ticket, runs the `web` probe set on it against the targets, uploads the signed bundle, verifies it
/// and shows where the case can be read.
#[derive(Parser)]
#[command(
    name = "demo",
    after_help = "Examples:\n  cargo demo\n  cargo demo https://example.org/\n  cargo demo --exit\n  cargo demo --remote --exit\n  cargo demo --health --exit"
)]
struct Arguments {
    /// Web addresses to look at; none starts two endpoints on this machine, one healthy and one with an expired certificate.
    targets: Vec<String>,
    /// Leave when all is shown, instead of keeping the case page up until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Show orders in place of tickets: an organisation, two enrolled machines, one order that runs and one that a policy refuses.
    #[arg(long, conflicts_with = "targets")]
    remote: bool,
    /// Show schedules in place of tickets: a service goes bad, its state changes, and the evidence arrives with its history.
    #[arg(long, conflicts_with_all = ["targets", "remote"])]
    health: bool,
    /// Write where the case page is, and the way in, to this file as JSON.
    #[arg(long, hide = true)]
    details: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // `cargo demo -- --exit` and `cargo demo --exit` mean the same: the alias ends in `--` already.
    let arguments =
        Arguments::parse_from(std::env::args().enumerate().filter(|(i, text)| *i != 1 || text != "--").map(|(_, text)| text));
    let show = tokio::select! {
        done = show(&arguments) => done,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    };
    // The endpoints, the backend and the folder are gone by now: each goes with its owner.
    show
}

async fn show(arguments: &Arguments) -> Result<ExitCode> {
    have_programs().await?;
    if arguments.remote {
        return show_remote(arguments).await;
    }
    if arguments.health {
        let watched = health::show().await?;
        if !arguments.exit {
            println!("\nThe backend {} and the agent stay up until Ctrl-C.", watched.backend.url);
            tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stage = Stage::new()?;
    let mut endpoints = Vec::new();
    let mut targets = arguments.targets.clone();
    let pki = Pki::new()?;
    let root = stage.folder().join("root.pem");
    std::fs::write(&root, pki.root_pem()).context("writing the demo's root certificate")?;
    if targets.is_empty() {
        for (flaw, what) in [(Flaw::None, "a healthy endpoint"), (Flaw::Expired, "an endpoint whose certificate has expired")] {
            let endpoint = endpoint(&pki, flaw).await?;
            let target = format!("https://{}/", endpoint.address);
            println!("Started {what}: {target}");
            targets.push(target);
            endpoints.push(endpoint);
        }
    }
    let backend = Backend::start(&stage).await?;
    println!("Started a support backend: {}", backend.url);
    let ticket = stage.ticket(&backend, "DEMO-1", "web", &targets).await?.ticket;
    println!(
        "The engineer makes a ticket for case DEMO-1; the customer runs:\n\n  netsonde run --ticket {}…\n",
        &ticket[..ticket.len().min(24)]
    );
    let bundle = stage.folder().join("bundle.tar.gz");
    run(&stage, &ticket, &root, &bundle).await?;
    let document = verify(&stage, &bundle).await?;
    show_case(&document, &backend, arguments.details.as_deref())?;
    if !arguments.exit {
        println!("\nThe case page stays up until Ctrl-C.");
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    }
    drop(endpoints);
    Ok(ExitCode::SUCCESS)
}

async fn show_remote(arguments: &Arguments) -> Result<ExitCode> {
    let remote = remote::show().await?;
    if let Some(path) = &arguments.details {
        write_details(path, &remote::details(&remote))?;
    }
    if !arguments.exit {
        println!("\nCase page and agents stay up until Ctrl-C.");
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn endpoint(pki: &Pki, flaw: Flaw) -> Result<Server> {
    let config = servers::server_config(pki.identity(&["127.0.0.1".into()], flaw)?)?;
    servers::serve_https(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), config).await
}

/// The programs that the demo shows, which belong to other packages.
const PROGRAMS: [&str; 3] = ["netsonde", "netsonde-desk", "netsonde-backend"];
/// One build links the programs one after the other; what is older than the demo by more was built from something else.
const ONE_BUILD: Duration = Duration::from_secs(15 * 60);

/// Uses the programs beside this one, of the same build. Where one is missing, it builds all three, which `cargo run` does not.
async fn have_programs() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| program(name).is_err()).collect();
    if !missing.is_empty() {
        println!("Building the programs, since there is no {} beside this one …", missing.join(", no "));
        build().await?;
    }
    let first = program(PROGRAMS[0])?;
    println!("The programs are those in {}", first.parent().unwrap_or(&first).display());
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let own = std::env::current_exe().ok().and_then(|own| changed(&own));
    for name in PROGRAMS {
        let age = own.zip(changed(&program(name)?)).and_then(|(own, built)| own.duration_since(built).ok());
        if let Some(age) = age.filter(|age| *age > ONE_BUILD) {
            println!("  {name} is {} min older than this demo: cargo build --workspace --bins", age.as_secs() / 60);
        }
    }
    Ok(())
}

/// Builds them as this program was built, and where it lies.
async fn build() -> Result<()> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    command.args(["build", "--quiet", "--profile", profile]);
    for name in ["netsonde-agent", "netsonde-desk", "netsonde-backend"] {
        command.args(["--package", name]);
    }
    command.arg("--bins").arg("--target-dir").arg(folder.parent().unwrap_or(folder));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if !command.status().await.context("running cargo build")?.success() {
        bail!("cargo build failed; its messages are above");
    }
    Ok(())
}

/// Runs the ticket, as a customer does, and shows what the customer sees.
async fn run(stage: &Stage, ticket: &str, root: &Path, bundle: &Path) -> Result<()> {
    let (root, bundle) = (root.to_string_lossy(), bundle.to_string_lossy());
    let output = stage.netsonde(&["run", "--ticket", ticket, "--yes", "--trust", &root, "--out", &bundle]).await?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    // 1 says that something was found, which is what the demo is about.
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("netsonde ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Proves the bundle with netsonde itself and, where it is installed, with nothing but `ssh-keygen`.
async fn verify(stage: &Stage, bundle: &Path) -> Result<Document> {
    let output = stage.netsonde(&["bundle", "verify", &bundle.to_string_lossy()]).await?;
    if !output.status.success() {
        bail!("netsonde bundle verify: {}", String::from_utf8_lossy(&output.stderr));
    }
    println!("The bundle verifies: netsonde bundle verify");
    match stage.verify_with_ssh_keygen(bundle).await? {
        Some(words) => println!("The bundle verifies: ssh-keygen -Y verify says “{words}”"),
        None => println!("ssh-keygen is not installed, so the bundle was not verified with it."),
    }
    let bytes = std::fs::read(bundle).with_context(|| format!("reading {}", bundle.display()))?;
    netsonde_contract::bundle::verify(&bytes).and_then(|bundle| bundle.document()).context("reading the bundle")
}

fn show_case(document: &Document, backend: &Backend, details: Option<&Path>) -> Result<()> {
    println!("\nIn short:");
    for target in &document.run.targets {
        let shown = target.to_string();
        let finding = document
            .findings
            .iter()
            .find(|finding| finding.severity >= Severity::Degraded && finding.target.as_ref() == Some(&shown));
        match finding {
            Some(finding) => println!("  {shown}  {}: {}", finding.cause, finding.sentence),
            None => println!("  {shown}  no problem"),
        }
    }
    let page = format!("{}/cases/DEMO-1", backend.url);
    println!("\nThe engineer reads the case at {page}\n  sign in as engineer with the password {}", backend.password);
    println!("  (the browser warns about the certificate, which this backend made for itself a moment ago)");
    if let Some(path) = details {
        let json =
            serde_json::json!({ "page": page, "url": backend.url, "password": backend.password, "tls_pin": backend.tls_pin });
        write_details(path, &json)?;
    }
    Ok(())
}

/// Whole or not at all: a reader waits for the file to appear.
fn write_details(path: &Path, json: &serde_json::Value) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, json.to_string()).with_context(|| format!("writing {}", unfinished.display()))?;
    std::fs::rename(&unfinished, path).with_context(|| format!("writing {}", path.display()))
}
