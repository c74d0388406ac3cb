use crate::clock::microseconds;
use crate::context::Context;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// The next address is tried when the one before has not answered for so long: RFC 8305 section 5 recommends 250 ms.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) took_us: u64,
}

/// No address accepted. The attempt that says most: the first that left this machine.
#[derive(Debug)]
pub(crate) struct NotConnected {
    pub(crate) address: SocketAddr,
    pub(crate) took_us: u64,
    pub(crate) failure: Failure,
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
    let mut waiting = addresses.iter().map(|address| SocketAddr::new(*address, port));
    let mut running = FuturesUnordered::new();
    let mut failed: Vec<NotConnected> = Vec::new();
    let mut more = true;
    loop {
        if more {
            match waiting.next() {
                Some(address) => running.push(attempt(context, address, timeout)),
                None => more = false,
            }
        }
        tokio::select! {
            Some(result) = running.next() => match result {
                Ok(connected) => return Ok(connected),
                Err(not_connected) => failed.push(not_connected),
            },
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if more => {}
            else => break,
        }
    }
    let own = |failure: &Failure| matches!(failure.code, FailureCode::NetworkUnreachable | FailureCode::AddressNotAvailable);
    let telling = failed.iter().position(|attempt| !own(&attempt.failure)).unwrap_or(0);
    Err(failed.into_iter().nth(telling).unwrap_or_else(|| NotConnected {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        took_us: 0,
        failure: Failure::new(FailureCode::NoAddress, Step::Connect, "there is no address to connect to"),
    }))
}

async fn attempt(context: &Context, address: SocketAddr, timeout: Duration) -> Result<Connected, NotConnected> {
    let refusal = |took_us, failure| NotConnected { address, took_us, failure };
    context.gate.packet(address).await.map_err(|failure| refusal(0, failure))?;
    let began = context.clock.now();
    let result = tokio::time::timeout(timeout, context.connect(address)).await;
    let took_us = microseconds(context.clock.now().saturating_sub(began));
    match result {
        Ok(Ok(stream)) => {
            // Small writes are timed; they must not wait for each other. A system that refuses this only adds delay.
            let _ = stream.set_nodelay(true);
            Ok(Connected { stream, address, took_us })
        }
        Ok(Err(failure)) => Err(refusal(took_us, failure)),
        Err(_) => {
            let text = format!("{address} did not answer within {} ms", timeout.as_millis());
            Err(refusal(took_us, Failure::new(FailureCode::TimedOut, Step::Connect, text)))
        }
    }
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
    async fn the_first_failure_that_left_the_machine_is_told() {
        let port = TcpListener::bind((SECOND, 0)).await.unwrap().local_addr().unwrap().port();
        // The system itself refuses TCP to the broadcast address, so that nothing leaves for it.
        let unroutable: IpAddr = "255.255.255.255".parse().unwrap();
        let refused = first(&context(&[]), &[unroutable, FIRST], port, TIMEOUT).await.unwrap_err();
        assert_eq!((refused.address.ip(), refused.failure.code), (FIRST, FailureCode::Refused));
        assert_eq!(first(&context(&[]), &[], port, TIMEOUT).await.unwrap_err().failure.code, FailureCode::NoAddress);
    }
}
