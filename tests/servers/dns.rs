//! A name server whose first label says how it behaves, over UDP and TCP:
//! `nx…` NXDOMAIN with its SOA · `servfail…` SERVFAIL with an extended error · `refused…` REFUSED · `notimp…` NOTIMP · `nodata…` NOERROR
//! without records · `circle…` an alias of itself · `truncated…` TC over UDP, whole over TCP · `silent…` never answers · `slow…` answers
//! after a while · `noedns…` never answers a query with EDNS · `noaaaa…` never one for IPv6 addresses · `garbled…` with rubbish · `cookie…` one with EDNS
//! with a cookie that was not sent ·
//! `injected…` NXDOMAIN without a zone over UDP, whole over TCP · `twice…` with a false address and then the true one · `bogon…` with the
//! client's own address · `differs…` with another address without EDNS · `stale…` with an old address where recursion is asked for ·
//! `bogus…` SERVFAIL unless checking is disabled ·
//! `split…` with a public address over TCP · `lame…` without authority · anything else the addresses it was given.
//! A name with the label `elsewhere` has other addresses.
//! A name with the label `v4` or `v6` has only that family's address.
//! A name with the label `nat64` has an IPv4 address, and of IPv6 the one that a DNS64 makes of it (RFC 6147).

use super::Server;
use anyhow::{Context, Result};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// How long a slow server takes: more than anybody calls prompt, and less than any program waits.
const SLOW: Duration = Duration::from_millis(800);

/// Where nobody is, on the network of the server's own addresses, and where nobody may send to.
const ELSEWHERE: [&str; 2] = ["10.99.0.66", "fd99::66"];
const PUBLIC: [&str; 2] = ["198.51.100.66", "2001:db8::66"];
const OWN: [&str; 2] = ["127.0.0.66", "::1"];

/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_dns(address: SocketAddr, addresses: Vec<IpAddr>) -> Result<Server> {
    let udp = UdpSocket::bind(address).await.with_context(|| format!("listening on {address} over UDP"))?;
    let address = udp.local_addr().context("reading the own address")?;
    let tcp = TcpListener::bind(address).await.with_context(|| format!("listening on {address} over TCP"))?;
    let addresses = Arc::new(addresses);
    let for_tcp = Arc::clone(&addresses);
    let udp = Arc::new(udp);
    let over_udp = tokio::spawn(async move {
        let mut packet = [0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut packet).await {
            let (udp, addresses, query) = (Arc::clone(&udp), Arc::clone(&addresses), packet[..length].to_vec());
            tokio::spawn(async move {
                let first = first_label(&query);
                if first.starts_with("slow") {
                    tokio::time::sleep(SLOW).await;
                }
                let forged = parsed(&ELSEWHERE);
                let forged = first.starts_with("twice").then(|| answer(&query, &forged, true)).flatten();
                for reply in forged.into_iter().chain(answer(&query, &addresses, true)) {
                    // A client that closed its port in the meantime is its own affair.
                    let _ = udp.send_to(&reply, client).await;
                }
            });
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

fn parsed(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn first_label(packet: &[u8]) -> String {
    let query = Message::from_vec(packet).ok();
    let name = query.and_then(|query| query.queries.first().map(|question| question.name().to_ascii().to_lowercase()));
    name.unwrap_or_default().split('.').next().unwrap_or_default().to_owned()
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
    let (edns, aaaa) = (query.edns.is_some(), question.query_type() == RecordType::AAAA);
    reply.metadata.authoritative = !behaves("lame");
    let other = if name.split('.').any(|label| label == "elsewhere") || (behaves("differs") && !edns) {
        Some(parsed(&ELSEWHERE))
    } else if (behaves("stale") && query.metadata.recursion_desired) || (behaves("split") && !over_udp) {
        Some(parsed(&PUBLIC))
    } else {
        behaves("bogon").then(|| parsed(&OWN))
    };
    let addresses = other.as_deref().unwrap_or(addresses);
    if behaves("lame") && !query.metadata.recursion_desired {
        // Its zone is delegated to this very server, which does not serve it.
        let server = question.name().prepend_label("ns").ok()?;
        reply.add_authority(Record::from_rdata(question.name().clone(), 30, RData::NS(NS(server.clone()))));
        for address in addresses {
            let data = match address {
                IpAddr::V4(v4) => RData::A(A(*v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
            };
            reply.add_additional(Record::from_rdata(server.clone(), 30, data));
        }
    } else if question.query_type() == RecordType::SOA {
        let data = SOA::new(question.name().clone(), question.name().clone(), 1, 60, 60, 60, 30);
        reply.add_answer(Record::from_rdata(question.name().clone(), 30, RData::SOA(data)));
    } else if behaves("silent") || (behaves("noedns") && edns) || (behaves("noaaaa") && aaaa) {
        return None;
    } else if behaves("bogus") && !query.metadata.checking_disabled {
        reply.metadata.response_code = ResponseCode::ServFail;
    } else if behaves("garbled") {
        return Some([&packet[..2], &[0xff; 9]].concat());
    } else if behaves("injected") && over_udp {
        reply.metadata.response_code = ResponseCode::NXDomain;
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
        let synthesised =
            || addresses.iter().filter_map(|address| if let IpAddr::V4(v4) = address { Some(translated(*v4)) } else { None });
        if only("nat64") && aaaa {
            for v6 in synthesised() {
                reply.add_answer(Record::from_rdata(question.name().clone(), 30, RData::AAAA(AAAA(v6))));
            }
        }
        for address in addresses {
            let record = match address {
                IpAddr::V4(v4) if question.query_type() == RecordType::A && !only("v6") => RData::A(A(*v4)),
                IpAddr::V6(v6) if question.query_type() == RecordType::AAAA && !only("v4") && !only("nat64") => {
                    RData::AAAA(AAAA(*v6))
                }
                _ => continue,
            };
            reply.add_answer(Record::from_rdata(question.name().clone(), 30, record));
        }
        if reply.answers.is_empty() {
            reply.add_authority(soa(question.name()));
        }
    }
    if behaves("cookie") && edns {
        let mut edns = Edns::new();
        // RFC 7873 section 4: the client's eight bytes, which nobody sent, and the server's.
        edns.options_mut().insert(EdnsOption::Unknown(u16::from(EdnsCode::Cookie), vec![0xaa; 16]));
        reply.set_edns(edns);
    }
    reply.add_query(question);
    reply.to_vec().ok()
}

/// With the prefix that is known everywhere (RFC 6052 section 2.1).
fn translated(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets();
    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

fn soa(name: &Name) -> Record {
    let zone = name.trim_to(1);
    let data = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, 30);
    Record::from_rdata(zone, 30, RData::SOA(data))
}
