//! Carries a protocol over UDP: the question, up to three times, and the first datagram that answers it.

use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use super::{not_this, note, step};
use crate::clock::microseconds;
use crate::context::{Context, NotMeasurable};
use crate::platform::error_queue;
use crate::tls::draft::Draft;
use netsonde_contract::capability::SERVICE_DHCP;
use netsonde_contract::failure::{Failure, FailureCode, Step as Stage};
use netsonde_contract::kind::ServiceParams;
use netsonde_contract::observation::Service;
use netsonde_contract::outcome::Note;
use socket2::{Domain, Protocol as IpProtocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Datagrams that answer nothing are passed over up to this many, so that a flood cannot hold the check.
const MAX_STRAY: usize = 64;
/// Larger than any answer that is asked for here.
const MAX_DATAGRAM: usize = 4_096;

/// Asks each step's question and writes what came back into `draft`.
///
/// # Errors
/// Where this account may not receive at the port that answers come to.
pub(super) async fn ask(
    context: &Context,
    params: &ServiceParams,
    protocol: &Protocol,
    draft: &mut Draft<Service>,
) -> Result<(), NotMeasurable> {
    draft.step = Stage::Open;
    let socket = match open(draft.address, protocol.local_port) {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let text = format!(
                "answers of {} come to port {}, which this account may not open",
                draft.protocol.label(),
                protocol.local_port.unwrap_or(0)
            );
            draft.failure = Some(Failure::new(FailureCode::PermissionDenied, Stage::Open, text.clone()));
            let grant = crate::capability::denied(&SERVICE_DHCP).grant;
            return Err(NotMeasurable(Note { why: text, grant }));
        }
        Err(error) => {
            draft.failure = Some(Failure::from_io(&error, Stage::Open));
            return Ok(());
        }
    };
    context.datagrams(socket.local_addr(), draft.address);
    let (mut heard, random): (Heard, [u8; 64]) = (Heard::default(), rand::random());
    for each in protocol.steps {
        let asking = Asking { heard: &heard, random: &random, port: draft.address.port(), tls: params.tls };
        let Some(question) = (each.ask)(&asking) else { continue };
        let began = context.clock.now();
        let result = exchange(context, params, &socket, each, &question, draft).await;
        step(draft, each.name, microseconds(context.clock.now().saturating_sub(began)), result.is_ok());
        match result {
            Ok(answer) => {
                heard.merge(answer);
                note(draft, &heard);
            }
            Err(failure) => {
                // Datagrams of another protocol are already told.
                draft.failure.get_or_insert(failure);
                break;
            }
        }
    }
    Ok(())
}

/// A socket for one address; where answers come to a port of their own, one that hears and may ask everybody on the link.
fn open(address: SocketAddr, local_port: Option<u16>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(IpProtocol::UDP))?;
    match local_port {
        None => {
            error_queue::enable(&socket, address.ip())?;
            socket.connect(&address.into())?;
        }
        Some(port) => {
            // The machine's own client may have the port open too.
            socket.set_reuse_address(true)?;
            socket.set_broadcast(true)?;
            socket.bind(&SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into())?;
        }
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(StdSocket::from(socket))
}

/// Sends the question again each time that a third of the time has passed.
async fn exchange(
    context: &Context,
    params: &ServiceParams,
    socket: &UdpSocket,
    each: &Step,
    question: &[u8],
    draft: &mut Draft<Service>,
) -> Result<Heard, Failure> {
    let Some(read) = each.read else { return Ok(Heard::default()) };
    let patience = Duration::from_millis(params.timeout_ms) / ServiceParams::MAX_DATAGRAMS;
    let began = context.clock.now();
    for _ in 0..ServiceParams::MAX_DATAGRAMS {
        draft.step = Stage::Send;
        context.gate.packet(draft.address, question.len()).await?;
        let sent = match socket.peer_addr() {
            Ok(_) => socket.send(question).await,
            Err(_) => socket.send_to(question, draft.address).await,
        };
        sent.map_err(|error| failed(socket, &error, Stage::Send))?;
        draft.step = Stage::Receive;
        match tokio::time::timeout(patience, receive(context, socket, read, began, question, draft)).await {
            Ok(result) => return result,
            Err(_) => continue,
        }
    }
    let text = format!("no answer to {} within {} ms", each.name, params.timeout_ms);
    Err(Failure::new(FailureCode::TimedOut, Stage::Receive, text))
}

/// The first datagram that is an answer. Others are passed over: on a port of its own a socket hears what is meant for other clients.
async fn receive(
    context: &Context,
    socket: &UdpSocket,
    read: fn(&[u8]) -> Reading,
    began: Duration,
    question: &[u8],
    draft: &mut Draft<Service>,
) -> Result<Heard, Failure> {
    let mut buffer = vec![0_u8; MAX_DATAGRAM];
    for _ in 0..MAX_STRAY {
        let (count, _) = socket.recv_from(&mut buffer).await.map_err(|error| failed(socket, &error, Stage::Receive))?;
        context.gate.received(count);
        let datagram = buffer.get(..count).unwrap_or_default();
        let reading = read(datagram);
        // Without a connection the answer is known by the number that the question chose.
        let ours = socket.peer_addr().is_ok() || datagram.get(4..8).is_some_and(|number| question.get(4..8) == Some(number));
        if !ours {
            continue;
        }
        draft.received_bytes = draft.received_bytes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        draft.first_byte_us.get_or_insert(microseconds(context.clock.now().saturating_sub(began)));
        match reading {
            Reading::Done(heard, _) => return Ok(*heard),
            Reading::More => {}
            Reading::NotThis => {
                not_this(draft, datagram);
                let text = format!("the answer is not {}", draft.protocol.label());
                return Err(Failure::new(FailureCode::ProtocolError, Stage::Receive, text));
            }
        }
    }
    Err(Failure::new(FailureCode::ProtocolError, Stage::Receive, "more datagrams came than one question has answers"))
}

/// With the ICMP error behind it, where the system tells.
fn failed(socket: &UdpSocket, error: &io::Error, during: Stage) -> Failure {
    let failure = Failure::from_io(error, during);
    match error_queue::drain(&SockRef::from(socket)).pop() {
        Some(queued) => failure.with_icmp(queued.icmp),
        None => failure,
    }
}
