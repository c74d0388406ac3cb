use crate::clock::microseconds;
use crate::context::Context;
use crate::counted::Counted;
use crate::gate::Destination;
use crate::tcp::answer::{self, Answered, Answers};
use crate::zone;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::ConnectAttempt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The next address is tried when the one before has not answered for so long: RFC 8305 section 5 recommends 250 ms.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: Counted,
    pub(crate) address: SocketAddr,
    /// Since the first attempt began, at whichever address: what a program waits that needs a connection.
    pub(crate) took_us: u64,
}

/// No address accepted. The attempt that says most: the first that left this machine.
#[derive(Debug)]
pub(crate) struct NotConnected {
    pub(crate) address: SocketAddr,
    /// Since the first attempt began, until the last had failed.
    pub(crate) took_us: u64,
    pub(crate) failure: Failure,
}

/// How each attempt is made.
#[derive(Clone, Copy)]
struct Manner {
    /// The packet that answers is read beside it, where the process may.
    reads: bool,
    /// What it is to the gate.
    to: fn(SocketAddr) -> Destination,
}

/// An attempt that is over.
struct Ended {
    position: usize,
    attempt: ConnectAttempt,
    stream: Option<Counted>,
}

/// Connects to the first address that accepts, in their order and each at its turn, as applications do (RFC 8305). Every attempt
/// may take `timeout`.
///
/// # Errors
/// Where no address accepts within its time.
pub(crate) async fn first(
    context: &Context,
    addresses: &[IpAddr],
    port: u16,
    timeout: Duration,
) -> Result<Connected, NotConnected> {
    race(context, addresses, port, timeout, Manner { reads: false, to: Destination::from }, &mut Vec::new()).await
}

/// As [`first`], for a fetch from where a certificate says.
///
/// # Errors
/// As [`first`].
pub(crate) async fn first_of_certificate(
    context: &Context,
    addresses: &[IpAddr],
    port: u16,
    timeout: Duration,
) -> Result<Connected, NotConnected> {
    race(context, addresses, port, timeout, Manner { reads: false, to: Destination::of_certificate }, &mut Vec::new()).await
}

/// As [`first`], and notes every attempt in `attempts` as it ends, so that a deadline keeps them: all of them where there was more than one or
/// one failed, else none, since the connection itself says it. The packet that answers is read beside each where the process may: only a
/// reset's own header says from how far away it came.
///
/// # Errors
/// Where no address accepts within its time.
pub(crate) async fn first_noting(
    context: &Context,
    addresses: &[IpAddr],
    port: u16,
    timeout: Duration,
    attempts: &mut Vec<ConnectAttempt>,
) -> Result<Connected, NotConnected> {
    race(context, addresses, port, timeout, Manner { reads: true, to: Destination::from }, attempts).await
}

async fn race(
    context: &Context,
    addresses: &[IpAddr],
    port: u16,
    timeout: Duration,
    manner: Manner,
    attempts: &mut Vec<ConnectAttempt>,
) -> Result<Connected, NotConnected> {
    let began = context.clock.now();
    let since = || microseconds(context.clock.now().saturating_sub(began));
    let mut waiting = addresses.iter().map(|address| zone::socket(*address, port)).enumerate();
    let mut running = FuturesUnordered::new();
    let mut open: Vec<(usize, SocketAddr, u64)> = Vec::new();
    let mut more = true;
    loop {
        if more {
            match waiting.next() {
                Some((position, address)) => {
                    open.push((position, address, since()));
                    running.push(attempt(context, position, address, began, timeout, manner));
                }
                None => more = false,
            }
        }
        tokio::select! {
            Some(ended) = running.next() => {
                let Ended { position, attempt, stream } = ended;
                open.retain(|(running, ..)| *running != position);
                let address = attempt.address;
                attempts.push(attempt);
                if let Some(stream) = stream {
                    let took_us = since();
                    attempts.extend(open.iter().map(|(_, address, began_us)| given_up(*address, *began_us, took_us)));
                    attempts.sort_by_key(|attempt| attempt.began_us);
                    if attempts.len() == 1 {
                        attempts.clear();
                    }
                    return Ok(Connected { stream, address, took_us });
                }
            }
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if more => {}
            else => break,
        }
    }
    attempts.sort_by_key(|attempt| attempt.began_us);
    Err(most_telling(attempts, port, since()))
}

