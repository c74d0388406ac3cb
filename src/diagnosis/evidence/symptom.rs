use super::endpoint::host_of;
use super::path::{Stopped, stopped};
use super::{Evidence, proxy_towards};
use crate::layer::Layer;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{
    Connect, Echo, Exchange, ExchangePurpose, Fact, Handshake, Load, Lookup, LookupSource, Mtu, MtuLimit, MtuTransport,
    PortSweep, Proxy, Purpose, Quic, Service, TimeOffset, Trace,
};
use netsonde_contract::outcome::Outcome;

/// One observation that made its check fail: where, at which layer, and what was seen in words.
#[derive(Clone, Debug)]
pub(crate) struct Symptom<'a> {
    pub(crate) id: &'a ObservationId,
    pub(crate) layer: Layer,
    pub(crate) spot: Spot,
    pub(crate) what: String,
    /// netsonde's own limits kept it from being measured: policy, budget, or what netsonde does not do.
    pub(crate) not_measured: bool,
    /// What would have it measured.
    pub(crate) grant: Option<&'static str>,
}

impl Evidence<'_> {
    /// What made the check fail, in the order seen.
    pub(crate) fn symptoms<'a>(outcome: &'a Outcome) -> Vec<Symptom<'a>> {
        let system_was_asked = outcome
            .observations
            .iter()
            .any(|observation| matches!(&observation.fact, Fact::Lookup(Lookup { source: LookupSource::System, .. })));
        let lookups = || {
            outcome.observations.iter().filter_map(|seen| if let Fact::Lookup(lookup) = &seen.fact { Some(lookup) } else { None })
        };
        let unanswered = Lookup::unanswered_types(lookups());
        let gave_records = lookups().any(|lookup| lookup.reply.as_ref().is_some_and(|reply| !reply.answers.is_empty()));
        let keeps_no_cookies =
            |exchange: &Exchange| matches!(exchange.redirect_stopped.as_deref(), Some("loop" | "limit")) && sets_cookie(outcome);
        let answers = |fact: &Fact| matches!(fact, Fact::CloudMetadata(metadata) if metadata.recognised);
        let answering_cloud = outcome.observations.iter().any(|observation| answers(&observation.fact));
        let of_fact = |fact: &Fact| match fact {
            // Where the system was asked, what it said decides; the servers' replies are the reason.
            Fact::Lookup(lookup) if lookup.purpose != Purpose::Question => None,
            Fact::Lookup(lookup) if lookup.source == LookupSource::System => of_lookup(lookup),
            Fact::Lookup(lookup) if !lookup.is_vouched_for() => {
                let (layer, spot, what) = lookup.tls.as_deref().and_then(of_handshake)?;
                Some((layer, spot, format!("asking a name server over TLS: {what}")))
            }
            Fact::Lookup(lookup) if unanswered.contains(&lookup.record_type.as_str()) => {
                let of_system = system_was_asked && matches!(lookup.record_type.as_str(), "A" | "AAAA");
                if of_system { None } else { of_lookup(lookup) }
            }
            // What is wrong is what nobody answered; that a name has no record of some type is as it is where it has others.
            Fact::Lookup(lookup) if !system_was_asked && unanswered.is_empty() && !gave_records => of_lookup(lookup),
            Fact::Connect(connect) => of_connect(connect),
            Fact::PortSweep(sweep) => of_listed(outcome, sweep),
            Fact::Echo(Echo { address, .. }) | Fact::Trace(Trace { target: address, .. }) if address.is_unspecified() => {
                let what = format!("{address} is the address of no machine: what is sent there says nothing of a path");
                Some((Layer::Path, Spot::Address(*address), what))
            }
            Fact::Echo(echo) if echo.replies.is_empty() => {
                let what = words(echo.failure.as_ref(), || format!("none of {} echo requests was answered", echo.sent));
                Some((Layer::Path, Spot::Address(echo.address), format!("ping to {}: {what}", echo.address)))
            }
            Fact::Sweep(sweep) if sweep.answered == 0 => {
                let what = words(sweep.failure.as_ref(), || format!("none of {} addresses answered", sweep.asked));
                let first = sweep.silent.first().copied()?;
                Some((Layer::Path, Spot::Address(first), format!("ping to {} addresses: {what}", sweep.targets)))
            }
            // Where hosts were listed, each of them was to answer.
            Fact::Sweep(sweep) if sweep.answered < sweep.targets => {
                let silent = sweep.targets.saturating_sub(sweep.answered);
                let what = words(sweep.failure.as_ref(), || format!("{silent} did not answer"));
                let first = sweep.silent.first().copied()?;
                let which = if silent == 1 { first.to_string() } else { format!("first {first}") };
                Some((Layer::Path, Spot::Address(first), format!("ping to {} addresses: {what}, {which}", sweep.targets)))
            }
            Fact::Trace(trace) if let Some(stopped) = stopped(outcome, trace) => {
                let how = match stopped {
                    Stopped::AtLimit(1) => "it looked at one hop only, as it was told".to_owned(),
                    Stopped::AtLimit(hops) => format!("it looked at {hops} hops only, as it was told"),
                    Stopped::OutOfTime => "its time was over before the target could answer".to_owned(),
                };
                let what = format!("traceroute to {}: {how}; whether the target answers is not known", trace.target);
                Some((Layer::Path, Spot::Address(trace.target), what))
            }
            Fact::Trace(trace) if !trace.arrived => {
                let what = words(trace.failure.as_ref(), || "the target did not answer".to_owned());
                Some((Layer::Path, Spot::Address(trace.target), format!("traceroute to {}: {what}", trace.target)))
            }
            Fact::Mtu(mtu) => of_mtu(mtu),
            Fact::TimeOffset(offset) => of_time(outcome, offset),
            Fact::Handshake(handshake) => match proxy_towards(outcome, handshake.address) {
                Some((proxy, _)) => of_tunnelled(handshake, proxy),
                None => of_handshake(handshake),
            },
            Fact::Exchange(exchange) if keeps_no_cookies(exchange) => {
                let url = &exchange.url;
                let what = format!(
                    "{} {url}: the site sets a cookie and then redirects without an end; netsonde keeps no cookies, so that a browser, which does, may get further",
                    exchange.method
                );
                Some((Layer::Http, Spot::Url(url.clone()), what))
            }
            // That the other way fails, where there is one, is no failure of the check.
            Fact::Exchange(exchange) if exchange.purpose == ExchangePurpose::Compared => None,
            Fact::Exchange(exchange) => of_exchange(exchange),
            Fact::Quic(quic) => of_quic(quic),
            Fact::Load(load) => of_load(load),
            Fact::Proxy(proxy) => of_proxy(proxy),
            Fact::Reflection(reflection) if reflection.failure.is_some() || reflection.received < reflection.sent => {
                let count = || format!("{} of {} packets were answered", reflection.received, reflection.sent);
                let what = words(reflection.failure.as_ref(), count);
                Some((
                    Layer::Path,
                    Spot::Endpoint(reflection.address),
                    format!("test packets to the reflector {}: {what}", reflection.address),
                ))
            }
            // Beside a cloud that answers, others are not expected to.
            Fact::CloudMetadata(metadata) if metadata.recognised || answering_cloud => None,
            Fact::CloudMetadata(metadata) => metadata.failure.as_ref().map(|failure| {
                let what = format!("{} metadata at {}: {}", metadata.provider.title(), metadata.address, failure.text);
                (Layer::Service, Spot::Endpoint(metadata.address), what)
            }),
            Fact::PlatformAddress(address) => address.failure.as_ref().map(|failure| {
                let what =
                    format!("{} {} at {}: {}", address.provider.title(), address.service.words(), address.address, failure.text);
                (Layer::Service, Spot::Endpoint(address.address), what)
            }),
            Fact::Service(service) => of_service(service),
            Fact::Route(route) => route.failure.as_ref().map(|failure| {
                (Layer::Host, Spot::Address(route.target), format!("no route to {}: {}", route.target, failure.text))
            }),
            _ => None,
        };
        let symptom = |observation: &'a netsonde_contract::observation::Observation| {
            let (layer, spot, what) = of_fact(&observation.fact)?;
            let what = without_number(what);
            let held_back = |failure: &Failure| {
                matches!(failure.code, FailureCode::NotAllowed | FailureCode::BudgetExhausted | FailureCode::Interrupted)
            };
            // What this machine's own interface does not take was never sent: the way to the target has nothing to do with it.
            let too_long = |echo: &Echo| echo.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::MessageTooLong);
            let not_measured = observation.fact.failure().is_some_and(held_back)
                || match &observation.fact {
                    Fact::Echo(echo) => echo.address.is_unspecified() || too_long(echo),
                    Fact::Trace(trace) => trace.target.is_unspecified() || stopped(outcome, trace).is_some(),
                    Fact::Exchange(exchange) => keeps_no_cookies(exchange),
                    // Most hosts answer no UDP packet to a closed port: nothing was measured, and nothing is wrong.
                    // A router that says why is another matter.
                    Fact::Mtu(mtu) if mtu.failure.as_ref().is_some_and(|failure| failure.icmp.is_some()) => false,
                    Fact::Mtu(mtu) => mtu.passed_bytes.is_none() || mtu.limit == MtuLimit::Unknown,
                    _ => false,
                };
            let grant = match &observation.fact {
                Fact::Trace(trace) => stopped(outcome, trace).map(|stopped| match stopped {
                    Stopped::AtLimit(_) => "let it look further with --max-ttl",
                    Stopped::OutOfTime => "give it more time with --budget, or ask for less",
                }),
                _ => None,
            };
            Some(Symptom { id: &observation.id, layer, spot, what, not_measured, grant })
        };
        outcome.observations.iter().filter_map(symptom).collect()
    }
}

