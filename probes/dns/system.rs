//! What an application gets: getaddrinfo, and hickory-resolver on the system's configuration.
//!
//! Beside netsonde's own questions they show what a cache, a hosts file, a search list or a name-service plug-in changes. The two
//! differ from each other where the C library has sources other than DNS.

use super::pending::Pending;
use crate::clock::microseconds;
use crate::context::Context;
use crate::gate::{Destination, LOOKUP_BYTES, Sources};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Lookup, LookupSource};
use netsonde_contract::policy::Question;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The record type of a lookup that asks for addresses of both families.
const ADDRESS: &str = "ADDRESS";

/// How long to wait for the library. Its answer stands beside what decides; on dead servers it goes on asking for longer than any check
/// lasts. A name server that works answers within this, also when it has to ask others first.
const LIBRARY_PATIENCE: Duration = Duration::from_secs(3);

/// Records what getaddrinfo gives; says whether it gave an address, which is all that the checks behind this one need.
pub(super) async fn getaddrinfo(context: &Context, name: &str) -> bool {
    let mut pending = pending(context, name, LookupSource::System);
    let answer = context.names.answer(&context.gate, name).await;
    let given = answer.addresses.is_ok();
    note(&mut pending, answer.addresses, microseconds(answer.took));
    if given {
        context.recorder.has_enough();
    }
    given
}

/// Records what hickory-resolver gives on the system's configuration within its patience.
pub(super) async fn library(context: &Context, name: &str) {
    let mut pending = pending(context, name, LookupSource::Library);
    let began = context.clock.now();
    let asked = async {
        if context.gate.lookup(name)? == Sources::HostsFile {
            let text = "the policy lets no resolver be asked (`targets.resolvers`)";
            return Err(Failure::new(FailureCode::NotAllowed, Step::Resolve, text));
        }
        let resolver = resolver(context).await?;
        context.gate.library(LOOKUP_BYTES)?;
        match resolver.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) => Err(failure(&error)),
        }
    };
    let addresses = within(LIBRARY_PATIENCE, asked).await;
    let took = context.clock.now().saturating_sub(began);
    note(&mut pending, addresses, microseconds(took));
}

fn pending<'a>(context: &'a Context, name: &str, source: LookupSource) -> Pending<'a> {
    Pending::new(context, Lookup::new(name.trim_end_matches('.'), ADDRESS, source))
}

fn note(pending: &mut Pending<'_>, addresses: Result<Vec<IpAddr>, Failure>, took_us: u64) {
    pending.took_us = Some(took_us);
    pending.failure = addresses.as_ref().err().cloned();
    pending.addresses = addresses.unwrap_or_default();
}

async fn within<T>(patience: Duration, asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let silence = || Failure::new(FailureCode::TimedOut, Step::Resolve, format!("no answer within {} s", patience.as_secs_f64()));
    tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| Err(silence()))
}

/// A resolver on the system's configuration, whose servers have all passed the gate: it sends on its own. Its questions for the addresses of
/// both families are counted.
async fn resolver(context: &Context) -> Result<TokioResolver, Failure> {
    let unusable = |text: String| Failure::new(FailureCode::ResolveFailed, Step::Open, text);
    let (config, mut options) = tokio::task::spawn_blocking(hickory_resolver::system_conf::read_system_conf)
        .await
        .map_err(|error| unusable(error.to_string()))?
        .map_err(|error| unusable(error.to_string()))?;
    let question = |ip: IpAddr| Destination::question(SocketAddr::new(ip, Question::Plain.port()), Question::Plain);
    for server in &config.name_servers {
        context.gate.address(question(server.ip))?;
    }
    if let Some(server) = config.name_servers.first() {
        for _family in 0..2 {
            context.gate.packet(question(server.ip), 0).await?;
        }
    }
    // One server after the other, as the C library asks; the library would ask two at once. Its choice by statistics stays: it is what
    // leads a repeated question away from a dead server.
    options.num_concurrent_reqs = 1;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    TokioResolver::builder_with_config(config, Default::default())
        .with_options(options)
        .build()
        .map_err(|error| unusable(error.to_string()))
}

fn failure(error: &NetError) -> Failure {
    let (code, text) = match error {
        NetError::Timeout => (FailureCode::TimedOut, error.to_string()),
        NetError::Io(io) => (FailureCode::from_io(io), error.to_string()),
        // The library's own words show its types, and the last name of the search list.
        _ if error.is_nx_domain() => (FailureCode::NoAddress, "the name does not exist (NXDOMAIN)".into()),
        _ if error.is_no_records_found() => (FailureCode::NoAddress, "the name has no address".into()),
        _ => (FailureCode::ResolveFailed, error.to_string()),
    };
    Failure::new(code, Step::Resolve, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_library_that_goes_on_asking_is_left_behind() {
        let failure = within(Duration::from_millis(1), std::future::pending::<Result<(), Failure>>()).await.unwrap_err();
        assert_eq!((failure.code, failure.text.as_str()), (FailureCode::TimedOut, "no answer within 0.001 s"));
    }
}
