//! A name server whose first label says how it behaves, over UDP and TCP:
//! `bogus…` SERVFAIL unless checking is disabled · `nx…` NXDOMAIN with its SOA · `servfail…` SERVFAIL with an extended error · `refused…` REFUSED · `notimp…` NOTIMP · `nodata…` NOERROR
//! without records · `circle…` an alias of itself · `truncated…` TC over UDP, whole over TCP · `silent…` never answers · anything else the addresses it was given.
//! A name with the label `v4` or `v6` has only that family's address.

use super::Server;
use anyhow::{Context, Result};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_dns(address: SocketAddr, addresses: Vec<IpAddr>) -> Result<Server> {
    let udp = UdpSocket::bind(address).await.with_context(|| format!("listening on {address} over UDP"))?;
    let address = udp.local_addr().context("reading the own address")?;
    let tcp = TcpListener::bind(address).await.with_context(|| format!("listening on {address} over TCP"))?;
    let addresses = Arc::new(addresses);
    let for_tcp = Arc::clone(&addresses);
    let over_udp = tokio::spawn(async move {
        let mut packet = [0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut packet).await {
            if let Some(reply) = answer(&packet[..length], &addresses, true) {
                // A client that closed its port in the meantime is its own affair.
                let _ = udp.send_to(&reply, client).await;
            }
        }
    });
    let over_tcp = tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&for_tcp)));
        }
    });
    Ok(Server { address, tasks: vec![over_udp, over_tcp] })
}

async fn converse(mut stream: TcpStream, addresses: Arc<Vec<IpAddr>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut packet = vec![0; usize::from(length)];
        if stream.read_exact(&mut packet).await.is_err() {
            return;
        }
        let Some(reply) = answer(&packet, &addresses, false) else { return };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        if stream.write_u16(length).await.is_err() || stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

/// The reply to one packet; none for silence.
fn answer(packet: &[u8], addresses: &[IpAddr], over_udp: bool) -> Option<Vec<u8>> {
    let query = Message::from_vec(packet).ok()?;
    let question = query.queries.first()?.clone();
    let name = question.name().to_ascii().to_lowercase();
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    let first = name.split('.').next().unwrap_or_default().to_owned();
    let behaves = |word: &str| first.starts_with(word);
    if behaves("silent") {
        return None;
    } else if behaves("bogus") && !query.metadata.checking_disabled {
        reply.metadata.response_code = ResponseCode::ServFail;
    } else if behaves("nx") {
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply.add_authority(soa(question.name()));
    } else if behaves("servfail") {
        reply.metadata.response_code = ResponseCode::ServFail;
        if query.edns.is_some() {
            let mut edns = Edns::new();
            // RFC 8914 section 4.23: 22 is "No Reachable Authority".
            let mut option = 22_u16.to_be_bytes().to_vec();
            option.extend_from_slice(b"the zone's servers do not answer");
            edns.options_mut().insert(EdnsOption::Unknown(u16::from(EdnsCode::Unknown(15)), option));
            reply.set_edns(edns);
        }
    } else if behaves("refused") {
        reply.metadata.response_code = ResponseCode::Refused;
    } else if behaves("notimp") {
        reply.metadata.response_code = ResponseCode::NotImp;
    } else if behaves("circle") {
        let alias = RData::CNAME(CNAME(question.name().clone()));
        reply.add_answer(Record::from_rdata(question.name().clone(), 30, alias));
    } else if behaves("nodata") {
        reply.add_authority(soa(question.name()));
    } else if behaves("truncated") && over_udp {
        reply.metadata.truncation = true;
    } else {
        let only = |label: &str| name.split('.').any(|part| part == label);
        for address in addresses {
            let record = match address {
                IpAddr::V4(v4) if question.query_type() == RecordType::A && !only("v6") => RData::A(A(*v4)),
                IpAddr::V6(v6) if question.query_type() == RecordType::AAAA && !only("v4") => RData::AAAA(AAAA(*v6)),
                _ => continue,
            };
            reply.add_answer(Record::from_rdata(question.name().clone(), 30, record));
        }
        if reply.answers.is_empty() {
            reply.add_authority(soa(question.name()));
        }
    }
    reply.add_query(question);
    reply.to_vec().ok()
}

fn soa(name: &Name) -> Record {
    let zone = name.trim_to(1);
    let data = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, 30);
    Record::from_rdata(zone, 30, RData::SOA(data))
}