/// An answer in the check's chain of requests set a cookie, which netsonde does not send back.
pub(crate) fn sets_cookie(outcome: &Outcome) -> bool {
    let cookie = |fact: &Fact| matches!(fact, Fact::Exchange(exchange) if exchange.header("set-cookie").is_some());
    outcome.observations.iter().any(|observation| cookie(&observation.fact))
}

type Found = (Layer, Spot, String);

/// The system's number of an error is for programs.
fn without_number(what: String) -> String {
    if what.contains(" (os error ") { crate::wording::plain(&what) } else { what }
}

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
    // getaddrinfo asks for addresses of both families, and has no record type to name.
    let question = match lookup.source {
        LookupSource::Server { .. } => format!("{name} ({})", lookup.record_type),
        LookupSource::System | LookupSource::Library => name.clone(),
    };
    Some((Layer::Dns, Spot::Name(name.clone()), format!("asking {asked} for {question}: {what}")))
}

fn of_connect(connect: &Connect) -> Option<Found> {
    let spot = Spot::Endpoint(connect.address);
    if let Some(failure) = &connect.failure {
        return Some((Layer::Tcp, spot, format!("connecting to {}: {}", connect.address, failure.text)));
    }
    let hold = connect.hold.as_ref()?;
    let failure = hold.failure.as_ref()?;
    let idle_s = hold.idle_us / 1_000_000;
    Some((
        Layer::Tcp,
        spot,
        format!("the connection to {} was lost after {idle_s} s without traffic: {}", connect.address, failure.text),
    ))
}

