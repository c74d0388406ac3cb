//! The clouds' services in a namespace without a way out, whose loopback has their addresses: small servers answer there as the clouds
//! document it, with words planted among what must not be kept.

use crate::small_network::possible;
use netsonde_contract::document::Document;
use netsonde_contract::observation::{CloudMetadata, CloudProvider, Fact};
use netsonde_tests::programs::program;
use netsonde_tests::servers::{CANARY, Headers, METADATA, METADATA_V6, PLATFORM, answer, metadata};
use nix::sched::{CloneFlags, setns};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A machine's only namespace, taken down with the test.
struct Machine {
    namespace: String,
    /// Which cloud it is in: an index of [`CloudProvider::ALL`].
    cloud: Arc<AtomicUsize>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).output();
    }
}

/// Tests of one process run at the same time.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Machine {
    fn new() -> Self {
        let machine = Self {
            namespace: format!("nsc{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)),
            cloud: Arc::default(),
        };
        let ns = &machine.namespace;
        machine.shell(&format!(
            "ip netns add {ns}; ip -n {ns} link set lo up
             ip -n {ns} addr add {METADATA}/32 dev lo; ip -n {ns} addr add {PLATFORM}/32 dev lo; ip -n {ns} addr add {METADATA_V6}/128 dev lo nodad"
        ));
        let (sender, ready) = std::sync::mpsc::channel();
        let (namespace, cloud) = (format!("/run/netns/{ns}"), machine.cloud.clone());
        // A namespace is the thread's own: what it binds stays there, and the test's other threads stay where they are.
        std::thread::spawn(move || {
            setns(std::fs::File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            for address in [format!("{METADATA}:80"), format!("[{METADATA_V6}]:80")] {
                let cloud = cloud.clone();
                serve(TcpListener::bind(address).unwrap(), move |request| {
                    metadata(request, CloudProvider::ALL[cloud.load(Ordering::SeqCst)])
                });
            }
            let in_azure = move |cloud: &AtomicUsize| CloudProvider::ALL[cloud.load(Ordering::SeqCst)] == CloudProvider::Azure;
            for port in [80, 32_526] {
                let cloud = cloud.clone();
                serve(TcpListener::bind((PLATFORM, port)).unwrap(), move |_| match (in_azure(&cloud), port) {
                    (true, 80) => answer(
                        200,
                        "",
                        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Versions><Preferred><Version>2015-04-05</Version></Preferred></Versions>",
                    ),
                    _ => answer(404, "", ""),
                });
            }
            let names = UdpSocket::bind((PLATFORM, 53)).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((count, from)) = names.recv_from(&mut buffer) {
                    (buffer[2], buffer[3]) = (0x81, 0x80);
                    let _ = names.send_to(&buffer[..count], from);
                }
            });
            sender.send(()).unwrap();
        });
        ready.recv().unwrap();
        machine
    }

    fn shell(&self, commands: &str) {
        let output = Command::new("sh").args(["-e", "-c", commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Replaces the machine's own rules.
    fn rules(&self, rules: &str) {
        self.shell(&format!(
            "ip netns exec {} nft -f - <<'X'
flush ruleset
table inet f {{
  chain output {{
    type filter hook output priority 0;
{rules}
  }}
}}
X",
            self.namespace
        ));
    }

    /// What netsonde says there, as text and as a document.
    fn measure(&self, providers: &str) -> (String, Document) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program("netsonde").unwrap());
        // A proxy must not be asked for what is on the machine's own host.
        command.env("http_proxy", "http://127.0.0.1:1").args([
            "probe",
            "cloud",
            "--providers",
            providers,
            "--timeout-ms",
            "500",
            "--format",
            "json",
        ]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let document = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
        (text, document)
    }
}

/// Answers each connection's one request.
fn serve(listener: TcpListener, answer: impl Fn(&(String, String, Headers)) -> String + Send + Sync + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = converse(stream, &answer);
        }
    });
}

fn converse(mut stream: TcpStream, answer: impl Fn(&(String, String, Headers)) -> String) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    stream.write_all(answer(&(method, path, headers)).as_bytes())
}

fn services(document: &Document) -> Vec<CloudMetadata> {
    let facts = document.outcomes.iter().flat_map(|outcome| &outcome.observations);
    facts
        .filter_map(|observation| if let Fact::CloudMetadata(fact) = &observation.fact { Some((**fact).clone()) } else { None })
        .collect()
}

fn causes(document: &Document) -> Vec<&str> {
    document.findings.iter().map(|finding| finding.cause.as_str()).collect()
}

#[test]
fn each_cloud_is_known_by_its_services_and_nothing_secret_is_kept() {
    if !possible("the clouds' services") {
        return;
    }
    let machine = Machine::new();
    let wanted: [&[(&str, &str)]; 3] = [
        &[
            ("region", "westeurope"),
            ("size", "Standard_D2s_v5"),
            ("zone", "1"),
            ("image_offer", "debian-12"),
            ("environment", "AzurePublicCloud"),
        ],
        &[("region", "eu-central-1"), ("zone", "eu-central-1a"), ("size", "m7g.large"), ("environment", "aws")],
        &[("region", "europe-west1"), ("zone", "europe-west1-b"), ("size", "e2-standard-2"), ("mtu", "1460")],
    ];
    for (place, (cloud, wanted)) in CloudProvider::ALL.into_iter().zip(wanted).enumerate() {
        machine.cloud.store(place, Ordering::SeqCst);
        let (text, document) = machine.measure("azure,aws,gcp");
        assert!(!text.contains(CANARY), "{cloud:?}: {text}");
        let recognised: Vec<CloudMetadata> = services(&document).into_iter().filter(|fact| fact.recognised).collect();
        assert!(
            !recognised.is_empty() && recognised.iter().all(|fact| fact.provider == cloud && fact.failure.is_none()),
            "{recognised:?}"
        );
        // AWS answers over IPv6 as well.
        assert_eq!(recognised.len(), if cloud == CloudProvider::Aws { 2 } else { 1 });
        for (name, value) in wanted {
            assert_eq!(recognised[0].fields.get(*name).map(String::as_str), Some(*value), "{cloud:?} {name}");
        }
        assert!(causes(&document).is_empty(), "{cloud:?}: {:?}", document.findings);
    }
}

#[test]
fn a_service_that_is_cut_off_is_named_where_the_cloud_is_known_by_another() {
    if !possible("the clouds' services") {
        return;
    }
    let machine = Machine::new();
    for (address, cause) in [(METADATA, "cloud.metadata_unreachable"), (PLATFORM, "cloud.platform_address_unreachable")] {
        machine.rules("");
        assert!(causes(&machine.measure("azure").1).is_empty(), "{cause} with the fault off");
        machine.rules(&format!("ip daddr {address} drop"));
        let document = machine.measure("azure").1;
        assert_eq!(causes(&document), [cause], "{:?}", document.findings);
    }
    // With both cut off nothing tells that this is a cloud at all, unless the firmware of the machine that runs the test does.
    machine.rules(&format!("ip daddr {{ {METADATA}, {PLATFORM} }} drop"));
    let document = machine.measure("azure").1;
    let hinted = document
        .outcomes
        .iter()
        .flat_map(|outcome| &outcome.observations)
        .any(|observation| matches!(&observation.fact, Fact::CloudHint(hint) if hint.provider == Some(CloudProvider::Azure)));
    assert_eq!(!causes(&document).is_empty(), hinted, "{:?}", document.findings);
}
