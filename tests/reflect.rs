//! Losses and packet sizes of one direction over a real router that drops in that direction only.

use crate::small_network::{SmallNetwork, possible};
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Reflection, ReflectorKind};
use netsonde_tests::programs::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

const PORT: u16 = 8_862;

/// The network with its reflector, taken down with the test.
struct Stage {
    network: SmallNetwork,
    reflector: Option<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut child) = self.reflector.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Stage {
    /// Starts the reflector and waits until it says that it listens.
    fn reflect(&mut self) {
        let mut command = self.network.command("s");
        command.arg(program("netsonde").unwrap()).args(["reflect", "--allow", "10.87.0.0/24", "--allow", "fd87::/64"]);
        for server in self.network.server() {
            let address = if server.contains(':') { format!("[{server}]:{PORT}") } else { format!("{server}:{PORT}") };
            command.args(["--listen", &address]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for _ in self.network.server() {
            assert!(lines.next().unwrap().unwrap().contains("answering"), "it says where it listens");
        }
        std::thread::spawn(move || lines.for_each(drop));
        self.reflector = Some(child);
    }

    /// Ctrl-C, and what the reflector says at its end.
    fn end(&mut self) -> String {
        let mut child = self.reflector.take().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text
    }

    /// Replaces the router's rules.
    fn rules(&self, rules: &str) {
        self.network.filter("r", "forward", rules);
    }

    /// What the client measures, over both families.
    fn measure(&self, more: &[&str]) -> Vec<Reflection> {
        let measure = |address: String| {
            let mut command = self.network.command("c");
            command.arg(program("netsonde").unwrap());
            command.args([
                "probe",
                "reflect",
                &address,
                "--port",
                &PORT.to_string(),
                "--interval-ms",
                "5",
                "--timeout-ms",
                "500",
            ]);
            let output = command.args(more).args(["--format", "json"]).output().unwrap();
            let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
            let fact = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).next().unwrap().fact;
            let Fact::Reflection(reflection) = fact else { panic!("{fact:?}") };
            *reflection
        };
        self.network.server().map(measure).into()
    }
}

#[test]
fn what_one_direction_alone_drops_is_told_from_the_other() {
    if !possible("loss and MTU of one direction") {
        return;
    }
    let mut stage = Stage { network: SmallNetwork::new("r", 87), reflector: None };
    stage.reflect();
    for found in stage.measure(&["--dscp", "46"]) {
        assert_eq!((found.sent, found.received, found.reflector), (50, 50, ReflectorKind::Stateful), "{found:?}");
        assert_eq!((found.forward.lost, found.reverse.lost, found.lost_unknown), (Some(0), Some(0), 0));
        assert_eq!((&found.forward.ttls, &found.reverse.ttls), (&vec![254], &vec![254]), "one router each way");
        assert_eq!((&found.forward.dscps, &found.reverse.dscps), (&vec![46], &vec![46]));
        assert_eq!((found.forward.mtu.unwrap().passed_bytes, found.reverse.mtu.unwrap().passed_bytes), (1_500, 1_500));
    }

    // Every fifth packet of each family, in one direction only.
    for (match_by, forward, reverse) in [("dport", 10, 0), ("sport", 0, 10)] {
        for family in ["ip", "ip6"] {
            stage.rules(&format!(
                "meta nfproto {} udp {match_by} {PORT} numgen inc mod 5 0 drop",
                if family == "ip" { "ipv4" } else { "ipv6" }
            ));
            let place = usize::from(family == "ip6");
            let found = stage.measure(&["--mtu=false"]).swap_remove(place);
            assert_eq!(
                (found.sent, found.forward.lost, found.reverse.lost),
                (50, Some(forward), Some(reverse)),
                "{family} {match_by}: {found:?}"
            );
            assert_eq!((found.received, found.lost_unknown), (40, 0));
        }
    }

    // Large packets, in one direction only, without a word.
    for (match_by, forward, reverse) in [("dport", 1_400, 1_400), ("sport", 1_500, 1_400)] {
        stage.rules(&format!("udp {match_by} {PORT} meta length > 1400 drop"));
        for found in stage.measure(&["--count", "5"]) {
            let (there, back) = (found.forward.mtu.unwrap(), found.reverse.mtu.unwrap());
            assert_eq!((there.passed_bytes, back.passed_bytes), (forward, reverse), "{match_by}: {found:?}");
            let stopped = (there.stopped_bytes, back.stopped_bytes);
            let expected = if match_by == "dport" { (Some(1_401), None) } else { (None, Some(1_401)) };
            assert_eq!(stopped, expected, "{match_by}");
        }
    }

    // All replies: nothing came back that could tell.
    stage.rules(&format!("udp sport {PORT} drop"));
    for found in stage.measure(&["--count", "3"]) {
        assert_eq!((found.forward.lost, found.reverse.lost, found.lost_unknown), (None, None, 3), "{found:?}");
    }

    let summary = stage.end();
    assert!(summary.contains("sessions"), "{summary}");
    assert!(summary.contains("10 lost on the way here"), "{summary}");
}