/// The kernel takes milliseconds to let go of a socket that reads packets, for which nothing that goes on should wait.
struct Reading(Option<Answers>);

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(answers) = self.0.take() {
            tokio::task::spawn_blocking(move || drop(answers));
        }
    }
}

/// Another address connected before this one answered: that says nothing more about it than how long it had been silent.
fn given_up(address: SocketAddr, began_us: u64, now_us: u64) -> ConnectAttempt {
    let text = "no answer by the time another address connected";
    let failure = Failure::new(FailureCode::Interrupted, Step::Connect, text);
    let took_us = now_us.saturating_sub(began_us);
    ConnectAttempt { address, began_us, took_us, reset: None, gateway: None, failure: Some(failure) }
}

/// The first failure of an attempt that left this machine.
fn most_telling(attempts: &[ConnectAttempt], port: u16, took_us: u64) -> NotConnected {
    let own = |failure: &Failure| matches!(failure.code, FailureCode::NetworkUnreachable | FailureCode::AddressNotAvailable);
    let failed = || attempts.iter().filter_map(|attempt| Some((attempt.address, attempt.failure.as_ref()?)));
    match failed().find(|(_, failure)| !own(failure)).or_else(|| failed().next()) {
        Some((address, failure)) => NotConnected { address, took_us, failure: failure.clone() },
        None => NotConnected {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            took_us: 0,
            failure: Failure::new(FailureCode::NoAddress, Step::Connect, "there is no address to connect to"),
        },
    }
}

