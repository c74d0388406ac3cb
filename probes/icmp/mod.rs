//! Echo series: one to every address of a host, all addresses at once; or a sweep over thousands.
//!
//! The own engine takes timestamps of the kernel where the system has any. On Windows the system's own interface sends, which needs no
//! right, and on macOS datagram sockets do, which need none either. Elsewhere, and on Linux and Windows where it is asked for, the
//! portable engine measures.

/// The datagram sockets of macOS.
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
mod datagram;
/// Kernel timestamps, and many targets on a few sockets.
#[cfg(target_os = "linux")]
mod engine;
/// A library's sockets, one for each address.
mod portable;
/// One series to one address.
mod series;
/// Distributions, jitter, reordering, patterns of loss.
pub(crate) mod statistics;
/// The interface of Windows.
#[cfg(windows)]
mod system;
/// Which addresses to ask.
mod targets;

use crate::context::{Context, Ending, NotMeasurable};
/// The parsers here, for `tests/fuzz`.
#[cfg(all(target_os = "linux", any(test, feature = "fuzzing")))]
pub(crate) use engine::fuzzing;
use netsonde_contract::capability::ICMP_ECHO;
use netsonde_contract::kind::IcmpParams;
pub(crate) use statistics::distribution;
pub use statistics::of_requests;
use std::collections::HashSet;
use std::net::IpAddr;
use targets::Aim;

/// Ends as expected where each host and address that was given answered a request, a name with any of its addresses, and of each range
/// any address did: whoever lists hosts wants them all, and nobody expects every address of a range to be in use.
///
/// # Errors
/// Where nothing that was given has an address that may be asked, and where the process may open neither raw nor datagram ICMP sockets.
pub(crate) async fn run(context: &Context, params: &IcmpParams) -> Result<Ending, NotMeasurable> {
    let asked = targets::resolve(context, params).await?;
    let answered = match own_engine(context, params, &asked.aims).await? {
        Some(answered) => answered,
        None => portable::run(context, params, &asked.aims).await?,
    };
    Ok(if asked.is_answered_by(&answered) { Ending::AsExpected } else { Ending::Failed })
}

/// The addresses that answered a request in time.
type Answered = HashSet<IpAddr>;

/// Measures with the own engine; nothing where it is not to be used, or has no means.
#[cfg(target_os = "linux")]
async fn own_engine(context: &Context, params: &IcmpParams, aims: &[Aim]) -> Result<Option<Answered>, NotMeasurable> {
    if params.engine == netsonde_contract::kind::EchoEngine::Portable {
        return Ok(None);
    }
    match engine::run(context, params, aims).await {
        Ok(answered) => Ok(Some(answered)),
        Err(engine::NoEngine::Unsupported) => Ok(None),
        Err(engine::NoEngine::Denied(reason)) => Err(reason),
    }
}

#[cfg(windows)]
async fn own_engine(context: &Context, params: &IcmpParams, aims: &[Aim]) -> Result<Option<Answered>, NotMeasurable> {
    if params.engine == netsonde_contract::kind::EchoEngine::Portable {
        return Ok(None);
    }
    system::run(context, params, aims).await.map(Some)
}

/// Also where the portable engine is asked for: its library misreads what macOS hands out.
#[cfg(target_os = "macos")]
async fn own_engine(context: &Context, params: &IcmpParams, aims: &[Aim]) -> Result<Option<Answered>, NotMeasurable> {
    datagram::run(context, params, aims, socket2::Type::DGRAM).await.map(Some)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
async fn own_engine(_context: &Context, _params: &IcmpParams, _aims: &[Aim]) -> Result<Option<Answered>, NotMeasurable> {
    Ok(None)
}

/// Neither raw nor ping sockets could be opened.
fn denied() -> NotMeasurable {
    NotMeasurable(crate::capability::denied(&ICMP_ECHO))
}

#[cfg(test)]
mod tests;