/// A further target of which no port is open. More ports of the check's own target are tried to know them, and not to find them open.
fn of_listed(outcome: &Outcome, sweep: &PortSweep) -> Option<Found> {
    let is_own = |fact: &Fact| matches!(fact, Fact::Connect(connect) if connect.address.ip() == sweep.address);
    if outcome.observations.iter().any(|seen| is_own(&seen.fact)) || sweep.ports.iter().any(|state| state.failure.is_none()) {
        return None;
    }
    let first = sweep.ports.iter().find_map(|state| Some((state.port, state.failure.as_ref()?)));
    let what = match (first, &sweep.failure) {
        (Some((port, failure)), _) => format!("connecting to {}, port {port}: {}", sweep.address, failure.text),
        (None, failure) => {
            format!("connecting to {}: {}", sweep.address, words(failure.as_ref(), || "it was not tried".to_owned()))
        }
    };
    Some((Layer::Tcp, Spot::Address(sweep.address), what))
}

fn of_mtu(mtu: &Mtu) -> Option<Found> {
    let what = match (mtu.limit, mtu.passed_bytes, mtu.stopped_bytes) {
        (MtuLimit::Untold, Some(passed), Some(stopped)) => {
            format!("packets of {stopped} bytes vanish without a word, and packets of {passed} bytes pass")
        }
        (_, None, _) | (MtuLimit::Unknown, _, _) if mtu.failure.as_ref().is_some_and(|failure| failure.icmp.is_some()) => {
            words(mtu.failure.as_ref(), String::new)
        }
        (_, None, _) | (MtuLimit::Unknown, _, _) => "its large packets could not be told from lost ones".to_owned(),
        _ => return None,
    };
    let over = match mtu.transport {
        MtuTransport::Udp => "",
        MtuTransport::Tcp => " over TCP",
        MtuTransport::Icmp => " by echo requests",
    };
    Some((Layer::Path, Spot::Address(mtu.address), format!("path MTU to {}{over}: {what}", mtu.address)))
}