/// One attempt, of a series that began at `series`.
async fn attempt(
    context: &Context,
    position: usize,
    address: SocketAddr,
    series: Duration,
    timeout: Duration,
    manner: Manner,
) -> Ended {
    let clock = context.clock;
    let mut noted = ConnectAttempt { address, began_us: 0, took_us: 0, reset: None, gateway: None, failure: None };
    if let Err(failure) = context.gate.packet((manner.to)(address), 0).await {
        noted.began_us = microseconds(clock.now().saturating_sub(series));
        noted.failure = Some(failure);
        return Ended { position, attempt: noted, stream: None };
    }
    let answers = Reading(manner.reads.then(|| Answers::of(address).ok()).flatten());
    let began = clock.now();
    noted.began_us = microseconds(began.saturating_sub(series));
    let mut local_port = None;
    let result = tokio::time::timeout(timeout, context.connect_noting(address, &mut local_port)).await;
    noted.took_us = microseconds(clock.now().saturating_sub(began));
    let failure = match result {
        Ok(Ok(stream)) => {
            // Small writes are timed; they must not wait for each other. A system that refuses this only adds delay.
            let _ = stream.set_nodelay(true);
            return Ended { position, attempt: noted, stream: Some(stream) };
        }
        Ok(Err(failure)) => failure,
        Err(_) => {
            let text = format!("{address} did not answer within {} ms", timeout.as_millis());
            Failure::new(FailureCode::TimedOut, Step::Connect, text)
        }
    };
    if failure.code == FailureCode::Refused && failure.icmp.is_none() {
        let answered =
            answers.0.as_ref().zip(local_port).map_or_else(Answered::default, |(answers, port)| answers.to(port, clock));
        noted.reset = answered.reset;
        noted.gateway = if noted.reset.is_some() { answer::gateway(address.ip()).await } else { None };
    }
    noted.failure = Some(failure);
    Ended { position, attempt: noted, stream: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::servers::context;
    use tokio::net::TcpListener;

    const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const TIMEOUT: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = TcpListener::bind((SECOND, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let context = context(&[]);
        let connected = first(&context, &[FIRST, SECOND], address.port(), TIMEOUT).await.unwrap();
        assert_eq!(connected.address, address);
        assert_eq!(context.gate.sent(), 2);
        assert!(context.clock.now() < NEXT_ADDRESS_AFTER, "a refusal is not waited out");
    }

    #[tokio::test]
    async fn a_connection_that_took_a_second_address_keeps_the_first_with_its_error_and_its_time() {
        let listener = TcpListener::bind((SECOND, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let context = context(&[]);
        let mut attempts = Vec::new();
        let connected = first_noting(&context, &[FIRST, SECOND], port, TIMEOUT, &mut attempts).await.unwrap();
        let [refused, accepted] = attempts.as_slice() else { panic!("{attempts:?}") };
        assert_eq!(refused.failure.as_ref().map(|failure| &failure.code), Some(&FailureCode::Refused));
        assert_eq!((refused.address.ip(), accepted.address.ip(), &accepted.failure), (FIRST, SECOND, &None));
        assert!(refused.took_us <= accepted.began_us && accepted.began_us + accepted.took_us <= connected.took_us);
        attempts.clear();
        first_noting(&context, &[SECOND], port, TIMEOUT, &mut attempts).await.unwrap();
        assert!(attempts.is_empty(), "one attempt that connects is told by the connection itself");
    }

    /// A listener that accepts nothing drops further SYNs once its backlog is full.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_silent_first_address_is_kept_and_its_wait_is_part_of_the_connection_s_time() {
        use socket2::{Domain, Socket, Type};
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::new(FIRST, 0).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let _filling = std::net::TcpStream::connect(silent).unwrap();
        let _listener = TcpListener::bind((SECOND, silent.port())).await.unwrap();
        let mut attempts = Vec::new();
        let result = first_noting(&context(&[]), &[FIRST, SECOND], silent.port(), TIMEOUT, &mut attempts).await;
        let connected = result.unwrap();
        assert!(connected.address.ip() == SECOND && connected.took_us >= 250_000, "{connected:?}");
        let given_up = attempts.first().unwrap();
        assert_eq!(given_up.failure.as_ref().map(|failure| &failure.code), Some(&FailureCode::Interrupted), "{attempts:?}");
        assert!(given_up.address == silent && given_up.took_us >= 250_000 && attempts.len() == 2, "{attempts:?}");
    }

    #[tokio::test]
    async fn the_reset_of_a_refusal_is_read_with_its_ttl() {
        let closed = TcpListener::bind((SECOND, 0)).await.unwrap().local_addr().unwrap();
        if Answers::of(closed).is_err() {
            eprintln!("skipped: the reset of a refusal, whose reading needs raw sockets");
            return;
        }
        let mut attempts = Vec::new();
        first_noting(&context(&[]), &[SECOND], closed.port(), TIMEOUT, &mut attempts).await.unwrap_err();
        let [refused] = attempts.as_slice() else { panic!("{attempts:?}") };
        assert_eq!((refused.reset.map(|reset| reset.ttl), refused.gateway), (Some(64), None));
    }

    #[tokio::test]
    async fn the_first_failure_that_left_the_machine_is_told() {
        let port = TcpListener::bind((SECOND, 0)).await.unwrap().local_addr().unwrap().port();
        // The system itself refuses TCP to the broadcast address, so that nothing leaves for it.
        let unroutable: IpAddr = "255.255.255.255".parse().unwrap();
        let refused = first(&context(&[]), &[unroutable, FIRST], port, TIMEOUT).await.unwrap_err();
        assert_eq!((refused.address.ip(), refused.failure.code), (FIRST, FailureCode::Refused));
        assert_eq!(first(&context(&[]), &[], port, TIMEOUT).await.unwrap_err().failure.code, FailureCode::NoAddress);
    }
}
