use crate::clock::microseconds;
use crate::context::Context;
use crate::gate::Destination;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::policy::Question;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Answers that fit no question are passed over up to this many.
const MAX_STRAY: usize = 16;

/// Asks a name server for the root's own servers, which every one that resolves can answer, and returns the response code with the time it
/// took in microseconds.
///
/// # Errors
/// Where none answered.
pub(super) async fn ask(context: &Context, address: SocketAddr, timeout: Duration) -> Result<(u16, u64), Failure> {
    let id = rand::random::<u16>();
    let question = question(id);
    context.gate.packet(Destination::question(address, Question::Plain), question.len()).await?;
    let io = |step| move |error: std::io::Error| Failure::from_io(&error, step);
    let local: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(local).await.map_err(io(Step::Open))?;
    socket.connect(address).await.map_err(io(Step::Connect))?;
    context.datagrams(socket.local_addr(), address);
    let began = context.clock.now();
    socket.send(&question).await.map_err(io(Step::Send))?;
    let answer = async {
        let mut buffer = [0_u8; 2_048];
        for _ in 0..MAX_STRAY {
            let count = socket.recv(&mut buffer).await.map_err(io(Step::Receive))?;
            context.gate.received(count);
            if let Some(code) = response_code(&buffer[..count], id) {
                return Ok(code);
            }
        }
        Err(Failure::new(FailureCode::ProtocolError, Step::Receive, "no answer fits the question"))
    };
    let code = tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} ms", timeout.as_millis());
        Err(Failure::new(FailureCode::TimedOut, Step::Receive, text))
    })?;
    Ok((code, microseconds(context.clock.now().saturating_sub(began))))
}

/// RFC 1035 section 4.1: recursion desired, one question: the root, type NS, class IN.
fn question(id: u16) -> [u8; 17] {
    let [high, low] = id.to_be_bytes();
    [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]
}

pub(super) fn response_code(bytes: &[u8], id: u16) -> Option<u16> {
    let [high, low, first, second, ..] = bytes else { return None };
    let is_answer = u16::from_be_bytes([*high, *low]) == id && first & 0x80 != 0 && bytes.len() >= 12;
    is_answer.then(|| u16::from(second & 0xf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_question_counts() {
        let mut reply = question(7).to_vec();
        assert_eq!(response_code(&reply, 7), None, "a question is no answer");
        (reply[2], reply[3]) = (0x81, 0x85);
        assert_eq!((response_code(&reply, 7), response_code(&reply, 8)), (Some(5), None));
        assert_eq!(response_code(&reply[..11], 7), None);
    }
}
