//! One connection on a socket of our own.
//!
//! The protocol's state machine is quinn's, which opens nothing and reads no clock. Driving it ourselves lets every packet pass the gate
//! and be counted, keeps the ICMP errors that come back, and shows what the library hides: Retry and Version Negotiation packets, and
//! what the server's TLS messages say.

use super::messages::{self, Agreed};
use super::observed::{Heard, Observing};
use super::{close, socket, versions};
use crate::clock::microseconds;
use crate::context::Context;
use crate::platform::{datagram, error_queue};
use crate::tls::quic::WithinQuic;
use bytes::{Bytes, BytesMut};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Event, IdleTimeout,
    MtuDiscoveryConfig, TransportConfig, VarInt,
};
use rustls_pki_types::ServerName;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// The largest UDP payload: a packet beyond what was offered is received whole too.
const MAX_DATAGRAM: usize = 65_535;

/// The search for the largest packet ends at Ethernet's 1500 bytes, of which IP and UDP take 28 or 48.
const LARGEST_PAYLOAD_V4: u16 = 1_472;
const LARGEST_PAYLOAD_V6: u16 = 1_452;

/// What a connection is to be.
pub(crate) struct Wish<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) name: &'a ServerName<'static>,
    pub(crate) alpn: &'a [String],
    /// The connection counts as lost after so long a silence.
    pub(crate) idle: Duration,
    pub(crate) max_packets: u32,
}

/// What was seen on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) first_reply_us: Option<u64>,
    /// The versions of a Version Negotiation packet, reserved ones left out.
    pub(crate) server_versions: Option<Vec<String>>,
    pub(crate) retry: bool,
    /// Whether the last packet was sent as one that can carry congestion marks; none where the system cannot.
    pub(crate) marked: Option<bool>,
}

pub(crate) struct QuicConnection {
    context: Context,
    pub(crate) seen: Seen,
    pub(crate) tls: WithinQuic,
    pub(crate) state: Connection,
    heard: Heard,
    server: SocketAddr,
    socket: UdpSocket,
    able: socket::Able,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    buffer: Vec<u8>,
    began: Duration,
    max_packets: u32,
}

