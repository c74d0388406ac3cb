use netsonde_tests::remote::Agent;
use netsonde_tests::stage::Stage;
use std::collections::HashSet;

/// Tables of `/proc/net` with the state that waits: 0A is LISTEN, 07 a UDP socket that is connected to nobody (proc_net_tcp.txt of the kernel's
/// documentation).
const TCP: [(&str, &str); 2] = [("tcp", "0A"), ("tcp6", "0A")];
const UDP: [(&str, &str); 2] = [("udp", "07"), ("udp6", "07")];

/// Local addresses of the process's sockets that wait for connections, or for packets from anybody, as `/proc/net/tcp` writes them.
fn listening(process: u32, tables: &[(&str, &str)]) -> Vec<String> {
    let own: HashSet<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut found = Vec::new();
    for (table, state) in tables {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap();
        let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // The tenth field is the socket's inode.
        found.extend(fields.filter(|fields| fields[3] == *state && own.contains(fields[9])).map(|fields| fields[1].to_owned()));
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
    assert_eq!(listening(agent.process_id().unwrap(), &[TCP, UDP].concat()), [] as [String; 0], "{}", agent.log());
    agent.stop().await.unwrap();

    agent.configure(&format!("[metrics]\nlisten = \"127.0.0.1:0\"\n{schedules}")).unwrap();
    agent.start(&stage).unwrap();
    agent.until_says("metrics at").await.unwrap();
    let ports = listening(agent.process_id().unwrap(), &TCP);
    // 127.0.0.1 as the kernel prints it on this machine's byte order.
    let loopback = format!("{:08X}:", u32::from_ne_bytes([127, 0, 0, 1]));
    assert!(ports.len() == 1 && ports[0].starts_with(&loopback), "{ports:?}: {}", agent.log());
    agent.stop().await.unwrap();
}
