//! Series by the ICMP interface of Windows, which any user may use: the system sends and matches, and names who sent an error. The times
//! are the program's own, around each call, and end no later than the millisecond that the system tells, which stands beside each.

use super::Answered;
use super::series::{self, Answer, Asking, Request, Series};
use super::statistics::microseconds;
use super::targets::Aim;
use crate::context::{Context, NotMeasurable};
use crate::packet::echo_asking::{Asked, start, turn};
use crate::packet::echo_status::{Verdict, verdict};
use crate::platform::windows::echo::EchoRequest;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::IcmpParams;
use netsonde_contract::observation::EchoReply;
use std::net::IpAddr;
use tokio::sync::oneshot;

/// Each address is a series of its own, and each request that is under way a thread.
const MAX_TARGETS: usize = 64;
/// As Windows' own programs send.
const USUAL_TTL: u8 = 128;

/// Says which addresses answered.
///
/// # Errors
/// Where the parameters ask for what the interface does not offer.
pub(super) async fn run(context: &Context, params: &IcmpParams, aims: &[Aim]) -> Result<Answered, NotMeasurable> {
    if params.dscp != 0 {
        return Err(NotMeasurable::new("the ICMP interface of Windows sends every request with DSCP 0: leave dscp out"));
    }
    if aims.len() > MAX_TARGETS {
        return Err(NotMeasurable::new(format!(
            "on Windows one check asks {MAX_TARGETS} targets at most: split it into several"
        )));
    }
    let system = |aim: &Aim| series::run(Series::begin(context, params, aim), System { dont_fragment: params.dont_fragment });
    Ok(join_all(aims.iter().map(system)).await.into_iter().flatten().collect())
}

struct System {
    dont_fragment: bool,
}

impl Asking for System {
    fn name(&self) -> &'static str {
        "system"
    }

    /// Each answer wakes a thread of its own, and which of them runs first says nothing of the network.
    fn tells_order(&self) -> bool {
        false
    }

    async fn ask(&self, address: IpAddr, request: Request<'_>) -> Answer {
        let echo = EchoRequest {
            target: address,
            ttl: USUAL_TTL,
            dont_fragment: self.dont_fragment,
            payload: request.payload.to_vec(),
            timeout: request.timeout,
        };
        let (tell, told) = oneshot::channel();
        let Some(turn) = turn().await else { return unsent("no thread may send requests any more") };
        // Nobody waits any more where the check has ended meanwhile.
        let started = start(echo, request.clock, turn, move |asked| drop(tell.send(asked)));
        match (started, told.await) {
            (Err(error), _) => Answer::Unsent(Failure::from_io(&error, Step::Send)),
            (Ok(()), Ok(asked)) => answer(address, request, &asked),
            (Ok(()), Err(_)) => unsent("the thread that sent the request ended without a word"),
        }
    }
}

fn unsent(why: &str) -> Answer {
    Answer::Unsent(Failure::new(FailureCode::Other("echo_thread".into()), Step::Send, why))
}

fn answer(address: IpAddr, request: Request<'_>, asked: &Asked) -> Answer {
    let found = match &asked.result {
        Ok(found) => found,
        Err(error) => return Answer::Unsent(Failure::from_io(error, Step::Send)),
    };
    let rtt = asked.answered_by().saturating_sub(asked.began);
    match verdict(found.status, found.from) {
        // The system's own time-out runs by its own ticks.
        Verdict::Reply if rtt > request.timeout => Answer::Silence,
        Verdict::Reply => Answer::Reply(EchoReply {
            sequence: request.sequence,
            rtt_us: microseconds(rtt),
            ttl: found.ttl,
            corrupt: found.corrupt,
            from: Some(found.from).filter(|from| *from != address && !from.is_unspecified()),
            clock: None,
            system_rtt_ms: Some(found.system_rtt_ms),
        }),
        Verdict::Error(error) => Answer::Error(error),
        Verdict::Silence => Answer::Silence,
        Verdict::Unsent(failure) => Answer::Unsent(failure),
    }
}
