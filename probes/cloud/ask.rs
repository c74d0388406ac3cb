use crate::clock::microseconds;
use crate::context::Context;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

/// Azure's whole answer has some kilobytes, the others' single values fewer.
const MAX_BODY_BYTES: usize = 65_536;
/// The head of an answer; these services send a dozen fields.
const MAX_HEAD_BYTES: usize = 16_384;

/// One answer. The body may hold what must not be kept: it is wiped when it is dropped.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// When what was done, as far as it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) connect_us: Option<u64>,
    pub(super) answer_us: Option<u64>,
}

/// One request on a connection of its own, never through a proxy: these addresses are next to the machine.
pub(super) async fn ask(
    context: &Context,
    address: SocketAddr,
    request: http::request::Builder,
    timeout: Duration,
    times: &mut Times,
) -> Result<Answer, Failure> {
    let request = request.body(Empty::new());
    let request = request.map_err(|error| Failure::new(FailureCode::ProtocolError, Step::Send, error.to_string()))?;
    let mut step = Step::Connect;
    match tokio::time::timeout(timeout, exchange(context, address, request, times, &mut step)).await {
        Ok(done) => done,
        Err(_) => Err(Failure::new(FailureCode::TimedOut, step, format!("no answer within {} ms", timeout.as_millis()))),
    }
}

async fn exchange(
    context: &Context,
    address: SocketAddr,
    request: Request<Empty<Bytes>>,
    times: &mut Times,
    step: &mut Step,
) -> Result<Answer, Failure> {
    context.gate.packet(address, 0).await?;
    let began = context.clock.now();
    let since = || microseconds(context.clock.now().saturating_sub(began));
    let stream = context.connect(address).await?;
    times.connect_us = Some(since());
    *step = Step::Receive;
    let foreign = |error: hyper::Error| {
        let code = if error.is_parse() { FailureCode::ProtocolError } else { FailureCode::Closed };
        Failure::new(code, Step::Receive, error.to_string())
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(foreign)?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(foreign)?;
    let (head, body) = response.into_parts();
    let whole = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let whole = whole.map_err(|error| Failure::new(FailureCode::Incomplete, Step::Receive, error.to_string()))?;
    times.answer_us = Some(since());
    Ok(Answer { status: head.status, headers: head.headers, body: Zeroizing::new(whole.to_bytes().to_vec()) })
}
