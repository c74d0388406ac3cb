use super::statistics::{LossPattern, distribution, jitter_us, reordered};
use super::targets::Aim;
use crate::clock::Clock;
use crate::context::Context;
use futures_util::stream::{FuturesUnordered, StreamExt};
use netsonde_contract::failure::{Failure, IcmpError, Step};
use netsonde_contract::kind::IcmpParams;
use netsonde_contract::observation::{Echo, EchoClock, EchoReply, EchoStatistics, Fact};
use std::net::IpAddr;
use std::time::Duration;

/// One request as it is to be sent.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) sequence: u16,
    pub(super) payload: &'a [u8],
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
}

/// What sends the requests of a series to one address, and matches the answers.
pub(super) trait Asking {
    /// For the facts.
    fn name(&self) -> &'static str;

    /// Replies come in the order in which the network brought them.
    fn tells_order(&self) -> bool {
        true
    }

    /// Sends one request and waits for what comes of it.
    fn ask(&self, address: IpAddr, request: Request<'_>) -> impl Future<Output = Answer>;

    /// ICMP errors that came without being matched to a request.
    fn errors(&self) -> Vec<IcmpError> {
        Vec::new()
    }
}

/// A series as far as it has come. It is recorded when it is dropped, so that a deadline in the midst of it keeps what was seen.
pub(super) struct Series<'c> {
    context: &'c Context,
    params: &'c IcmpParams,
    at_us: u64,
    echo: Echo,
    ended: bool,
    tells_order: bool,
}

/// What became of one request.
pub(super) enum Answer {
    Reply(EchoReply),
    Error(IcmpError),
    Silence,
    /// It was counted, and then could not be sent.
    Unsent(Failure),
}

impl<'c> Series<'c> {
    pub(super) fn begin(context: &'c Context, params: &'c IcmpParams, aim: &Aim) -> Self {
        let echo = Echo {
            host: aim.host.clone(),
            address: aim.address,
            sent: 0,
            replies: Vec::new(),
            errors: Vec::new(),
            size_bytes: params.size_bytes,
            clock: EchoClock::Process.as_str().into(),
            socket: None,
            dont_fragment: params.dont_fragment,
            dscp: params.dscp,
            extra: Vec::new(),
            statistics: None,
            failure: None,
        };
        Self { context, params, at_us: context.clock.now_us(), echo, ended: false, tells_order: true }
    }

    /// Keeps why nothing more can be sent; the first reason counts.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.echo.failure.get_or_insert(failure);
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Reply(reply) => self.echo.replies.push(reply),
            Answer::Error(error) => self.echo.errors.push(error),
            Answer::Silence => {}
            Answer::Unsent(failure) => {
                self.echo.sent -= 1;
                self.fail(failure);
            }
        }
    }
}

impl Series<'_> {
    /// Of replies in the order in which they came.
    fn statistics(&self) -> EchoStatistics {
        let rtts: Vec<Duration> = self.echo.replies.iter().map(|reply| Duration::from_micros(reply.rtt_us)).collect();
        let answered = |sequence| self.echo.replies.iter().any(|reply| u32::from(reply.sequence) == sequence);
        let losses = LossPattern::of((0..self.echo.sent).map(|sequence| !answered(sequence)));
        EchoStatistics {
            received: u32::try_from(rtts.len()).unwrap_or(u32::MAX),
            lost: losses.lost,
            jitter_us: jitter_us(&rtts),
            rtt: distribution(rtts),
            reordered: if self.tells_order { reordered(self.echo.replies.iter().map(|reply| reply.sequence)) } else { 0 },
            loss_periods: losses.periods,
            longest_loss: losses.longest,
            least_loss_distance: losses.least_distance,
            ..EchoStatistics::default()
        }
    }
}

impl Drop for Series<'_> {
    fn drop(&mut self) {
        if let Some(failure) = self.context.recorder.interrupted(Step::Receive).filter(|_| !self.ended) {
            self.fail(failure);
        }
        self.echo.statistics = (self.echo.sent > 0).then(|| Box::new(self.statistics()));
        self.echo.replies.sort_by_key(|reply| reply.sequence);
        self.context.recorder.record(self.at_us, Fact::Echo(self.echo.clone()));
    }
}

/// Sends the requests at their interval without waiting for the replies of earlier ones. The address, where it answered.
pub(super) async fn run(mut series: Series<'_>, client: impl Asking) -> Option<IpAddr> {
    let (context, params, address) = (series.context, series.params, series.echo.address);
    series.tells_order = client.tells_order();
    series.echo.socket = Some(client.name().to_owned());
    let payload = vec![0; usize::try_from(params.size_bytes).unwrap_or_default()];
    let timeout = Duration::from_millis(params.timeout_ms);
    let began = context.clock.now();
    let mut waiting = FuturesUnordered::new();
    for sequence in 0..params.count {
        let due = began + Duration::from_millis(params.interval_ms) * sequence;
        let turn = async {
            tokio::time::sleep(due.saturating_sub(context.clock.now())).await;
            context.gate.packet(address, payload.len()).await
        };
        tokio::pin!(turn);
        let admitted = loop {
            tokio::select! {
                admitted = &mut turn => break admitted,
                Some(answer) = waiting.next() => series.take(answer),
            }
        };
        series.echo.errors.extend(client.errors());
        if let Err(failure) = admitted {
            series.fail(failure);
        }
        // Nothing more is sent once something could not be: the reason is local and does not pass within a series.
        if series.echo.failure.is_some() {
            break;
        }
        series.echo.sent += 1;
        let sequence = u16::try_from(sequence).unwrap_or(u16::MAX);
        waiting.push(client.ask(address, Request { sequence, payload: &payload, timeout, clock: context.clock }));
    }
    while let Some(answer) = waiting.next().await {
        series.take(answer);
    }
    series.echo.errors.extend(client.errors());
    series.ended = true;
    (!series.echo.replies.is_empty()).then_some(address)
}
