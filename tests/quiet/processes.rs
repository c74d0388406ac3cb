use super::watch::{NAME, Watch};
use crate::small_network::possible;
use netsonde_contract::document::Document;
use netsonde_contract::kind::Kind;
use netsonde_tests::platform::deny_processes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

/// One measurement of each kind, short where the network leaves it unanswered.
fn measurement(kind: Kind, target: &str) -> Vec<String> {
    let url = format!("http://{target}/");
    let words: &[&str] = match kind {
        Kind::Dns => &[NAME],
        Kind::Tcp => &[target, "80"],
        Kind::Icmp => &[target, "--count", "1"],
        Kind::Traceroute => &[target, "--rounds", "1", "--max-ttl", "3"],
        Kind::Tls => &[target, "80", "--timeout-ms", "500"],
        Kind::Http => &[&url],
        Kind::Proxy => &["http://shop.example/", "--proxy", &url],
        Kind::Load => &[&url, "--max-bytes", "100000", "--idle-s", "1", "--load-s", "1"],
        Kind::Mtu | Kind::Ntp | Kind::Reflect => &[target, "--timeout-ms", "500"],
        Kind::Quic => &[target, "443", "--timeout-ms", "500"],
        Kind::Cloud => &["--timeout-ms", "300"],
        Kind::Service => &[target, "ssh", "80", "--timeout-ms", "500"],
        Kind::Host => &[],
    };
    [&["probe", kind.name()], words, &["--format", "json"]].concat().into_iter().map(str::to_owned).collect()
}

/// Who starts another program begins a process first: the kernel ends it there. Whoever becomes another program prints no result.
#[test]
fn a_measurement_of_every_kind_and_a_run_start_no_process() {
    if !possible("that netsonde starts no process") {
        return;
    }
    let mut control = Command::new("sh");
    deny_processes(control.args(["-c", "true & wait"])).unwrap();
    assert_eq!(control.status().unwrap().signal(), Some(Signal::SIGSYS as i32), "the kernel lets processes begin");

    let watch = Watch::new("k", 95);
    let target = watch.servers()[0].to_string();
    let (url, state) = (format!("http://{NAME}/"), watch.path("state"));
    let run = ["run", "web", "--target", &url, "--no-upload", "--budget", "8s", "--state-dir", &state, "--format", "json"];
    let kinds = Kind::ALL.iter().map(|kind| measurement(*kind, &target));
    for arguments in kinds.chain([run.map(str::to_owned).to_vec()]) {
        let mut command = watch.command(&[], &arguments);
        deny_processes(&mut command).unwrap();
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), None, "{arguments:?} begins a process");
        let document: Result<Document, _> = serde_json::from_slice(&output.stdout);
        assert!(document.is_ok_and(|document| !document.outcomes.is_empty()), "{arguments:?}: {output:?}");
    }
}

#[test]
fn an_agent_starts_no_process() {
    if !possible("that the agent starts no process") {
        return;
    }
    let watch = Watch::new("w", 93);
    let [policy, config, state, log] = ["policy.toml", "agent.toml", "state", "log"].map(|name| watch.path(name));
    let schedule = "every = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n[schedule.health]\nfailing_after = 1\nok_after = 1\n";
    let [good, bad] = [80, 81].map(|port| {
        let target = watch.servers()[0];
        format!("[[schedule]]\nname = \"p{port}\"\nset = \"port\"\ntargets = [\"{target}:{port}\"]\ndeep = \"port\"\n{schedule}")
    });
    std::fs::write(&policy, "version = 1\n").unwrap();
    std::fs::write(&config, format!("[metrics]\nlisten = \"127.0.0.1:0\"\n{good}{bad}")).unwrap();
    let mut command = watch.command(&[], &["agent", "--policy", &policy, "--config", &config, "--state-dir", &state]);
    deny_processes(&mut command).unwrap();
    let mut agent = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    // One that is well, and one whose failure is looked into and packed.
    let is_done = || ["is ok", "is in the bundle"].iter().all(|words| said().contains(words));
    // A minute; it takes a few seconds.
    for _ in 0..1_200 {
        if is_done() {
            break;
        }
        assert_eq!(agent.try_wait().unwrap(), None, "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(is_done(), "{}", said());
    kill(Pid::from_raw(i32::try_from(agent.id()).unwrap()), Signal::SIGTERM).unwrap();
    let ended = agent.wait().unwrap();
    assert!(ended.success(), "{ended}: {}", said());
}
