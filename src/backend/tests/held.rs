use super::organisation::Machine;
use super::server::Server;
use crate::store::AgentRow;
use netsonde_contract::request_signature::{Covered, content_digest, sign};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What a held request may cost here, in an unoptimised build and with the agent's side of the connection in the same process: two buffers of 8 KiB
/// that HTTP itself takes, and little else.
const MOST_BYTES: usize = 24 * 1024;
const AGENTS: usize = 400;

fn resident_bytes() -> Option<usize> {
    const PAGE: usize = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * PAGE)
}

#[tokio::test]
async fn a_held_request_costs_little() {
    let server = Server::start().await;
    let [first] = server.enrolled([1]).await;
    let row = server.app.store.agent(first.id().as_str()).await.unwrap().unwrap();
    let code = server.code(u32::try_from(2 * AGENTS).unwrap()).await;
    let mut machines = Vec::new();
    for number in 0..2 * AGENTS {
        let mut seed = [77; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let machine = Machine { bundle: ed25519_dalek::SigningKey::from_bytes(&seed), ..first.clone() };
        let agent = AgentRow { id: machine.id(), bundle_key: machine.bundle.verifying_key(), ..row.clone() };
        server.app.store.enrol(&agent, &code.id, server.app.clock.now()).await.unwrap();
        machines.push(machine);
    }
    // The first half fills what is filled once: pools, caches, tables.
    let mut held = Vec::new();
    for machine in &machines[..AGENTS] {
        held.push(hold(&server, machine).await);
    }
    let Some(before) = resident_bytes() else {
        eprintln!("skipped: a_held_request_costs_little: /proc/self/statm cannot be read here");
        return;
    };
    for machine in &machines[AGENTS..] {
        held.push(hold(&server, machine).await);
    }
    let after = resident_bytes().unwrap();
    let each = after.saturating_sub(before) / AGENTS;
    assert!(each <= MOST_BYTES, "{each} bytes each");
}

/// A request that is held on a connection of its own.
async fn hold(server: &Server, machine: &Machine) -> TcpStream {
    let digest = content_digest(b"");
    let (path, query) = ("/v1/work", "wait=50&root=1&list=1");
    let authority = server.url.split_once("://").unwrap().1;
    let covered = Covered { method: "GET", authority, path, query, content_digest: &digest };
    let headers = sign(&covered, machine.id().as_str(), server.app.clock.now(), "nonce-of-16-chars", &machine.transport);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET {path}?{query} HTTP/1.1\r\nHost: {authority}\r\nSignature-Input: {}\r\nSignature: {}\r\n\r\n",
        headers.input, headers.signature
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let id = machine.id();
    while !server.app.presence.is_online(&id) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stream
}