/// A server that did not answer, or a clock further off than the check allows.
fn of_time(outcome: &Outcome, offset: &TimeOffset) -> Option<Found> {
    /// As in the parameters of the kind.
    const DEFAULT_MS: u64 = 1_000;
    let allowed_ms = outcome.parameters.get("max_offset_ms").and_then(serde_json::Value::as_u64).unwrap_or(DEFAULT_MS);
    let spot = Spot::Endpoint(offset.address);
    if let Some(failure) = &offset.failure {
        return Some((Layer::Service, spot, format!("asking the time server {}: {}", offset.address, failure.text)));
    }
    let offset_ms = offset.offset_us?.unsigned_abs() / 1_000;
    let what = format!("this machine's clock differs from the time server {} by {offset_ms} ms", offset.address);
    (offset_ms > allowed_ms).then_some((Layer::Service, spot, what))
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
    if handshake.pin.as_ref().is_some_and(|pin| !pin.fits) {
        return Some((Layer::Tls, spot, format!("the certificate of {at} is not the one that was expected")));
    }
    let misnamed = handshake.name.as_ref().is_some_and(|name| !name.fits);
    misnamed.then(|| (Layer::Tls, spot, format!("the certificate of {at} is not for {}", handshake.host)))
}

/// Within a proxy's tunnel the handshake is with the target: the address is the proxy's, and what fails there is no symptom of it.
fn of_tunnelled(handshake: &Handshake, proxy: &str) -> Option<Found> {
    let (layer, _, what) = of_handshake(handshake)?;
    let spot = Spot::Name(handshake.host.clone());
    let what = match &handshake.failure {
        Some(failure) => format!("TLS handshake with {} through the proxy {proxy}: {}", handshake.host, failure.text),
        None => what,
    };
    Some((layer, spot, what))
}

/// A QUIC connection that failed, or one whose certificate is not what it should be.
fn of_quic(quic: &Quic) -> Option<Found> {
    match &quic.failure {
        Some(failure) => {
            let what = format!("QUIC handshake with {}: {}", quic.address, failure.text);
            Some((Layer::Service, Spot::Endpoint(quic.address), what))
        }
        None => quic.tls.as_ref().and_then(|handshake| of_handshake(handshake)),
    }
}

fn of_service(service: &Service) -> Option<Found> {
    let failure = service.failure.as_ref()?;
    let spot = Spot::Endpoint(service.address);
    let connecting = service.connect_us.is_some() && matches!(failure.during, Step::Open | Step::Connect);
    Some(match connecting {
        true => (Layer::Tcp, spot, format!("connecting to {}: {}", service.address, failure.text)),
        false => {
            let label = service.protocol.label();
            (Layer::Service, spot, format!("asking {} for {label}: {}", service.address, failure.text))
        }
    })
}

