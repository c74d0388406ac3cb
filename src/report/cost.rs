//! What a check costs, in the same words for the person at the machine and for the engineer who signs an order.

use crate::units;
use netsonde_contract::kind::{
    CloudParams, DnsParams, EdnsUse, HttpParams, LoadDirection, LoadParams, MtuParams, Params, ProxyParams, QuicParams,
    ReflectParams, ServiceParams, ServiceTransport, TargetSpan, TlsParams,
};
use netsonde_contract::observation::MtuTransport;
use netsonde_contract::set::{PlannedCheck, STAND_IN_PROXY};

/// What one check sends at most, in one line.
pub fn cost(check: &PlannedCheck) -> String {
    let deadline = match &check.params {
        // It says itself how long it takes; the deadline of a single check is only the longest that any may take.
        Params::Load(params) => check.deadline.min(std::time::Duration::from_secs(load_s(params))).as_secs_f64(),
        _ => check.deadline.as_secs_f64(),
    };
    let what = match &check.params {
        Params::Dns(params) => {
            let types = params.types.len().min(DnsParams::MAX_TYPES);
            let packets = usize::try_from(params.attempts).unwrap_or(1) + usize::from(params.edns == EdnsUse::Fallback);
            let servers = match params.servers.len() {
                0 => "each configured name server".to_owned(),
                1 => params.servers.join(""),
                several => format!("each of {several} name servers"),
            };
            format!("{} questions for {} to {servers}{}", types * packets, params.name, beside(params))
        }
        Params::Tcp(params) => {
            let further = match params.further_ports().len() {
                0 => String::new(),
                ports => format!(", and 1 to each of {ports} further ports"),
            };
            let targets: u128 = params.spans().unwrap_or_default().iter().map(TargetSpan::len).sum();
            let others = match (targets, params.ports_of_targets().len()) {
                (0, _) => String::new(),
                (targets, ports) => {
                    format!(", and 1 to each of {ports} ports of {targets} further targets: {}", params.targets.join(", "))
                }
            };
            let connections = count(params.attempts.into(), "connection");
            format!("{connections} to each address of {}, port {}{further}{others}", params.host, params.port)
        }
        Params::Icmp(params) => {
            let further: u128 = params.spans().unwrap_or_default().iter().map(TargetSpan::len).sum();
            let further = if further > 0 {
                format!(" and to {further} further targets: {}", params.targets.join(", "))
            } else {
                String::new()
            };
            format!("{} to each address of {}{further}", count(params.count.into(), "echo request"), params.host)
        }
        Params::Traceroute(params) => {
            let packets = u64::from(params.max_ttl) * u64::from(params.rounds);
            let further = [
                (params.multipath, "up to 4096 more for its parallel paths"),
                (params.rate_test, "60 more to each of up to 16 routers"),
                (params.hop_mtu, "up to 200 of up to 9000 bytes"),
                (params.hop_names, "1 question to the system's name servers for each of up to 64 addresses"),
            ];
            let further: String = further.iter().filter(|(wanted, _)| *wanted).map(|(_, what)| format!(", {what}")).collect();
            format!("{} towards {}{further}", count(packets, "small packet"), params.host)
        }
        Params::Tls(params) => {
            let fetches = if params.fetch_issuers {
                format!(", and {} certificates from addresses that certificates name", TlsParams::MAX_FETCHES)
            } else {
                String::new()
            };
            let asked = if params.revocation {
                format!(
                    ", and {} about revocation to addresses that the certificate names",
                    count(TlsParams::MAX_STATEMENTS.into(), "question")
                )
            } else {
                String::new()
            };
            let connections = count(params.connections().into(), "connection");
            format!("{connections} for TLS handshakes with {}, port {}{fetches}{asked}", params.host, params.port)
        }
        Params::Mtu(params) => {
            let packets = count(MtuParams::MAX_PACKETS.into(), "packet");
            let within = match params.transport {
                MtuTransport::Udp | MtuTransport::Icmp => String::new(),
                MtuTransport::Tcp => {
                    format!(", port {}, within at most {} connections", params.port(), MtuParams::MAX_CONNECTIONS)
                }
            };
            format!("{packets} of up to {} bytes to each address of {}{within}", params.max_bytes, params.host)
        }
        Params::Ntp(params) => {
            let others = match params.others.len() {
                0 => String::new(),
                _ => format!(" and of {}", params.others.join(", ")),
            };
            format!("{} to each address of {}{others}", count(params.samples.into(), "question"), params.host)
        }
        Params::Quic(params) => {
            let packets = count(QuicParams::MAX_PACKETS.into(), "packet");
            let versions = if params.versions { ", and 2 packets of an unknown version" } else { "" };
            format!("1 QUIC handshake with each address of {}, port {}, of at most {packets}{versions}", params.host, params.port)
        }
        Params::Reflect(params) => {
            let further = count((if params.mtu { ReflectParams::MAX_FURTHER_PACKETS } else { 0 } + 8).into(), "further packet");
            format!(
                "{} of {} bytes and at most {further} to each address of {}, port {}",
                count(params.count.into(), "packet"),
                params.payload_bytes,
                params.host,
                params.port
            )
        }
        Params::Cloud(params) => {
            let clouds = if params.providers.is_empty() {
                "the cloud's".to_owned()
            } else {
                format!("{}'s", params.providers.join("'s, "))
            };
            format!("at most {} to {clouds} own addresses", count(CloudParams::MAX_REQUESTS.into(), "request"))
        }
        Params::Http(params) => {
            let redirects =
                if params.follow { format!(" and at most {} redirects", params.max_redirects) } else { String::new() };
            format!(
                "1 request to {}{redirects}, reads at most {} bytes of each body{}",
                without_query(&params.url),
                params.max_body_bytes,
                beside_the_request(params)
            )
        }
        Params::Load(params) => load(params),
        Params::Proxy(params) => {
            let script = match params.script_url.as_str() {
                "" => String::new(),
                url => format!(", and 1 request to {} for a script that is not run", without_query(url)),
            };
            let connections = count(ProxyParams::MAX_CONNECTIONS.into(), "connection");
            format!("{connections} to the proxy in force, to get through to {}{script}", without_query(&params.url))
        }
        Params::Host(params) if params.duplicates => {
            "3 small packets on the own link for each own address; reads this machine's own settings".to_owned()
        }
        Params::Service(params) => {
            let (label, port) = (params.protocol.label(), params.port());
            match params.protocol.transport() {
                ServiceTransport::Tcp => {
                    format!("1 connection to each address of {}, port {port}, to ask for {label}; nobody signs in", params.host)
                }
                ServiceTransport::Udp => {
                    let questions = count(ServiceParams::MAX_DATAGRAMS.into(), "datagram");
                    format!("{questions} to each address of {}, port {port}, to ask for {label}; nobody signs in", params.host)
                }
            }
        }
        Params::Host(_) => "nothing; reads this machine's own settings".to_owned(),
    };
    let what = named(what);
    match check.samples.count {
        0 | 1 => format!("{what} ({deadline} s)"),
        count => format!("{what} ({deadline} s), {count} times, every {} s", check.samples.every.as_secs_f64()),
    }
}

