use crate::context::{Context, NotMeasurable};
use futures_util::stream::{self, StreamExt};
use netsonde_contract::failure::Failure;
use netsonde_contract::kind::{IcmpParams, TargetSpan};
use std::collections::HashSet;
use std::net::IpAddr;

/// Names resolved at once: the system's resolver takes a thread for each.
const NAMES_AT_ONCE: usize = 16;

/// One address to send echo requests to, and the host that it was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aim {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// Every address that the parameters stand for, each once, in their order, [`IcmpParams::MAX_ADDRESSES`] at most. Further names that do
/// not resolve and further addresses that may not be probed are left out.
///
/// # Errors
/// Where `host` gives no address and nothing else does.
pub(super) async fn resolve(context: &Context, params: &IcmpParams) -> Result<Vec<Aim>, NotMeasurable> {
    let spans = params.spans().map_err(|error| NotMeasurable::new(error.to_string()))?;
    let first = TargetSpan::Name(params.host.clone());
    let found = stream::iter([first].into_iter().chain(spans)).map(|span| aims(context, span)).buffered(NAMES_AT_ONCE);
    let found: Vec<Result<Vec<Aim>, Failure>> = found.collect().await;
    let mut known = HashSet::new();
    let mut all = Vec::new();
    let mut refusal = None;
    for found in found {
        match found {
            Ok(aims) => all.extend(aims.into_iter().filter(|aim| known.insert(aim.address))),
            Err(failure) => {
                refusal.get_or_insert(failure);
            }
        }
    }
    all.truncate(IcmpParams::MAX_ADDRESSES);
    match refusal {
        Some(failure) if all.is_empty() => Err(NotMeasurable::unresolved(&params.host, &failure)),
        _ => Ok(all),
    }
}

async fn aims(context: &Context, span: TargetSpan) -> Result<Vec<Aim>, Failure> {
    if let TargetSpan::Name(host) = &span {
        let addresses = context.names.resolve(&context.gate, host).await?;
        return Ok(addresses.into_iter().map(|address| Aim { host: host.clone(), address }).collect());
    }
    let mut refusal = None;
    let mut allowed = Vec::new();
    for address in span.addresses() {
        match context.gate.address(address) {
            Ok(()) => allowed.push(Aim { host: address.to_string(), address }),
            Err(failure) => refusal = Some(failure),
        }
    }
    match refusal {
        Some(failure) if allowed.is_empty() => Err(failure),
        _ => Ok(allowed),
    }
}
