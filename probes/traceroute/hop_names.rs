use crate::context::Context;
use crate::dns::resolver;
use futures_util::StreamExt;
use futures_util::stream::iter;
use hickory_proto::rr::RData;
use netsonde_contract::observation::HopName;
use std::net::IpAddr;
use std::time::Duration;

/// Names are an extra: one that does not come in this time is left out.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions under way at once.
const AT_ONCE: usize = 8;
/// Longer ones than a domain name may be (RFC 1035 section 2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// The names that the system's name servers give for the addresses, where they do. Every server has passed the gate.
pub(super) async fn of(context: &Context, addresses: &[IpAddr]) -> Vec<HopName> {
    let Ok(resolver) = resolver(context).await else { return Vec::new() };
    let ask = |address: IpAddr| {
        let asked = resolver.reverse_lookup(address);
        async move {
            let found = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
            let pointed = |data: &RData| if let RData::PTR(name) = data { Some(name.to_string()) } else { None };
            let name = found.answers().iter().find_map(|record| pointed(&record.data))?;
            let name = name.trim_end_matches('.');
            (name.len() <= MAX_NAME_BYTES && !name.is_empty()).then(|| HopName { address, name: name.to_owned() })
        }
    };
    let asked = iter(addresses.iter().copied().map(ask)).buffered(AT_ONCE);
    asked.filter_map(std::future::ready).collect().await
}
