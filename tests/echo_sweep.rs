//! Echo requests to ten thousand addresses in one run, all of which answer: whatever is lost is lost by netsonde itself. One namespace
//! to which a whole network is local.

use crate::small_network::possible;
use netsonde_contract::document::Document;
use netsonde_contract::kind::IcmpParams;
use netsonde_contract::observation::Fact;
use netsonde_tests::programs::program;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

const TARGETS: u32 = IcmpParams::MAX_ADDRESSES as u32;
/// Requests a second: ten times what is usual, so that the run takes a second where it keeps up.
const RATE: u32 = 10_000;
/// Sending takes a second and waiting for replies another; a machine that builds something meanwhile gets ten times as long.
const LIMIT: Duration = Duration::from_secs(20);
/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Two raw sockets, what names and the runtime need, and no more by the number of targets.
const MOST_SOCKETS: usize = 12;

/// A namespace, taken down with the test.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

impl Namespace {
    fn new() -> Self {
        let namespace = Self(format!("nse{}", std::process::id()));
        let name = &namespace.0;
        namespace.shell(&format!(
            "ip netns add {name}; ip -n {name} link set lo up; ip -n {name} route add local 10.99.0.0/16 dev lo"
        ));
        namespace
    }

    fn shell(&self, commands: &str) -> String {
        let output = Command::new("sh").args(["-e", "-c", commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A counter of ICMP as the kernel keeps it for this namespace.
    fn counted(&self, counter: &str) -> u64 {
        let text = self.shell(&format!("ip netns exec {} cat /proc/net/snmp", self.0));
        let lines: Vec<Vec<&str>> =
            text.lines().filter(|line| line.starts_with("Icmp:")).map(|line| line.split(' ').collect()).collect();
        let place = lines[0].iter().position(|name| *name == counter).unwrap();
        lines[1][place].parse().unwrap()
    }
}

/// How many sockets a process has; none once it has ended.
fn sockets(process: u32) -> usize {
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn ten_thousand_targets_are_asked_at_once_and_none_is_lost_by_us() {
    if !possible("echo requests to ten thousand addresses") {
        return;
    }
    let namespace = Namespace::new();
    let last = format!("10.99.{}.{}", TARGETS / 256, TARGETS % 256);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &namespace.0]).arg(program("netsonde").unwrap());
    command.args(["probe", "icmp", "10.99.0.1", "--targets", &format!("10.99.0.2-{last}"), "--count", "1"]);
    command.args(["--rate", &RATE.to_string(), "--format", "json"]);
    // `ip` becomes the program, so that the process is netsonde's.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        output.read_to_end(&mut text).unwrap();
        text
    });
    let (mut most_sockets, mut looks) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        most_sockets = most_sockets.max(sockets(child.id()));
        looks += 1;
        if LOOK * looks > LIMIT {
            child.kill().unwrap();
            panic!("it did not end within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    let document: Document = serde_json::from_slice(&reading.join().unwrap()).unwrap();
    let took = Duration::from_micros(document.run.took_us);
    assert!(took < LIMIT, "{took:?}");
    let mut facts = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).map(|observation| observation.fact);
    let Some(Fact::Sweep(sweep)) = facts.next() else { panic!("no sweep was recorded") };
    eprintln!(
        "{} of {} answered in {} ms, {most_sockets} sockets at most, median RTT {:?} us",
        sweep.answered,
        sweep.targets,
        took.as_millis(),
        sweep.rtt.as_ref().map(|rtt| rtt.median_us)
    );
    assert_eq!((sweep.targets, sweep.asked, sweep.answered), (TARGETS, TARGETS, TARGETS), "{sweep:?}");
    assert_eq!((sweep.sent, sweep.received), (TARGETS.into(), TARGETS.into()));
    assert_eq!((sweep.dropped_here, sweep.late, sweep.duplicates, sweep.corrupt), (0, 0, 0, 0));
    assert!(sweep.silent.is_empty() && sweep.errors.is_empty());
    // The kernel counted the same: nothing was sent twice to make up for a loss.
    assert_eq!((namespace.counted("InEchos"), namespace.counted("InEchoReps")), (TARGETS.into(), TARGETS.into()));
    assert!((1..=MOST_SOCKETS).contains(&most_sockets), "{most_sockets} sockets");
}