impl QuicConnection {
    /// Prepares a connection; nothing is sent before the first turn.
    ///
    /// # Errors
    /// Where the system has no socket, or the library refuses the wish.
    pub(crate) fn prepare(context: &Context, wish: &Wish<'_>) -> Result<Self, Failure> {
        let setup =
            |error: &dyn std::error::Error| Failure::new(FailureCode::Other("quic_setup".into()), Step::Open, error.to_string());
        let (socket, able) = socket::open(wish.server)?;
        context.datagrams(socket.local_addr(), wish.server);
        let tls = WithinQuic::new(context, wish.alpn).map_err(|error| setup(&error))?;
        let config = Arc::new(QuicClientConfig::try_from(tls.config()).map_err(|error| setup(&error))?);
        let heard = Heard::default();
        let mut client = ClientConfig::new(Arc::new(Observing { config, heard: heard.clone() }));
        client.transport_config(Arc::new(transport(wish, able).map_err(|error| setup(&error))?));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, able.whole, None);
        let (handle, state) =
            endpoint.connect(context.clock.instant(), client, wish.server, &wish.name.to_str()).map_err(|error| setup(&error))?;
        Ok(Self {
            context: context.clone(),
            seen: Seen::default(),
            tls,
            state,
            heard,
            server: wish.server,
            socket,
            able,
            endpoint,
            handle,
            buffer: vec![0; MAX_DATAGRAM],
            began: context.clock.now(),
            max_packets: wish.max_packets,
        })
    }

    /// Sends what is due, and takes one packet or one timer. An event is something that came of it; there may be more at once.
    ///
    /// # Errors
    /// Where the gate lets nothing out, or the system reports that nothing gets through.
    pub(crate) async fn turn(&mut self) -> Result<Option<Event>, Failure> {
        if let Some(event) = self.state.poll() {
            return Ok(Some(event));
        }
        self.send().await?;
        if let Some(event) = self.state.poll() {
            return Ok(Some(event));
        }
        let receiving = datagram::receive(&self.socket, &mut self.buffer);
        let received = match self.state.poll_timeout() {
            Some(due) => tokio::time::timeout_at(due.into(), receiving).await,
            None => Ok(receiving.await),
        };
        match received {
            Ok(Ok((size, _))) => self.take(size),
            Ok(Err(error)) => self.bear(&error)?,
            Err(_) => self.state.handle_timeout(self.context.clock.instant()),
        }
        self.exchange_events();
        Ok(self.state.poll())
    }

    /// Sends everything that is due now.
    ///
    /// # Errors
    /// As [`Self::turn`].
    pub(crate) async fn send(&mut self) -> Result<(), Failure> {
        let mut packet = Vec::with_capacity(usize::from(LARGEST_PAYLOAD_V4));
        while let Some(transmit) = self.state.poll_transmit(self.context.clock.instant(), 1, &mut packet) {
            if self.seen.sent >= self.max_packets {
                let text = format!("the connection took more than {} packets", self.max_packets);
                return Err(Failure::new(FailureCode::BudgetExhausted, Step::Send, text));
            }
            self.context.gate.packet(self.server, transmit.size).await?;
            if self.seen.sent == 0 {
                self.began = self.context.clock.now();
            }
            self.seen.sent += 1;
            let marked = transmit.ecn.is_some();
            match socket::send(&self.socket, &packet[..transmit.size], self.server, marked).await {
                Ok(able) => self.seen.marked = able.then_some(marked),
                Err(error) => self.bear(&error)?,
            }
            packet.clear();
        }
        self.exchange_events();
        Ok(())
    }

    /// Tells the server that this is the end.
    pub(crate) async fn close(&mut self, code: u32) {
        self.state.close(self.context.clock.instant(), VarInt::from_u32(code), Bytes::new());
        // Whether it arrives changes nothing of what was measured.
        let _ = self.send().await;
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// The address that packets go out from.
    #[cfg(feature = "doq")]
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Time since the first packet was sent.
    pub(crate) fn elapsed_us(&self) -> u64 {
        microseconds(self.context.clock.now().saturating_sub(self.began))
    }

    /// What the server's messages say, as far as they came.
    pub(super) fn agreed(&self) -> Agreed {
        messages::read(&self.heard.bytes())
    }

    /// The largest UDP payload that arrived; none where routers may cut packets, so that nothing was searched for.
    pub(super) fn largest_payload(&self) -> Option<u16> {
        self.able.whole.then(|| self.state.current_mtu())
    }

    fn take(&mut self, size: usize) {
        let datagram = &self.buffer[..size];
        self.seen.received += 1;
        self.context.gate.received(size);
        let after_us = microseconds(self.context.clock.now().saturating_sub(self.began));
        self.seen.first_reply_us.get_or_insert(after_us);
        self.seen.retry |= versions::is_retry(datagram);
        if let Some(listed) = versions::negotiation(datagram) {
            self.seen.server_versions = Some(versions::names(&listed));
        }
        let now = self.context.clock.instant();
        // What the endpoint itself would say, such as a stateless reset, is not sent.
        let mut unsent = Vec::new();
        let event = self.endpoint.handle(now, self.server, None, None, BytesMut::from(datagram), &mut unsent);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.state.handle_event(event);
        }
    }

    fn exchange_events(&mut self) {
        while let Some(event) = self.state.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.state.handle_event(event);
            }
        }
    }

    /// A packet that was too large was one that searched for the largest; any other error ends the connection.
    fn bear(&self, error: &io::Error) -> Result<(), Failure> {
        let failure = Failure::from_io(error, Step::Handshake);
        let cause = error_queue::drain(&SockRef::from(&self.socket)).pop();
        if failure.code == FailureCode::MessageTooLong {
            return Ok(());
        }
        Err(match cause {
            Some(queued) => failure.with_icmp(queued.icmp),
            None => failure,
        })
    }
}

fn transport(wish: &Wish<'_>, able: socket::Able) -> Result<TransportConfig, quinn_proto::VarIntBoundsExceeded> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IdleTimeout::try_from(wish.idle)?));
    let mut search = MtuDiscoveryConfig::default();
    search.upper_bound(if wish.server.is_ipv4() { LARGEST_PAYLOAD_V4 } else { LARGEST_PAYLOAD_V6 });
    transport.mtu_discovery_config(able.whole.then_some(search));
    Ok(transport)
}

/// What ended the connection, as a failure.
pub(crate) fn lost(reason: &ConnectionError) -> Failure {
    close::failure(reason, Step::Handshake)
}
