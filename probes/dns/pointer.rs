//! The name of an address (RFC 1035 section 3.5), asked of the system's name servers as netsonde asks all its questions: the policy is asked
//! first, and each packet passes the gate, which paces and counts it.

use super::ask::exchange;
use super::exchange::Patience;
use super::query::{Query, Shape};
use crate::context::Context;
use crate::gate::Sources;
use crate::platform::host::{SystemResolvers, system_resolvers};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{NameServer, Speaks};
use netsonde_contract::observation::{QueryReason, Transport};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Of the system's servers: a second one where the first is silent.
const MAX_SERVERS: usize = 2;
/// Names are an extra, for which a server is asked once, and waited for so long.
const PATIENCE: Patience = Patience { timeout: Duration::from_secs(1), attempts: 1, fallback: false, listen: Duration::ZERO };
/// Longer ones than a domain name may be (RFC 1035 section 2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// The system's first name servers.
pub(crate) async fn system_servers() -> Vec<SocketAddr> {
    let found = tokio::task::spawn_blocking(system_resolvers).await.unwrap_or_else(|_| SystemResolvers::default());
    let mut servers = found.servers;
    servers.dedup();
    servers.truncate(MAX_SERVERS);
    servers
}

/// The name of `address` by the first of these servers that answers; none where it has none.
///
/// # Errors
/// `not_allowed` where the policy does not let it be asked for; what came of the last server where none answered.
pub(crate) async fn name_of(context: &Context, address: IpAddr, servers: &[SocketAddr]) -> Result<Option<String>, Failure> {
    context.gate.reverse(address, None)?;
    if context.gate.sources() == Sources::HostsFile {
        let text = "the policy lets no resolver be asked (`targets.resolvers`)";
        return Err(Failure::new(FailureCode::NotAllowed, Step::Resolve, text));
    }
    let mut failed = None;
    for server in servers {
        let shape = Shape { class: DNSClass::IN, recursion: true, checking_disabled: false, edns: None };
        let Ok(query) = Query::new(Name::from(address), RecordType::PTR, shape) else { return Ok(None) };
        let server = NameServer { address: *server, speaks: Speaks::Any };
        match exchange(context, query, &server, Transport::Udp, QueryReason::First, PATIENCE).await.outcome {
            Ok(received) => return Ok(pointed(&received.message)),
            Err(failure) => failed = Some(failure),
        }
    }
    failed.map_or(Ok(None), Err)
}

fn pointed(message: &Message) -> Option<String> {
    let found = message.answers.iter().find_map(|record| match &record.data {
        RData::PTR(name) => Some(name.to_ascii()),
        _ => None,
    })?;
    let name = found.trim_end_matches('.');
    (name.len() <= MAX_NAME_BYTES && !name.is_empty()).then(|| name.to_owned())
}
