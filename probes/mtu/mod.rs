//! The largest packet that passes to each address of a host.
//!
//! UDP packets which no router may cut go to ports where nothing listens: a host that gets one answers "port unreachable", so that
//! neither a server nor a right is needed. [`search`] decides what to send next and what the answers mean; [`wire`] sends and hears.

/// Which size next, and what the answers mean.
mod search;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
/// One socket's packets and their answers.
mod wire;

use crate::capture::flow::Flow;
use crate::clock::microseconds;
use crate::context::{Context, Ending, NotMeasurable};
use crate::tls::draft::{Draft, Drafted};
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::MtuParams;
use netsonde_contract::observation::{Fact, Mtu, MtuAnswer, MtuLimit, MtuProbe};
use search::{Event, Probe, REST, Search};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use wire::Wire;

/// Beyond the slowest answer so far, silence is waited for this many times as long: queues fill, but not that much.
const PATIENCE: u32 = 8;
/// And no shorter than this, as hosts may be slow to answer with ICMP.
const LEAST_WAIT: Duration = Duration::from_millis(250);

/// Measures every address of the host, all at once. Ends as expected where any address answers, and none lies behind a path that
/// swallows large packets without a word: a router that tells its limit does what it should.
///
/// # Errors
/// Where the host gives no address, and where the system cannot send packets that must not be cut.
pub(crate) async fn run(context: &Context, params: &MtuParams) -> Result<Ending, NotMeasurable> {
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let mut measured = Vec::new();
    for address in addresses {
        let opened = wire::open(address, params.port);
        if opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported) {
            return Err(NotMeasurable::new("this system cannot send packets that no router may cut"));
        }
        measured.push(measure(context, params, address, opened));
    }
    let facts = join_all(measured).await;
    let mut answering = facts.iter().filter(|fact| fact.passed_bytes.is_some()).peekable();
    let any = answering.peek().is_some();
    let swallowed = answering.any(|fact| matches!(fact.limit, MtuLimit::Untold | MtuLimit::Unknown));
    Ok(if any && !swallowed { Ending::AsExpected } else { Ending::Failed })
}

async fn measure(context: &Context, params: &MtuParams, address: IpAddr, opened: io::Result<Wire>) -> Mtu {
    let mut draft = Draft::begin(context, Step::Send, blank(params, address));
    let began = context.clock.now();
    match opened {
        Ok(mut wire) => {
            if let Some(local_port) = wire.local_port() {
                context.flow(Flow::UdpAnyPort { local_port, remote: address });
            }
            let mut search = Search::new(address, params.max_bytes, params.tries);
            if let Err(failure) = drive(context, params, &mut wire, &mut search, &mut draft).await {
                draft.failure = Some(failure);
            }
        }
        Err(error) => draft.failure = Some(Failure::from_io(&error, Step::Open)),
    }
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    draft.finish()
}

/// Sends what the search wants and tells it what came, until it knows.
async fn drive(
    context: &Context,
    params: &MtuParams,
    wire: &mut Wire,
    search: &mut Search,
    draft: &mut Draft<Mtu>,
) -> Result<(), Failure> {
    let patience = Duration::from_millis(params.timeout_ms);
    let mut slowest = None;
    while let Some(Probe { size, rested }) = search.next() {
        if rested {
            tokio::time::sleep(REST).await;
        }
        context.gate.packet(wire.target()).await?;
        let sent = context.clock.now();
        let wait = slowest.map_or(patience, |slowest: Duration| (slowest * PATIENCE).max(LEAST_WAIT).min(patience));
        let event = match wire.send(size) {
            Ok(()) => tokio::time::timeout(wait, wire.answer()).await.unwrap_or(Ok(Event::Silent)),
            Err(error) if Failure::from_io(&error, Step::Send).code == FailureCode::MessageTooLong => Ok(Event::NotSent),
            Err(error) => Err(error),
        };
        let took = context.clock.now().saturating_sub(sent);
        let event = event.map_err(|error| Failure::from_io(&error, Step::Send))?;
        let answer = match &event {
            Event::Passed => MtuAnswer::Passed,
            Event::TooBig(_) => MtuAnswer::TooBig,
            Event::NotSent => MtuAnswer::NotSent,
            Event::Refused(_) => MtuAnswer::Refused,
            Event::Silent => MtuAnswer::Silent,
        };
        let answered = matches!(answer, MtuAnswer::Passed | MtuAnswer::TooBig | MtuAnswer::Refused);
        if answered {
            slowest = slowest.max(Some(took));
        }
        draft.probes.push(MtuProbe { size_bytes: size, answer, took_us: answered.then(|| microseconds(took)) });
        search.handle(size, event);
        let found = search.found();
        (draft.passed_bytes, draft.stopped_bytes, draft.limit) = (found.passed, found.stopped, found.limit);
        (draft.told, draft.disbelieved) = (found.told, found.disbelieved);
        if let Some(icmp) = found.refused {
            let text = format!("{} answered with \"{}\"", icmp.offender, icmp.words());
            return Err(Failure::new(FailureCode::HostUnreachable, Step::Receive, text).with_icmp(icmp));
        }
    }
    if draft.passed_bytes.is_none() && draft.limit == MtuLimit::Unknown {
        let text = "no packet of any size was answered, so that none can be told from a lost one";
        return Err(Failure::new(FailureCode::TimedOut, Step::Receive, text));
    }
    Ok(())
}

fn blank(params: &MtuParams, address: IpAddr) -> Mtu {
    Mtu {
        host: params.host.clone(),
        address,
        passed_bytes: None,
        stopped_bytes: None,
        limit: MtuLimit::Unknown,
        told: None,
        disbelieved: Vec::new(),
        probes: Vec::new(),
        took_us: 0,
        failure: None,
    }
}

impl Drafted for Mtu {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Mtu(Box::new(self))
    }
}
