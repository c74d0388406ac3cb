use crate::capture::flow::Flow;
use crate::connecting;
use crate::context::Context;
use crate::platform::tcp;
use crate::platform::tcp::TcpInfo;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::TcpState;
use socket2::SockRef;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time;

/// What one attempt showed.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) local: Option<SocketAddr>,
    /// Also of an attempt that failed: how often its SYN was sent again.
    pub(super) at_connect: Option<TcpState>,
    /// The connection, where it was made.
    pub(super) stream: Option<TcpStream>,
    /// None where the connection was made.
    pub(super) failure: Option<Failure>,
}

impl Seen {
    pub(super) fn failed(failure: Failure) -> Self {
        Self { local: None, at_connect: None, stream: None, failure: Some(failure) }
    }
}

/// Connects; waits at most `timeout`.
pub(super) async fn connect(context: &Context, address: SocketAddr, timeout: Duration) -> Seen {
    let socket = match connecting::socket(address) {
        Ok(socket) => socket,
        Err(error) => return Seen::failed(Failure::from_io(&error, Step::Open)),
    };
    let begun = match socket.connect(&address.into()) {
        Err(error) if !tcp::is_in_progress(&error) => Err(error),
        _ => Ok(()),
    };
    // Read before the outcome: a socket that failed may have lost its address.
    let local = socket.local_addr().ok().and_then(|local| local.as_socket()).filter(|local| !local.ip().is_unspecified());
    if let Some(local) = local {
        context.flow(Flow::Tcp { local_port: local.port(), remote: address });
    }
    let stream = match TcpStream::from_std(StdStream::from(socket)) {
        Ok(stream) => stream,
        Err(error) => return Seen::failed(Failure::from_io(&error, Step::Open)),
    };
    let outcome = match begun {
        Ok(()) => time::timeout(timeout, connecting::decided(&stream)).await,
        Err(error) => Ok(Err(error)),
    };
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Failure::from_io(&error, Step::Connect)),
        Err(_) => {
            Some(Failure::new(FailureCode::TimedOut, Step::Connect, format!("no answer within {} ms", timeout.as_millis())))
        }
    };
    let at_connect = state(&stream);
    let failure = failure.map(|failure| connecting::with_cause(failure, &SockRef::from(&stream)));
    Seen { local, at_connect, stream: Some(stream).filter(|_| failure.is_none()), failure }
}

/// What the kernel knows of the connection now.
pub(super) fn info(stream: &TcpStream) -> Option<TcpInfo> {
    tcp::info(&SockRef::from(stream))
}

pub(super) fn state(stream: &TcpStream) -> Option<TcpState> {
    info(stream).map(|info| info.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{IpAddr, TcpListener};

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn an_open_port_shows_its_own_address_and_the_kernels_rtt() {
        let context = crate::tls::servers::context(&[]);
        for loopback in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((loopback, 0)).unwrap();
            let seen = connect(&context, listener.local_addr().unwrap(), LIMIT).await;
            assert_eq!(seen.failure, None);
            assert_eq!(seen.local.unwrap().ip(), loopback.parse::<IpAddr>().unwrap());
            assert!(seen.at_connect.is_some_and(|state| state.rtt_us > 0) || cfg!(not(target_os = "linux")));
            assert_eq!(seen.at_connect.map_or(0, |state| state.retransmits), 0);
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_without_an_icmp_error() {
        let context = crate::tls::servers::context(&[]);
        for loopback in ["127.0.0.1", "::1"] {
            let closed = TcpListener::bind((loopback, 0)).unwrap().local_addr().unwrap();
            let failure = connect(&context, closed, LIMIT).await.failure.unwrap();
            assert_eq!(failure.code, FailureCode::Refused);
            assert_eq!(failure.during, Step::Connect);
            assert_eq!(failure.icmp, None);
        }
    }

    /// A listener that accepts nothing drops further SYNs once its backlog is full.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn silence_is_a_time_out() {
        let context = crate::tls::servers::context(&[]);
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let _filling = StdStream::connect(address).unwrap();
        let seen = connect(&context, address, Duration::from_millis(100)).await;
        assert_eq!(seen.failure.unwrap().code, FailureCode::TimedOut);
        assert!(seen.local.is_some());
    }
}
