//! What netsonde does not do: no port is opened and no packet is sent that nobody asked for.

use crate::small_network::{SmallNetwork, possible};
use netsonde_tests::programs::program;
use netsonde_tests::remote::Agent;
use netsonde_tests::stage::Stage;
use std::collections::HashSet;
use std::process::Output;

/// Packets that the client's programs sent since the counters were made, over any interface. What the kernel says by itself as a neighbour
/// and as a listener to groups is left out.
fn sent(network: &SmallNetwork) -> u64 {
    let output = network.command("c").args(["nft", "-j", "list", "counter", "inet", "sent", "counted"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    listed["nftables"][1]["counter"]["packets"].as_u64().unwrap()
}

fn run(network: &SmallNetwork, arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    let mut command = network.command("c");
    command.arg(program("netsonde").unwrap()).args(arguments).args(["--state-dir", &state.path().to_string_lossy()]);
    command.output().unwrap()
}

#[test]
fn a_preview_sends_no_packet() {
    if !possible("that a preview sends nothing") {
        return;
    }
    let network = SmallNetwork::new("q", 97);
    network.shell(&format!(
        "ip netns exec {} nft -f - <<'X'
table inet sent {{
  counter counted {{ }}
  chain output {{
    type filter hook output priority 0;
    icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld-listener-done, mld2-listener-report }} accept
    counter name counted
  }}
}}
X",
        network.node("c")
    ));
    let target = &network.server()[0];
    for arguments in [
        ["run", "web", "--target", "https://shop.invalid/", "--preview"],
        ["run", "path", "--target", target, "--preview"],
        ["run", "quick", "--target", "shop.invalid", "--preview"],
    ] {
        let output = run(&network, &arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(sent(&network), 0, "{arguments:?}");
    }
    // The same without the word is seen.
    run(&network, &["run", "port", "--target", &format!("{target}:9"), "--no-upload"]);
    assert!(sent(&network) > 0);
}

/// Local addresses of the process's sockets that wait for connections, as `/proc/net/tcp` writes them.
fn listening(process: u32) -> Vec<String> {
    let own: HashSet<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap();
        let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // State 0A is LISTEN; the tenth field is the socket's inode (proc_net_tcp.txt of the kernel's documentation).
        found.extend(fields.filter(|fields| fields[3] == "0A" && own.contains(fields[9])).map(|fields| fields[1].to_owned()));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_listens_on_no_port_until_it_is_told_to() {
    let stage = Stage::new().unwrap();
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap();
    let schedules = format!(
        "[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n[schedule.health]\nok_after = 1\n"
    );
    let mut agent = Agent::on(&stage, "quiet", "version = 1\n", None).unwrap();
    agent.configure(&schedules).unwrap();
    agent.start(&stage).unwrap();
    agent.until_says("is ok").await.unwrap();
    assert_eq!(listening(agent.process_id().unwrap()), [] as [String; 0], "{}", agent.log());
    agent.stop().await.unwrap();

    agent.configure(&format!("[metrics]\nlisten = \"127.0.0.1:0\"\n{schedules}")).unwrap();
    agent.start(&stage).unwrap();
    agent.until_says("metrics at").await.unwrap();
    let ports = listening(agent.process_id().unwrap());
    // 127.0.0.1 as the kernel prints it on this machine's byte order.
    let loopback = format!("{:08X}:", u32::from_ne_bytes([127, 0, 0, 1]));
    assert!(ports.len() == 1 && ports[0].starts_with(&loopback), "{ports:?}: {}", agent.log());
    agent.stop().await.unwrap();
}