/// Everything that a check names to send packets to, and the name that it asks for, in one line: for whoever agrees to an order that somebody else
/// wrote. Nothing where it names neither.
pub fn aims(check: &PlannedCheck) -> Option<String> {
    let aimed = check.params.destinations();
    let reaches = (!aimed.is_empty()).then(|| format!("aimed at {}", aimed.join(", ")));
    let asks = match &check.params {
        Params::Dns(params) => Some(format!("asks for the name {} ({})", params.name, params.types.join(", "))),
        _ => None,
    };
    let words: Vec<String> = reaches.into_iter().chain(asks).collect();
    (!words.is_empty()).then(|| named(words.join("; ")))
}

/// Calls what stands in the place of a machine's own proxy by what it is.
fn named(text: String) -> String {
    let (host, port) = STAND_IN_PROXY;
    let own = "the machine's own proxy";
    text.replace(&format!("{host}, port {port}"), own).replace(host, own)
}

/// What a dns check asks beside its own questions.
fn beside(params: &DnsParams) -> String {
    let again = |server: &String| format!("the same to {server}");
    let asked = [
        params.compare_cd.then(|| "as many again after SERVFAIL".to_owned()),
        params.identity.then(|| "3 about each server itself".to_owned()),
        params.control.as_ref().map(again),
        params.unserved.as_ref().map(again),
        params.reverse.then(|| "1 about each address found".to_owned()),
        params.search.then(|| "1 for each search suffix".to_owned()),
        params.delegation.then(|| "3 to every name server from the root down".to_owned()),
    ];
    asked.into_iter().flatten().map(|what| format!(", {what}")).collect()
}

/// What an http check asks beside its own URL.
fn beside_the_request(params: &HttpParams) -> String {
    let one_to = |url: &String| format!("1 request to {}", without_query(url));
    let upload = || {
        let url = params.upload_url.as_ref().unwrap_or(&params.url);
        format!("posts {} generated bytes to {}", params.upload_bytes, without_query(url))
    };
    let asked = [
        params.compare.then(|| "the same again the other way".to_owned()),
        params.known_url.as_ref().map(one_to),
        params.echo_url.as_ref().map(one_to),
        params.range.as_ref().map(|range| format!("1 request for the bytes {range}")),
        (params.upload_bytes > 0).then(upload),
    ];
    asked.into_iter().flatten().map(|what| format!(", {what}")).collect()
}

fn load(params: &LoadParams) -> String {
    let up = params.upload_url.as_ref().unwrap_or(&params.url);
    let way = match params.direction {
        LoadDirection::Download => format!("down from {}", without_query(&params.url)),
        LoadDirection::Upload => format!("up to {}", without_query(up)),
        LoadDirection::Both => format!("down from {} and up to {}", without_query(&params.url), without_query(up)),
    };
    let measurements = load_s(params) * 1_000 / params.interval_ms.max(1);
    let connections = count(params.connections.into(), "connection");
    let most = units::size(params.max_bytes);
    format!("at most {most} {way} over {connections}, and {measurements} small measurements")
}

/// The seconds that it measures: idle once, and under load in each direction.
fn load_s(params: &LoadParams) -> u64 {
    let directions = if params.direction == LoadDirection::Both { 2 } else { 1 };
    params.idle_s + directions * params.load_s
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}
