//! Two machines look at one server, and a filter lets only one of them through. Three namespaces without a way out.

use netsonde_contract::control::{ControlEffect, ControlRelation, DifferenceAbout};
use netsonde_contract::document::Document;
use netsonde_tests::programs::program;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// On the server's own loopback, so that both machines reach it by its one route.
const SERVER: &str = "10.89.9.9:80";

/// Two clients and a server, taken down with the test.
struct Network {
    prefix: String,
    folder: tempfile::TempDir,
    server: Option<Child>,
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // One that is gone already needs no killing.
            let _ = server.kill();
            let _ = server.wait();
        }
        for node in ["a", "b", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &self.node(node)]).output();
        }
    }
}

impl Network {
    fn new() -> Self {
        let mut network =
            Self { prefix: format!("nsv{}", std::process::id()), folder: tempfile::tempdir().unwrap(), server: None };
        let [first, second, server] = ["a", "b", "s"].map(|node| network.node(node));
        network.shell(&format!(
            "for n in {first} {second} {server}; do ip netns add $n; ip -n $n link set lo up; done
             ip -n {server} addr add 10.89.9.9/32 dev lo
             i=0
             for n in {first} {second}; do
               ip -n $n link add e0 type veth peer name to$i netns {server}
               ip -n $n addr add 10.89.$i.1/24 dev e0; ip -n {server} addr add 10.89.$i.254/24 dev to$i
               ip -n $n link set e0 up; ip -n {server} link set to$i up
               ip -n $n route add default via 10.89.$i.254
               for k in $(seq 50); do ip netns exec $n ping -c1 -W1 10.89.9.9 >/dev/null && break; sleep 0.1; done
               i=$((i+1))
             done"
        ));
        network.serve();
        network
    }

    fn node(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn shell(&self, commands: &str) {
        let output = Command::new("sh").args(["-e", "-c", commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn serve(&mut self) {
        let services = self.path("services.json");
        std::fs::write(&services, r#"[{"node":"r1","kind":"http","port":80}]"#).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.node("s")]).arg(program("lab").unwrap()).args(["serve", &services, &self.path("")]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.server = Some(child);
        assert_eq!(line.trim(), "ready");
    }

    /// The server drops what comes from the first machine to the port.
    fn block_first(&self) {
        let server = self.node("s");
        self.shell(&format!(
            "ip netns exec {server} nft 'add table ip f'
             ip netns exec {server} nft 'add chain ip f i {{ type filter hook input priority 0; }}'
             ip netns exec {server} nft 'add rule ip f i ip saddr 10.89.0.1 tcp dport 80 drop'"
        ));
    }

    fn netsonde(&self, node: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.node(node)]).arg(program("netsonde").unwrap()).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// A run on one machine, kept as a bundle.
    fn measured(&self, node: &str, name: &str) -> String {
        let (file, state) = (self.path(name), self.path(&format!("state-{node}")));
        let arguments = ["run", "port", "--target", SERVER, "--no-upload", "--out", &file, "--state-dir", &state];
        let output = self.netsonde(node, &arguments);
        assert!(std::path::Path::new(&file).is_file(), "{}", said(&output));
        file
    }

    fn diagnosed(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.netsonde("a", &[&["diagnose"], arguments].concat());
        (output.status.code().unwrap(), said(&output))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn document(text: &str) -> Document {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Whether the test can run here. Without root it says so and passes, but for continuous integration, where that is a failure.
fn possible() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let works =
        |tool: &str, argument: &str| Command::new(tool).arg(argument).output().is_ok_and(|output| output.status.success());
    if !(root && works("ip", "-V") && works("nft", "-v")) {
        assert!(std::env::var_os("CI").is_none(), "network namespaces need root, iproute2 and nftables");
        eprintln!("skipped: two_places_tell_a_filter_on_one_way: needs root, iproute2 and nftables");
        return false;
    }
    true
}

#[test]
fn two_places_tell_a_filter_on_one_way() {
    if !possible() {
        return;
    }
    let network = Network::new();
    let older = network.measured("a", "older.tar.gz");
    network.block_first();
    let here = network.measured("a", "here.tar.gz");
    let there = network.measured("b", "there.tar.gz");

    let (exit, text) = network.diagnosed(&[&here, "--format", "json"]);
    let alone = document(&text);
    assert_eq!((exit, alone.findings[0].cause.as_str(), alone.control.is_none()), (1, "tcp.filtered", true), "{text}");

    let (exit, text) = network.diagnosed(&[&here, "--against", &there, "--format", "json"]);
    let held = document(&text);
    let (finding, control) = (&held.findings[0], held.control.as_ref().unwrap());
    assert_eq!((exit, finding.cause.as_str(), control.relation), (1, "tcp.filtered", ControlRelation::OtherMachine), "{text}");
    let says = finding.control.as_ref().unwrap();
    assert!(says.effect == ControlEffect::Raised && finding.confidence > alone.findings[0].confidence, "{text}");
    assert!(control.differences.iter().any(|difference| difference.about == DifferenceAbout::Reach), "{text}");
    let verified = netsonde_contract::bundle::verify(&std::fs::read(&there).unwrap()).unwrap();
    assert!(control.bundle == verified.id && says.bundle == verified.id, "{text}");

    for (arguments, word) in [
        (vec!["--explain"], "the control:"),
        (vec!["--format", "markdown"], "### Against the control"),
        (vec!["--format", "html"], "Against the control"),
    ] {
        let (exit, text) = network.diagnosed(&[&[here.as_str(), "--against", &there], &arguments[..]].concat());
        assert!(exit == 1 && text.contains(word) && text.contains("connects"), "{text}");
    }

    let (_, text) = network.diagnosed(&[&here, "--against", &older, "--format", "json"]);
    let since = document(&text);
    assert_eq!(since.control.as_ref().unwrap().relation, ControlRelation::SameMachine, "{text}");
    assert!(since.findings[0].control.as_ref().unwrap().text.contains("It worked from this machine at"), "{text}");

    let broken = network.path("broken.tar.gz");
    let mut bytes = std::fs::read(&there).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&broken, bytes).unwrap();
    let (exit, text) = network.diagnosed(&[&here, "--against", &broken]);
    assert!(exit == 1 && text.contains("broken.tar.gz is not intact"), "{text}");
}