/// How an exchange failed. A failure after the status is one of the body, and the library's own words do not say so.
fn ended(exchange: &Exchange, failure: &Failure) -> String {
    let may_be_tls = exchange.url.starts_with("http://") && failure.during == Step::Receive;
    match (exchange.status, &failure.code) {
        (Some(status), FailureCode::Closed) => {
            format!("it answered with status {status}, and the connection was closed before the body was complete")
        }
        (Some(status), FailureCode::Reset) => {
            format!("it answered with status {status}, and the connection was reset before the body was complete")
        }
        (Some(status), _) => format!("it answered with status {status}, and then {}", failure.text),
        (None, FailureCode::Reset) if may_be_tls => {
            "the connection was reset instead of an answer; a port that expects TLS does so to plain HTTP".to_owned()
        }
        (None, FailureCode::Closed) if may_be_tls => {
            "the connection was closed without an answer; a port that expects TLS does so to plain HTTP".to_owned()
        }
        (None, _) => match &exchange.plain_reply {
            Some(reply) => format!("{}: it begins \"{reply}\"", failure.text),
            None => failure.text.clone(),
        },
    }
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
        return Some((layer, spot, format!("{} {url}: {}", exchange.method, ended(exchange, failure))));
    }
    let through = exchange.proxy_tls.as_deref().and_then(of_handshake);
    if let Some((layer, spot, what)) = through {
        return Some((layer, spot, format!("the proxy {}: {what}", exchange.proxy.as_deref().unwrap_or_default())));
    }
    if let Some(stopped) = &exchange.redirect_stopped {
        let why = match stopped.as_str() {
            "loop" => "the redirects go in a circle",
            "limit" => "there are too many redirects",
            "no_location" => "it answers with a redirect that does not say where to",
            other => other,
        };
        return Some((Layer::Http, Spot::Url(url.clone()), format!("{} {url}: {why}", exchange.method)));
    }
    let spot = || Spot::Url(url.clone());
    if let Some(unmet) = exchange.unmet().next().filter(|_| exchange.expected || !exchange.purpose.is_question()) {
        return Some((Layer::Http, spot(), format!("{} {url}: {}", exchange.method, unmet.words())));
    }
    if let Some(echoed) = exchange.echoed.as_ref().filter(|echoed| !echoed.lost.is_empty() || !echoed.changed.is_empty()) {
        let changed = echoed.changed.iter().map(|header| format!("{} was changed", header.name));
        let lost = echoed.lost.iter().map(|name| format!("{name} was lost"));
        let what: Vec<String> = changed.chain(lost).collect();
        return Some((Layer::Http, spot(), format!("{url} did not get the request as it was sent: {}", what.join(", "))));
    }
    // A redirect is followed, and is no failure, but for an answer that is known to be another one.
    let is_final = exchange.location.is_none() || exchange.purpose == ExchangePurpose::KnownAnswer;
    let status = exchange.status.filter(|_| !exchange.expected && is_final)?;
    Some((Layer::Http, Spot::Url(url.clone()), format!("{} {url}: status {status}, which was not expected", exchange.method)))
}

/// A proxy that does not let this machine out, in its own words.
fn of_proxy(proxy: &Proxy) -> Option<Found> {
    if proxy.lets_out() {
        return None;
    }
    let mut answers = [&proxy.connect, &proxy.get].into_iter().flatten();
    let refusing = answers.rfind(|answer| answer.failure.is_some() || !(answer.is_tunnel() || answer.is_let_through()));
    let answered = refusing.map(|answer| match (&answer.failure, answer.status) {
        (Some(failure), _) => format!("asked for {}: {}", answer.asked, failure.text),
        (None, status) => format!("asked for {}: status {}", answer.asked, status.unwrap_or_default()),
    });
    let socks = proxy.socks.map(|socks| socks.words().to_owned());
    let failure = proxy.failure.as_ref().map(|failure| failure.text.clone());
    let what = failure.or(answered).or(socks).unwrap_or_else(|| "it was not asked".to_owned());
    Some((Layer::Http, Spot::Url(proxy.url.clone()), format!("the proxy {}: {what}", proxy.proxy)))
}

fn of_load(load: &Load) -> Option<Found> {
    let spot = || load.address.filter(|_| load.proxy.is_none()).map_or_else(|| Spot::Url(load.url.clone()), Spot::Endpoint);
    if let Some(failure) = &load.failure {
        let layer = if matches!(failure.during, Step::Open | Step::Connect) { Layer::Tcp } else { Layer::Path };
        return Some((layer, spot(), format!("measuring under load with {}: {}", load.url, failure.text)));
    }
    let failed = load.loaded.iter().find_map(|phase| phase.failure.as_ref());
    let failed =
        failed.map(|failure| (Layer::Http, Spot::Url(load.url.clone()), format!("loading {}: {}", load.url, failure.text)));
    let silent = || {
        let silent = load
            .idle
            .iter()
            .chain(load.loaded.iter().map(|phase| &phase.latency))
            .find(|series| series.sent > 0 && series.answered == 0)?;
        let what = format!("none of {} measurements of the delay to {} was answered", silent.sent, load.url);
        Some((Layer::Path, spot(), what))
    };
    failed.or_else(silent)
}
