//! Echo series: one to every address of a host, all addresses at once.

/// A socket to ping one address with.
mod client;
/// One series to one address.
mod series;

use crate::context::{Context, Ending, NotMeasurable};
use client::NoClient;
use futures_util::future::join_all;
use netsonde_contract::kind::IcmpParams;
use series::Series;

/// Ends as expected where any address answered any request.
///
/// # Errors
/// Where the host gives no address, and where the process may open neither raw nor datagram ICMP sockets.
pub(crate) async fn run(context: &Context, params: &IcmpParams) -> Result<Ending, NotMeasurable> {
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let mut denied = None;
    let mut measured = Vec::new();
    for address in addresses {
        match client::open(address) {
            Ok(client) => measured.push(series::run(Series::begin(context, params, address), client)),
            Err(NoClient::Denied(reason)) => denied = Some(reason),
            // The right is there, the family is not: that is a fact about this address, and the others go on.
            Err(NoClient::Failed(failure)) => Series::begin(context, params, address).fail(failure),
        }
    }
    match denied {
        Some(reason) if measured.is_empty() => Err(reason),
        _ => {
            let answered = join_all(measured).await.into_iter().any(|answered| answered);
            Ok(if answered { Ending::AsExpected } else { Ending::Failed })
        }
    }
}
