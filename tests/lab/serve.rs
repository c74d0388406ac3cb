use super::network::{SERVER_V4, SERVER_V6};
use super::scenario::{Service, ServiceKind};
use anyhow::{Context, Result, bail};
use netsonde_tests::certificates::Identity;
use netsonde_tests::servers::{self, Server};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Runs the services listed in the file, on both families, until it is killed. Certificates lie in `directory`, named by port.
pub(crate) fn run(services: &Path, directory: &Path) -> Result<()> {
    let text = std::fs::read_to_string(services).with_context(|| format!("reading {}", services.display()))?;
    let services: Vec<Service> = serde_json::from_str(&text).context("reading the list of services")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the servers' runtime")?;
    runtime.block_on(async {
        let mut running = Vec::new();
        for service in &services {
            if service.kind == ServiceKind::Cloud {
                running.extend(servers::serve_cloud(&service.text).await?);
                continue;
            }
            // On a router one socket on the wildcard address serves both families.
            let addresses: &[&str] = if service.node == "s" { &[SERVER_V4, SERVER_V6] } else { &["::"] };
            for address in addresses {
                running.push(start(service, address.parse().context("the server's own address")?, directory).await?);
            }
        }
        println!("ready");
        std::future::pending::<()>().await;
        drop(running);
        Ok(())
    })
}

async fn start(service: &Service, address: IpAddr, directory: &Path) -> Result<Server> {
    let address = SocketAddr::new(address, service.port);
    match service.kind {
        ServiceKind::Dns => {
            let both = [SERVER_V4, SERVER_V6].map(|text| text.parse()).into_iter().collect::<Result<Vec<IpAddr>, _>>();
            servers::serve_dns(address, both.context("the server's own addresses")?).await
        }
        ServiceKind::Http => servers::serve_http(address).await,
        ServiceKind::Https => {
            let identity = read_identity(&directory.join(format!("{}.pem", service.port)))?;
            let config = if service.mutual { servers::mutual_server_config(identity) } else { servers::server_config(identity) };
            servers::serve_https(address, config?).await
        }
        ServiceKind::Quic => {
            let identity = read_identity(&directory.join(format!("{}.pem", service.port)))?;
            servers::serve_quic(address, identity, &service.text).await
        }
        ServiceKind::NameFilter => {
            let config = servers::server_config(read_identity(&directory.join(format!("{}.pem", service.port)))?)?;
            servers::serve_name_filter(address, config, service.text.clone()).await
        }
        ServiceKind::SmallHellos => {
            let config = servers::server_config(read_identity(&directory.join(format!("{}.pem", service.port)))?)?;
            servers::serve_small_hellos(address, config).await
        }
        ServiceKind::Openssl => {
            let folder = directory.to_string_lossy();
            let arguments: Vec<String> =
                service.text.split_whitespace().map(|argument| argument.replace("{folder}", &folder)).collect();
            servers::serve_openssl(address, &directory.join(format!("{}.pem", service.port)), &arguments).await
        }
        ServiceKind::Issuer => {
            let path = directory.join(if service.text.is_empty() { "middle.crt" } else { &service.text });
            let file = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            servers::serve_file(address, file).await
        }
        ServiceKind::Mail => {
            let config = servers::server_config(read_identity(&directory.join(format!("{}.pem", service.port)))?)?;
            servers::serve_mail(address, config).await
        }
        ServiceKind::Database => {
            let config = servers::server_config(read_identity(&directory.join(format!("{}.pem", service.port)))?)?;
            servers::serve_database(address, config).await
        }
        ServiceKind::Silence => servers::serve_silence(address).await,
        ServiceKind::Banner => servers::serve_banner(address, service.text.clone()).await,
        ServiceKind::Unruly => servers::serve_unruly(address).await,
        ServiceKind::Hasty => servers::serve_hasty(address, service.text.parse().context("the time in milliseconds")?).await,
        ServiceKind::Busy => servers::serve_busy(address, service.text.parse().context("the pause in milliseconds")?).await,
        ServiceKind::Hung => servers::serve_hung(address).await,
        ServiceKind::Time => servers::serve_time(address, service.text.parse().context("the seconds")?).await,
        ServiceKind::Proxy => servers::serve_proxy(address, service.text.clone()).await,
        ServiceKind::Cloud => bail!("a cloud has addresses of its own"),
    }
}

fn read_identity(path: &Path) -> Result<Identity> {
    let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().context("reading a certificate")?;
    Ok(Identity { chain, key: PrivateKeyDer::from_pem_slice(&pem).context("reading a key")? })
}
