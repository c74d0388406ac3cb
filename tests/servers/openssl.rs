use super::Server;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::Command;

/// How often it is asked whether it listens, 25 ms apart.
const TRIES: u32 = 200;

/// `openssl s_server` with these arguments, for what the library's own servers do not offer: old versions and ciphers, other
/// protocols, and statements about certificates. It ends with this process.
///
/// # Errors
/// Where it does not start.
pub async fn serve_openssl(address: SocketAddr, identity: &Path, arguments: &[String]) -> Result<Server> {
    // A plain process would outlive a lab that is killed.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "openssl", "s_server", "-www", "-accept", &address.to_string()]);
    command.arg("-cert").arg(identity).arg("-key").arg(identity).arg("-cert_chain").arg(identity).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().context("starting openssl s_server")?;
    for _ in 0..TRIES {
        if TcpStream::connect(address).await.is_ok() {
            let task = tokio::spawn(async move {
                // How it ends does not matter: the lab sees that nobody answers.
                let _ = process.wait().await;
            });
            return Ok(Server { address, tasks: vec![task] });
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!("openssl s_server does not listen on {address}")
}
