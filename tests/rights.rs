//! What netsonde says that it sees with some of root's capabilities, as in a container, and what it then sees.

use netsonde_tests::programs::program;
use netsonde_tests::remote::Agent;
use netsonde_tests::stage::Stage;
use serde_json::Value;
use std::process::Command;

/// Runs a shell's words on a tree of folders without the marks of a container at its top, in a network of its own.
const BARE: &str = r#"
cd "$FOLDER" && mount -t tmpfs bare . && cd "$FOLDER"
for each in /*; do
    if [ -L "$each" ]; then cp -a "$each" .; elif [ -d "$each" ]; then mkdir ".$each" && mount --rbind "$each" ".$each"; fi
done
mount -t tmpfs none ./run && ip link set lo up && exec chroot . sh -e -c "$1""#;

/// Where another user's program waits, and how `/proc/net/udp` writes it.
const PORT: u16 = 8862;
const PORT_IN_HEX: &str = ":229E ";

fn is_possible() -> bool {
    let everything = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
        // Those of the network, of processes, and for mounting.
        u64::from_str_radix(effective.trim(), 16).is_ok_and(|bits| [2, 10, 12, 13, 19, 21].iter().all(|bit| bits >> bit & 1 == 1))
    });
    if !everything {
        eprintln!("skipped: what is seen with each capability: needs root with all of them");
    }
    everything
}

/// What netsonde prints as root with these capabilities and no others, within what looks like a container or not.
fn netsonde(capabilities: &str, container: bool, arguments: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let words = format!(
        "setpriv --reuid 65534 --regid 65534 --clear-groups \"$NETSONDE\" reflect --listen 127.0.0.1:{PORT} >/dev/null 2>&1 & held=$!
        until grep -q '{PORT_IN_HEX}' /proc/self/net/udp; do kill -0 $held; sleep 0.05; done
        code=0; setpriv --inh-caps=-all --bounding-set=-all,{capabilities} \"$NETSONDE\" {arguments} || code=$?
        kill $held; exit $code"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "sh", "-e", "-c", BARE, "sh", &words]);
    let (path, program) = (std::env::var_os("PATH").unwrap(), program("netsonde").unwrap());
    command.env_clear().env("PATH", path).env("FOLDER", folder.path()).env("NETSONDE", program);
    if container {
        command.env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{capabilities} {arguments}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap()
}

fn sight<'t>(table: &'t Value, name: &str) -> &'t Value {
    table["sights"].as_array().unwrap().iter().find(|sight| sight["name"] == name).unwrap()
}

fn fact<'d>(document: &'d Value, name: &str) -> &'d Value {
    let outcomes = document["outcomes"].as_array().unwrap();
    let mut observations = outcomes.iter().flat_map(|outcome| outcome["observations"].as_array().unwrap());
    observations.find(|observation| observation["fact"] == name).unwrap()
}

#[test]
fn what_root_sees_goes_by_its_capabilities_and_is_what_the_table_says() {
    if !is_possible() {
        return;
    }
    let (raw, filter, owners, dhcp) = ("capture", "host.firewall", "host.owners", "service.dhcp");
    for (capabilities, expected) in [
        // What Docker gives by default, as far as it matters here.
        ("+net_raw,+net_bind_service,+dac_override,+chown,+setuid", &[raw, dhcp][..]),
        ("+net_admin", &[filter]),
        ("+sys_ptrace,+dac_read_search", &[owners]),
        ("+sys_ptrace,+dac_override", &[owners]),
        ("+sys_ptrace", &[]),
        ("+dac_read_search", &[]),
    ] {
        let table = netsonde(capabilities, true, "capabilities --json");
        for name in [raw, filter, owners, dhcp] {
            assert_eq!(sight(&table, name)["seen"], expected.contains(&name), "{name} with {capabilities}");
        }
        let document = netsonde(capabilities, true, "probe host --format json");
        let firewall = fact(&document, "firewall");
        assert_eq!(firewall["unread"].is_null(), expected.contains(&filter), "{capabilities}: {firewall}");
        let listening = fact(&document, "sockets")["listening"].as_array().unwrap();
        let other = listening.iter().find(|listener| listener["port"] == PORT).unwrap();
        assert_eq!(other["process"] == "netsonde", expected.contains(&owners), "{capabilities}: {other}");
        assert_eq!(document["environment"]["elevated"], false, "{capabilities}");
    }
}

#[test]
fn who_can_grant_the_rest_is_told_by_where_the_process_is() {
    if !is_possible() {
        return;
    }
    let all = "+net_raw,+net_bind_service,+net_admin,+sys_ptrace,+dac_read_search";
    for (capabilities, container, name, expected) in [
        ("+net_raw", true, "host.firewall", "start the container with --user 0 --cap-add NET_ADMIN ("),
        ("+net_admin", true, "capture", "start the container with --user 0 --cap-add NET_RAW ("),
        ("+net_raw", false, "host.firewall", "start it with CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN "),
    ] {
        let table = netsonde(capabilities, container, "capabilities --json");
        let grant = sight(&table, name)["grant"].as_str().unwrap();
        assert!(grant.starts_with(expected), "{capabilities}: {grant}");
        let document = netsonde(capabilities, container, "probe host --format json");
        let unread = &fact(&document, "firewall")["unread"]["grant"];
        assert!(name != "host.firewall" || unread.as_str() == Some(grant), "{capabilities}: {unread}");
    }
    let document = netsonde(all, false, "probe host --format json");
    assert_eq!((&document["environment"]["elevated"], &document["not_measured"]), (&true.into(), &Value::Array(Vec::new())));
}

/// Started as root with every right; the packaged unit gives it less from the first.
#[tokio::test(flavor = "multi_thread")]
async fn every_thread_of_a_service_keeps_the_right_to_raw_sockets_alone_and_is_held_to_its_folder() {
    if !is_possible() {
        return;
    }
    let stage = Stage::new().unwrap();
    // It takes connections and says nothing: a run that waits has threads.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = silent.local_addr().unwrap();
    let mut agent = Agent::on(&stage, "held", "version = 1\n", None).unwrap();
    let schedule = format!(
        "[[schedule]]\nname = \"shop\"\nset = \"web\"\ntargets = [\"http://{target}/\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n"
    );
    agent.configure(&schedule).unwrap();
    agent.start(&stage).unwrap();
    let tasks = format!("/proc/{}/task", agent.process_id().unwrap());
    let statuses = || -> Vec<String> {
        let threads = std::fs::read_dir(&tasks).unwrap().flatten();
        // One that ended in between has no rights.
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok()).collect()
    };
    let mut seen = statuses();
    // What it gives up it gives up before its second thread.
    for _ in 0..1_000 {
        if seen.len() > 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        seen = statuses();
    }
    assert!(seen.len() > 1, "no run has begun: {}", agent.log());
    for status in seen {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            // CAP_NET_RAW is 13 (linux/capability.h).
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap() & !(1 << 13), 0, "{set} {status}");
        }
    }
    let config = agent.config().to_string_lossy().into_owned();
    let status = agent.netsonde(&stage, &["agent", "status", "--config", &config]).await.unwrap();
    if status.contains("files open;") {
        eprintln!("skipped: that the service's files are closed: the kernel has no Landlock");
    } else {
        assert!(status.contains("files closed by Landlock; cap_net_raw\n"), "{status}");
    }
    assert!(agent.stop().await.unwrap().success());
}
