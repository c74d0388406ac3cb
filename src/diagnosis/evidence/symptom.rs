use super::Evidence;
use super::endpoint::host_of;
use crate::layer::Layer;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Connect, Exchange, Fact, Handshake, Lookup, LookupSource, Purpose};
use netsonde_contract::outcome::Outcome;

/// One observation that made its check fail: where, at which layer, and what was seen in words.
#[derive(Clone, Debug)]
pub(crate) struct Symptom<'a> {
    pub(crate) id: &'a ObservationId,
    pub(crate) layer: Layer,
    pub(crate) spot: Spot,
    pub(crate) what: String,
    /// netsonde itself held it back: policy or budget.
    pub(crate) held_back: bool,
}

impl Evidence<'_> {
    /// What made the check fail, in the order seen.
    pub(crate) fn symptoms<'a>(outcome: &'a Outcome) -> Vec<Symptom<'a>> {
        let system_was_asked = outcome.observations.iter().any(|observation| {
            matches!(&observation.fact, Fact::Lookup(Lookup { source: LookupSource::System, .. }))
        });
        let of_fact = |fact: &Fact| match fact {
            // Where the system was asked, what it said decides; the servers' replies are the reason.
            Fact::Lookup(lookup) if lookup.purpose != Purpose::Question => None,
            Fact::Lookup(lookup) if !system_was_asked || lookup.source == LookupSource::System => of_lookup(lookup),
            Fact::Connect(connect) => of_connect(connect),
            Fact::Echo(echo) if echo.replies.is_empty() => {
                let what = words(echo.failure.as_ref(), || format!("none of {} echo requests was answered", echo.sent));
                Some((Layer::Path, Spot::Address(echo.address), format!("ping to {}: {what}", echo.address)))
            }
            Fact::Trace(trace) if !trace.arrived => {
                let what = words(trace.failure.as_ref(), || "the target did not answer".to_owned());
                Some((Layer::Path, Spot::Address(trace.target), format!("traceroute to {}: {what}", trace.target)))
            }
            Fact::Handshake(handshake) => of_handshake(handshake),
            Fact::Exchange(exchange) => of_exchange(exchange),
            Fact::Route(route) => route.failure.as_ref().map(|failure| {
                (Layer::Host, Spot::Address(route.target), format!("no route to {}: {}", route.target, failure.text))
            }),
            _ => None,
        };
        let symptom = |observation: &'a netsonde_contract::observation::Observation| {
            let (layer, spot, what) = of_fact(&observation.fact)?;
            let held_back = observation.fact.failure().is_some_and(|failure| {
                matches!(failure.code, FailureCode::NotAllowed | FailureCode::BudgetExhausted)
            });
            Some(Symptom { id: &observation.id, layer, spot, what, held_back })
        };
        outcome.observations.iter().filter_map(symptom).collect()
    }
}

type Found = (Layer, Spot, String);

fn words(failure: Option<&Failure>, otherwise: impl Fn() -> String) -> String {
    failure.map_or_else(otherwise, |failure| failure.text.clone())
}

fn of_lookup(lookup: &Lookup) -> Option<Found> {
    let asked = match lookup.source {
        LookupSource::Server { server, .. } => format!("the name server {server}"),
        LookupSource::System | LookupSource::Library => "the system".to_owned(),
    };
    let rcode = lookup.reply.as_ref().map(|reply| reply.rcode.as_str());
    let has_answer = !lookup.addresses.is_empty() || lookup.reply.as_ref().is_some_and(|reply| !reply.answers.is_empty());
    if has_answer && lookup.failure.is_none() {
        return None;
    }
    let what = words(lookup.failure.as_ref(), || match rcode {
        Some("NOERROR") | None => "no record came back".to_owned(),
        Some(rcode) => format!("the reply was {rcode}"),
    });
    let name = &lookup.name;
    Some((Layer::Dns, Spot::Name(name.clone()), format!("asking {asked} for {name} ({}): {what}", lookup.record_type)))
}

fn of_connect(connect: &Connect) -> Option<Found> {
    let failure = connect.failure.as_ref()?;
    Some((Layer::Tcp, Spot::Endpoint(connect.address), format!("connecting to {}: {}", connect.address, failure.text)))
}

fn of_handshake(handshake: &Handshake) -> Option<Found> {
    let spot = Spot::Endpoint(handshake.address);
    let at = handshake.address;
    if let Some(failure) = &handshake.failure {
        let connecting = matches!(failure.during, Step::Open | Step::Connect);
        return Some(match connecting {
            true => (Layer::Tcp, spot, format!("connecting to {at}: {}", failure.text)),
            false => (Layer::Tls, spot, format!("TLS handshake with {at}: {}", failure.text)),
        });
    }
    let distrust = handshake.deciding_verdict().filter(|verdict| !verdict.trusted);
    if let Some(verdict) = distrust {
        let why = verdict.text.clone().unwrap_or_else(|| "without a reason given".to_owned());
        return Some((Layer::Tls, spot, format!("the certificate of {at} is not trusted: {why}")));
    }
    let misnamed = handshake.name.as_ref().is_some_and(|name| !name.fits);
    misnamed.then(|| (Layer::Tls, spot, format!("the certificate of {at} is not for {}", handshake.host)))
}

fn of_exchange(exchange: &Exchange) -> Option<Found> {
    let url = &exchange.url;
    let name = || Spot::Name(host_of(url).to_owned());
    // Behind a proxy the address is the proxy's: what fails there is no symptom of the target's own endpoint.
    let endpoint = || exchange.address.filter(|_| exchange.proxy.is_none()).map_or_else(name, Spot::Endpoint);
    if let Some(failure) = &exchange.failure {
        let (layer, spot) = match failure.during {
            Step::Resolve => (Layer::Dns, name()),
            Step::Open | Step::Connect => (Layer::Tcp, endpoint()),
            Step::Handshake => (Layer::Tls, endpoint()),
            Step::Send | Step::Receive | Step::Other => (Layer::Http, Spot::Url(url.clone())),
        };
        return Some((layer, spot, format!("{} {url}: {}", exchange.method, failure.text)));
    }
    if let Some(stopped) = &exchange.redirect_stopped {
        return Some((Layer::Http, Spot::Url(url.clone()), format!("{} {url}: redirects ended by {stopped}", exchange.method)));
    }
    let status = exchange.status.filter(|_| !exchange.expected && exchange.location.is_none())?;
    Some((Layer::Http, Spot::Url(url.clone()), format!("{} {url}: status {status}, which was not expected", exchange.method)))
}
