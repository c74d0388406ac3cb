//! Real servers, one kind a file. Each listens at once, so that a returned address is ready to use, and serves until dropped.

mod cloud;
mod database;
mod dns;
mod http;
mod inspecting;
mod mail;
mod openssl;
mod plain;
mod proxy;
mod quic;
mod tls;
mod unruly;

pub use cloud::{CANARY, Headers, METADATA, METADATA_V6, PLATFORM, answer, cloud_addresses, metadata, serve_cloud};
pub use database::serve_database;
pub use dns::serve_dns;
pub use http::serve_http;
pub use inspecting::{Seen, serve_inspecting_proxy};
pub use mail::serve_mail;
pub use openssl::serve_openssl;
pub use plain::{serve_banner, serve_file, serve_hasty, serve_silence};
pub use proxy::serve_proxy;
pub use quic::serve_quic;
pub use tls::{mutual_server_config, serve_https, serve_name_filter, serve_small_hellos, server_config};
pub use unruly::{serve_busy, serve_hung, serve_time, serve_unruly};

use anyhow::{Context, Result};
use std::future::Future;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server that stops when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Listens on `address` and hands every connection to `each`.
async fn serve_connections<F, R>(address: SocketAddr, each: F) -> Result<Server>
where
    F: Fn(TcpStream) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr().context("reading the own address")?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each.clone()(stream));
        }
    });
    Ok(Server { address, tasks: vec![task] })
}
