use super::watch::{NAME, Watch};
use crate::small_network::possible;
use netsonde_contract::document::Document;
use netsonde_tests::remote::Agent;
use netsonde_tests::stage::Stage;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn set(addresses: impl IntoIterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
    addresses.into_iter().collect()
}

#[test]
fn a_preview_sends_no_packet() {
    if !possible("that a preview sends nothing") {
        return;
    }
    let watch = Watch::new("q", 97);
    let target = watch.servers()[0].to_string();
    for arguments in [
        ["run", "web", "--target", "https://shop.invalid/", "--preview"],
        ["run", "path", "--target", &target, "--preview"],
        ["run", "quick", "--target", "shop.invalid", "--preview"],
    ] {
        let output = watch.command(&[], &arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!((watch.seen(), watch.arp()), (BTreeSet::new(), 0), "{arguments:?}");
    }
    // The same without the word is seen, a question on the own link too.
    watch.run(&[], &["quick", "--target", &target, "--no-upload", "--budget", "3s"]);
    assert!(watch.seen().contains(&watch.servers()[0]) && watch.arp() > 0);
}

#[test]
fn a_run_sends_to_what_its_preview_names_and_to_the_name_servers_alone() {
    if !possible("where a run sends to") {
        return;
    }
    let watch = Watch::new("g", 98);
    let ([v4, v6], resolver): (_, IpAddr) = (watch.servers(), watch.resolver());
    let router: IpAddr = watch.network.router()[0].parse().unwrap();
    let (web, by_address, away) = (format!("http://{NAME}/"), format!("http://{v4}/"), format!("http://{v4}/to/{router}"));
    let port = format!("{v4}:9");
    for (arguments, named, must, may) in [
        (
            vec!["web", "--target", &web],
            vec![web.as_str(), NAME, "each configured name server"],
            set([v4, v6, resolver]),
            set([]),
        ),
        (vec!["web", "--target", &by_address], vec![by_address.as_str()], set([v4]), set([resolver])),
        (vec!["web", "--target", &away], vec![away.as_str(), "at most 10 redirects"], set([v4, router]), set([resolver])),
        (vec!["port", "--target", &port], vec![port.as_str()], set([v4]), set([resolver])),
        (vec!["dns", "--target", NAME], vec![NAME, "each configured name server"], set([resolver]), set([])),
        (vec!["quick", "--target", NAME], vec![NAME, "on the own link"], set([v4, v6, resolver]), set([])),
        (
            vec!["path", "--target", &port, "--param", "count=2", "--param", "rounds=1"],
            vec![&port[..port.len() - 2]],
            set([v4]),
            set([resolver]),
        ),
    ] {
        let preview = watch.run(&[], &[&arguments[..], &["--preview"]].concat());
        let shown = said(&preview);
        assert!(named.iter().all(|name| shown.contains(name)), "{named:?}: {shown}");
        watch.forget();
        let output = watch.run(&[], &[&arguments[..], &["--no-upload", "--budget", "8s"]].concat());
        let seen = watch.seen();
        assert!(must.is_subset(&seen), "{arguments:?} sent to {seen:?} only: {}", said(&output));
        assert!(seen.is_subset(&must.union(&may).copied().collect()), "{arguments:?} sent to {seen:?}: {}", said(&output));
    }
}

/// Every file below the folder that holds the bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if std::fs::read(&path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes)) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_sends_nothing_but_what_its_own_file_asks_for() {
    if !possible("where an agent sends to") {
        return;
    }
    let watch = Watch::new("a", 99);
    let (target, collector) = (watch.servers()[0], watch.resolver());
    let stage = Stage::new().unwrap();
    stage.enter(&watch.network.node("c"));
    let mut agent = Agent::on(&stage, "quiet", "version = 1\n", None).unwrap();

    // No file, no enrolment: it ends without a packet.
    agent.start(&stage).unwrap();
    agent.until_says("there is nothing to do").await.unwrap();
    assert_eq!(watch.seen(), set([]), "{}", agent.log());

    let schedule = format!(
        "[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}:80\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n[schedule.health]\nok_after = 1\n"
    );
    agent.configure(&schedule).unwrap();
    agent.start(&stage).unwrap();
    agent.until_says("is ok").await.unwrap();
    // Whoever reports where it runs does so soon after it began.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(watch.seen(), set([target]), "{}", agent.log());
    agent.stop().await.unwrap();

    let headers = watch.path("headers");
    std::fs::write(&headers, "Authorization: Bearer canary-7c1f\n").unwrap();
    let otlp = format!("[otlp]\nendpoint = \"http://{collector}:4318/503\"\nevery = \"5s\"\nheaders_file = \"{headers}\"\n");
    agent.configure(&format!("{otlp}{schedule}")).unwrap();
    agent.start(&stage).unwrap();
    agent.until_says("it answered 503").await.unwrap();
    assert_eq!(watch.seen(), set([target, collector]), "{}", agent.log());
    agent.stop().await.unwrap();
    assert_eq!(holding(stage.folder(), b"canary-7c1f"), [] as [String; 0]);
}

#[test]
fn a_firewalls_rule_for_a_user_holds_what_their_run_sends() {
    if !possible("that a firewall holds a user's run") {
        return;
    }
    let watch = Watch::new("u", 96);
    let client = watch.network.node("c");
    // Before the chain that sees: what is dropped here is sent by nobody.
    watch.network.shell(&format!(
        "ip netns exec {client} nft 'table inet of_a_user {{
           chain out {{ type filter hook output priority -1; meta skuid 65534 drop; }}
         }}'"
    ));
    let target = watch.servers()[0].to_string();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let kinds: [&[&str]; 7] = [
        &["probe", "tcp", &target, "80", "--timeout-ms", "300"],
        &["probe", "icmp", &target, "--count", "1", "--timeout-ms", "300"],
        &["probe", "traceroute", &target, "--rounds", "1", "--max-ttl", "2", "--timeout-ms", "300"],
        &["probe", "mtu", &target, "--timeout-ms", "300"],
        &["probe", "dns", NAME, "--attempts", "1", "--timeout-ms", "300"],
        &["probe", "ntp", &target, "--timeout-ms", "300"],
        &["probe", "quic", &target, "443", "--timeout-ms", "300"],
    ];
    let raw = [&nobody[..], &["--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"]].concat();
    for arguments in kinds {
        for user in [&nobody[..], &raw] {
            let output = watch.command(user, &[arguments, &["--format", "json"]].concat()).output().unwrap();
            let measured: Result<Document, _> = serde_json::from_slice(&output.stdout);
            assert!(measured.is_ok_and(|document| !document.outcomes.is_empty()), "{}", said(&output));
            assert_eq!(watch.seen(), set([]), "{user:?} {arguments:?}: {}", said(&output));
        }
    }
    // Another user's is not held.
    watch.command(&[], kinds[0]).output().unwrap();
    assert!(watch.seen().contains(&watch.servers()[0]));
}
