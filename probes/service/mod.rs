//! Speaks just enough of a protocol to tell a living service from a listening port. Nobody signs in, and nothing is written.
//!
//! [`protocol::PROTOCOLS`] is the one table; each protocol is one small file with the questions that are asked and a pure parser of
//! what comes back. [`stream`] carries those over TCP, [`datagram`] those over UDP.

/// Reading bytes that somebody else chose.
mod bytes;
/// Asking over UDP.
mod datagram;
mod dhcp;
/// Which other protocol bytes belong to.
mod foreign;
mod ftp;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod ike;
mod ldap;
mod mssql;
mod mysql;
mod nfs;
mod postgres;
/// The one table, and what a conversation is made of.
mod protocol;
mod rdp;
mod redis;
/// Replies of a number and lines.
mod reply;
/// Calls of ONC RPC.
mod rpc;
mod rpcbind;
mod smb;
mod smtp;
mod ssh;
/// Talking over TCP.
mod stream;
#[cfg(test)]
mod tests;

use crate::context::{Context, Ending, NotMeasurable};
use crate::tls::draft::{Draft, Drafted};
use crate::zone;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step as Stage};
use netsonde_contract::kind::{ServiceParams, ServiceProtocol, ServiceTransport};
use netsonde_contract::observation::{Fact, Service, ServiceReach, ServiceStep, TlsUpgrade};
use protocol::{Heard, Protocol};
use std::net::SocketAddr;

/// Asks at each address, all at once. Ends as expected where any of them speaks the protocol and refuses nothing.
///
/// # Errors
/// Where the host gives no address, and for DHCP where this account may not use the client's port.
pub(crate) async fn run(context: &Context, params: &ServiceParams) -> Result<Ending, NotMeasurable> {
    let Some(protocol) = Protocol::of(params.protocol) else {
        return Err(NotMeasurable::new(format!("{} is not spoken by this version", params.protocol.name())));
    };
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let asked = addresses.iter().take(ServiceParams::MAX_ADDRESSES).map(|address| async move {
        let address = zone::socket(*address, params.port());
        let mut draft = Draft::begin(context, Stage::Connect, blank(&params.host, address, params.protocol));
        match params.protocol.transport() {
            ServiceTransport::Tcp => stream::talk(context, params, protocol, &mut draft).await,
            ServiceTransport::Udp => datagram::ask(context, params, protocol, &mut draft).await?,
        }
        Ok::<Service, NotMeasurable>(draft.finish())
    });
    let mut well = false;
    for fact in join_all(asked).await {
        let fact = fact?;
        well |= fact.failure.is_none() && fact.reached >= ServiceReach::Understood;
    }
    Ok(if well { Ending::AsExpected } else { Ending::Failed })
}

fn blank(host: &str, address: SocketAddr, protocol: ServiceProtocol) -> Service {
    Service {
        host: host.to_owned(),
        address,
        protocol,
        reached: ServiceReach::Nothing,
        connect_us: None,
        attempts: Vec::new(),
        first_byte_us: None,
        steps: Vec::new(),
        greeting: None,
        product: None,
        version: None,
        capabilities: Vec::new(),
        tls_upgrade: None,
        spoke: None,
        refusal: None,
        received_bytes: 0,
        at_close: None,
        failure: None,
    }
}

/// Writes what was heard so far into the fact, so that a deadline keeps it.
fn note(fact: &mut Service, heard: &Heard) {
    fact.reached = fact.reached.max(ServiceReach::Understood);
    fact.greeting.clone_from(&heard.greeting);
    fact.product.clone_from(&heard.product);
    fact.version.clone_from(&heard.version);
    fact.capabilities.clone_from(&heard.capabilities);
    fact.refusal.clone_from(&heard.refusal);
    // Within TLS nobody offers it again.
    let is_secured = fact.tls_upgrade.as_ref().is_some_and(|upgrade| upgrade.version.is_some());
    if let Some(offered) = heard.tls_offered.filter(|_| !is_secured) {
        let upgrade = fact.tls_upgrade.get_or_insert_with(TlsUpgrade::default);
        (upgrade.offered, upgrade.required) = (offered, heard.tls_required);
    }
    if let Some(words) = &heard.tls_refused {
        let text = format!("the service offers TLS and refuses it when it is asked for: {words}");
        let failure = Failure::new(FailureCode::Other("starttls_refused".into()), Stage::Handshake, text);
        fact.tls_upgrade.get_or_insert_default().failure = Some(failure.clone());
        fact.failure = Some(failure);
    }
    if let Some(refusal) = &heard.refusal {
        let text = format!("the service refuses: {} {}", refusal.code, refusal.text);
        fact.failure = Some(Failure::new(FailureCode::Other("service_refused".into()), Stage::Receive, text));
    }
}

fn step(fact: &mut Service, name: &str, took_us: u64, answered: bool) {
    fact.steps.push(ServiceStep { name: name.to_owned(), took_us, answered });
}

/// The bytes are not of the protocol: whose they are, where that is known.
fn not_this(fact: &mut Service, bytes: &[u8]) {
    let label = fact.protocol.label();
    fact.spoke = foreign::name(bytes).map(str::to_owned);
    fact.reached = fact.reached.max(ServiceReach::Answered);
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    fact.greeting.get_or_insert_with(|| bytes::text(line));
    let text = match &fact.spoke {
        Some(spoke) => format!("the port speaks {spoke}, not {label}"),
        None => format!("the answer is not {label}"),
    };
    fact.failure = Some(Failure::new(FailureCode::ProtocolError, Stage::Receive, text));
}

impl Drafted for Service {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        if failure.during == Stage::Connect {
            self.connect_us = Some(after_us);
        }
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Service(Box::new(self))
    }
}
