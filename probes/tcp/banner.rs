use crate::context::Context;
use crate::tls::failure::printable;
use netsonde_contract::kind::TcpParams;
use netsonde_contract::observation::Banner;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time;

/// After its first bytes a server is waited for so long: a greeting of several lines may come in several segments.
const MORE: Duration = Duration::from_millis(200);

/// Reads what the server says without being asked, up to the bytes and the time that the parameters give. The time counts for all of it:
/// a server that drips would hold the check for as long as it likes.
pub(super) async fn read(context: &Context, stream: &TcpStream, params: &TcpParams) -> Banner {
    let clock = context.clock;
    let limit = usize::try_from(params.banner_bytes).unwrap_or_default();
    let began_us = clock.now_us();
    let ends = clock.now() + Duration::from_millis(params.timeout_ms);
    let mut bytes = Vec::new();
    let mut first_byte_us = None;
    let mut patience = Duration::from_millis(params.timeout_ms);
    while bytes.len() < limit {
        let mut buffer = vec![0; limit - bytes.len()];
        match time::timeout(patience.min(ends.saturating_sub(clock.now())), receive(stream, &mut buffer)).await {
            Ok(Ok(count)) if count > 0 => {
                context.gate.received(count);
                first_byte_us.get_or_insert_with(|| clock.now_us().saturating_sub(began_us));
                bytes.extend(buffer.iter().take(count));
                patience = patience.min(MORE);
            }
            // Silence, the end, or an error: what the server said is known.
            _ => break,
        }
    }
    Banner { bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX), text: printable(&bytes), first_byte_us }
}

/// Waits for bytes; 0 where the peer has closed.
pub(super) async fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}
