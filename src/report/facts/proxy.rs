use super::{failure, http, of};
use crate::units;
use netsonde_contract::observation::{Fact, Proxy, ProxyAnswer};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let proxies = of(outcome, |fact| if let Fact::Proxy(proxy) = fact { Some(&**proxy) } else { None });
    let scripts = of(outcome, |fact| if let Fact::Exchange(exchange) = fact { Some(&**exchange) } else { None });
    let scripts = scripts.last().map(|exchange| format!("the script {}", http::script(exchange)));
    proxies.into_iter().map(line).chain(scripts).collect::<Vec<_>>().join("; ")
}

/// `http://proxy:3128 (Squid) wants a sign-in (Negotiate, Basic), CONNECT shop.example:443: status 407`.
pub(super) fn line(proxy: &Proxy) -> String {
    let product = proxy.product.as_ref().map_or(String::new(), |product| format!(" ({product})"));
    let mut parts = Vec::new();
    parts.extend(proxy.failure.as_ref().map(failure::short));
    parts.extend(sign_in(proxy));
    parts.extend(proxy.connect.as_ref().map(|answer| format!("CONNECT {}", answered(answer))));
    parts.extend(proxy.get.as_ref().map(|answer| format!("plain {}", answered(answer))));
    parts.extend(proxy.socks.map(|socks| format!("SOCKS {}: {}", socks.version, socks.words())));
    if parts.is_empty() {
        parts.push("nothing was heard of it".to_owned());
    }
    format!("{}{product}: {}", proxy.proxy, parts.join(", "))
}

fn sign_in(proxy: &Proxy) -> Option<String> {
    let names: Vec<&str> = proxy.methods.iter().map(|method| method.name.as_str()).collect();
    let by = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    match (proxy.lets_in_anybody?, proxy.signed_in) {
        (true, _) => Some("no sign-in needed".to_owned()),
        (false, true) if [&proxy.connect, &proxy.get].into_iter().flatten().any(|answer| answer.status == Some(407)) => {
            Some(format!("wants a sign-in{by}, and does not take the one that was given"))
        }
        (false, true) => Some(format!("wants a sign-in{by}, and takes the one that was given")),
        (false, false) => Some(format!("wants a sign-in{by}")),
    }
}

fn answered(answer: &ProxyAnswer) -> String {
    let came = match (&answer.failure, answer.status) {
        (Some(found), _) => failure::short(found),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "no answer".to_owned(),
    };
    let after = answer.took_us.map_or(String::new(), |us| format!(" after {}", units::duration(us)));
    format!("{}: {came}{after}", answer.asked)
}

pub(super) fn details(proxy: &Proxy) -> Vec<String> {
    let mut lines = failure::details(proxy.failure.as_ref());
    let times = [("resolve", proxy.resolve_us), ("connect", proxy.connect_us)];
    let times = times.into_iter().filter_map(|(name, us)| Some(format!("{name} {}", units::duration(us?))));
    let times: Vec<String> = times.collect();
    if !times.is_empty() {
        lines.push(times.join("; "));
    }
    lines.extend(proxy.tls.as_deref().map(|tls| format!("the proxy itself: {}", super::tls::line(tls))));
    for method in &proxy.methods {
        lines.extend(method.realm.as_ref().map(|realm| format!("{} for \"{realm}\"", method.name)));
    }
    for answer in [&proxy.connect, &proxy.get].into_iter().flatten() {
        lines.extend(answer.via.as_ref().map(|via| format!("via: {via}")));
        lines.extend(answer.server.as_ref().map(|server| format!("server: {server}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fact(more: Value) -> Proxy {
        let mut fact =
            json!({"url": "https://shop.example/", "proxy": "http://p.example:3128", "protocol": "http", "way": "given"});
        fact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(fact).unwrap()
    }

    #[test]
    fn a_sign_in_that_is_wanted_is_named_with_its_ways() {
        let proxy = fact(json!({
            "product": "Squid", "lets_in_anybody": false, "methods": [{"name": "Negotiate"}, {"name": "Basic", "realm": "office"}],
            "connect": {"asked": "shop.example:443", "status": 407, "took_us": 2_000, "via": "1.1 gate"},
        }));
        assert_eq!(
            line(&proxy),
            "http://p.example:3128 (Squid): wants a sign-in (Negotiate, Basic), CONNECT shop.example:443: status 407 after 2.0 ms"
        );
        assert_eq!(details(&proxy), ["Basic for \"office\"", "via: 1.1 gate"]);
    }

    #[test]
    fn a_socks_proxy_says_its_reply_in_words() {
        let proxy = fact(json!({"lets_in_anybody": true, "socks": {"version": 5, "method": 0, "reply": 2, "took_us": 1}}));
        assert_eq!(line(&proxy), "http://p.example:3128: no sign-in needed, SOCKS 5: forbidden by its rules");
    }
}
