//! What clouds give every machine at their own addresses, as each documents it. Only for namespaces without a way out: at these addresses
//! a real machine of a cloud has the real thing.

use super::{Server, serve_connections};
use anyhow::{Context, Result};
use netsonde_contract::observation::CloudProvider;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};

pub const METADATA: &str = "169.254.169.254";
pub const METADATA_V6: &str = "fd00:ec2::254";
pub const PLATFORM: &str = "168.63.129.16";
/// In whatever must not be kept.
pub const CANARY: &str = "canary0c4n4ry0canary0c4n4ry";

/// A request has no more lines than this in its head.
const MOST_LINES: usize = 100;

/// The headers of a request, their names in lower case.
pub type Headers = HashMap<String, String>;

/// One answer of a web server.
pub fn answer(status: u16, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{header}\r\n{body}", body.len())
}

/// As each cloud documents its service: without its header nothing is told.
pub fn metadata((method, path, headers): &(String, String, Headers), cloud: CloudProvider) -> String {
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    match cloud {
        CloudProvider::Azure if has("metadata", "true") && path.starts_with("/metadata/instance/compute?api-version=") => answer(
            200,
            "Content-Type: application/json; charset=utf-8\r\nServer: IMDS/150.870.65.1\r\n",
            &format!(
                r#"{{"azEnvironment":"AzurePublicCloud","customData":"{CANARY}","location":"westeurope","name":"{CANARY}","offer":"debian-12","osType":"Linux",
                "publicKeys":[{{"keyData":"{CANARY}"}}],"publisher":"Debian","resourceGroupName":"{CANARY}","sku":"12-gen2","subscriptionId":"{CANARY}",
                "tags":"{CANARY}","userData":"{CANARY}","vmId":"{CANARY}","vmSize":"Standard_D2s_v5","zone":"1"}}"#
            ),
        ),
        CloudProvider::Aws if method == "PUT" => match headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds") {
            true => answer(200, "Server: EC2ws\r\n", CANARY),
            false => answer(400, "", ""),
        },
        CloudProvider::Aws if has("x-aws-ec2-metadata-token", CANARY) => match path.as_str() {
            "/latest/meta-data/placement/region" => answer(200, "", "eu-central-1"),
            "/latest/meta-data/placement/availability-zone" => answer(200, "", "eu-central-1a"),
            "/latest/meta-data/instance-type" => answer(200, "", "m7g.large"),
            "/latest/meta-data/services/partition" => answer(200, "", "aws"),
            _ => answer(200, "", CANARY),
        },
        CloudProvider::Aws => answer(401, "", ""),
        CloudProvider::Gcp if has("metadata-flavor", "Google") => {
            let body = match path.as_str() {
                "/computeMetadata/v1/instance/zone" => format!("projects/{CANARY}/zones/europe-west1-b"),
                "/computeMetadata/v1/instance/machine-type" => format!("projects/{CANARY}/machineTypes/e2-standard-2"),
                "/computeMetadata/v1/instance/network-interfaces/0/mtu" => "1460".to_owned(),
                _ => CANARY.to_owned(),
            };
            answer(200, "Metadata-Flavor: Google\r\n", &body)
        }
        _ => answer(403, "", CANARY),
    }
}

/// The addresses at which this cloud serves its machines; none where it is unknown.
pub fn cloud_addresses(cloud: &str) -> Vec<IpAddr> {
    let texts: &[&str] = match CloudProvider::from_name(cloud) {
        Some(CloudProvider::Azure) => &[METADATA, PLATFORM],
        Some(CloudProvider::Aws) => &[METADATA, METADATA_V6],
        Some(CloudProvider::Gcp) => &[METADATA],
        _ => &[],
    };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The metadata of a cloud, and of Azure the platform's address, at the cloud's own addresses.
///
/// # Errors
/// Where the cloud is unknown or an address cannot be listened on.
pub async fn serve_cloud(cloud: &str) -> Result<Vec<Server>> {
    let provider = CloudProvider::from_name(cloud).with_context(|| format!("`{cloud}` is no cloud: azure, aws or gcp"))?;
    let platform: IpAddr = PLATFORM.parse().context("the platform's address")?;
    let mut running = Vec::new();
    for address in cloud_addresses(cloud).into_iter().filter(|address| *address != platform) {
        running.push(serve_requests(SocketAddr::new(address, 80), move |request| metadata(request, provider)).await?);
    }
    if provider == CloudProvider::Azure {
        running.push(serve_requests(SocketAddr::new(platform, 80), |_| answer(200, "", VERSIONS)).await?);
        running.push(serve_requests(SocketAddr::new(platform, AGENT_PORT), |_| answer(404, "", "")).await?);
        running.push(serve_names(SocketAddr::new(platform, 53)).await?);
    }
    Ok(running)
}

/// Where an Azure machine's agent asks for extensions.
const AGENT_PORT: u16 = 32_526;
const VERSIONS: &str =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?><Versions><Preferred><Version>2015-04-05</Version></Preferred></Versions>";

async fn serve_requests<F>(address: SocketAddr, answer: F) -> Result<Server>
where
    F: Fn(&(String, String, Headers)) -> String + Clone + Send + 'static,
{
    serve_connections(address, move |stream| {
        let answer = answer.clone();
        async move {
            // A client that goes away is its own affair.
            let _ = converse(stream, answer).await;
        }
    })
    .await
}

async fn converse(stream: TcpStream, answer: impl Fn(&(String, String, Headers)) -> String) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Headers::new();
    for _ in 0..MOST_LINES {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    stream.get_mut().write_all(answer(&(method, path, headers)).as_bytes()).await?;
    stream.get_mut().shutdown().await
}

/// A name server that answers every question with nothing but the question, which shows that it is there.
async fn serve_names(address: SocketAddr) -> Result<Server> {
    let socket = UdpSocket::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let task = tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            (buffer[2], buffer[3]) = (0x81, 0x80);
            let _ = socket.send_to(&buffer[..count], from).await;
        }
    });
    Ok(Server { address, tasks: vec![task] })
}
