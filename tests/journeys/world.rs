use netsonde_contract::document::Document;
use netsonde_tests::certificates::{Flaw, Pki};
use netsonde_tests::servers::{self, Server};
use netsonde_tests::stage::Stage;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

/// A stage with a PKI, and endpoints that are as good or bad as asked.
pub(crate) struct World {
    pub stage: Stage,
    pub pki: Pki,
    pub root: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let stage = Stage::new().unwrap();
        let pki = Pki::new().unwrap();
        let root = stage.folder().join("root.pem");
        std::fs::write(&root, pki.root_pem()).unwrap();
        Self { stage, pki, root }
    }

    /// An HTTPS endpoint on loopback; its URL and the server that keeps it up.
    pub(crate) async fn https(&self, address: &str, flaw: Flaw) -> (String, Server) {
        let socket: SocketAddr = SocketAddr::new(address.parse().unwrap(), 0);
        let config = servers::server_config(self.pki.identity(&[address.to_owned()], flaw).unwrap()).unwrap();
        let server = servers::serve_https(socket, config).await.unwrap();
        (format!("https://{}/", server.address), server)
    }

    /// `netsonde` with the given arguments and the world's root trusted.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let root = self.root.to_string_lossy();
        let mut all = arguments.to_vec();
        all.extend(["--trust", &root]);
        self.stage.netsonde(&all).await.unwrap()
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", text(output)))
}

/// Everything that was said, for messages of failed tests.
pub(crate) fn text(output: &Output) -> String {
    format!("{}\n--- messages\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn document(output: &Output) -> Document {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}
