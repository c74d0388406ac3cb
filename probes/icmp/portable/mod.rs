//! The portable engine: a library's sockets and the program's own clock, on every system.

/// A socket to ping one address with.
mod client;
/// One request by the library.
mod pinging;

use super::Answered;
use super::series::{self, Series};
use super::targets::Aim;
use crate::context::{Context, NotMeasurable};
use client::NoClient;
use futures_util::future::join_all;
use netsonde_contract::kind::IcmpParams;

/// Each address has a socket and a task of its own; with several hundred the library loses replies.
const MAX_TARGETS: usize = 64;

/// Says which addresses answered.
///
/// # Errors
/// Where the parameters ask for what only the own engine can do, and where the process may open neither raw nor datagram sockets.
pub(super) async fn run(context: &Context, params: &IcmpParams, aims: &[Aim]) -> Result<Answered, NotMeasurable> {
    if aims.len() > MAX_TARGETS || params.dont_fragment || params.dscp != 0 {
        let why = format!("more than {MAX_TARGETS} targets, dont_fragment and dscp need packet timestamps of a Linux kernel");
        return Err(NotMeasurable::new(why));
    }
    let mut denied = None;
    let mut measured = Vec::new();
    for aim in aims {
        match client::open(aim.address) {
            Ok(client) => measured.push(series::run(Series::begin(context, params, aim), client)),
            Err(NoClient::Denied(reason)) => denied = Some(reason),
            // The right is there, the family is not: that is a fact about this address, and the others go on.
            Err(NoClient::Failed(failure)) => Series::begin(context, params, aim).fail(failure),
        }
    }
    match denied {
        Some(reason) if measured.is_empty() => Err(reason),
        _ => Ok(join_all(measured).await.into_iter().flatten().collect()),
    }
}
