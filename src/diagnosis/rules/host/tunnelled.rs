use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};

pub(in crate::rules) const RULE: Rule = Rule::new("host.tunnelled", &["path.asymmetric"], evaluate);

/// The kernel names the kind of the interface that the route leads out of.
const CONFIDENCE: f64 = 0.97;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let tunnelled = || evidence.routes.iter().filter(|route| route.failure.is_none() && route.tunnel.is_some());
    let mut names: Vec<&str> = Vec::new();
    for name in tunnelled().filter_map(|route| route.fact.interface.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of_interface = |name: &str| {
        let routes: Vec<_> = tunnelled().filter(|route| route.fact.interface.as_deref() == Some(name)).collect();
        let kind = routes.first().and_then(|route| route.fact.tunnel.as_deref()).unwrap_or("tunnel");
        let targets: Vec<_> = routes.iter().map(|route| route.target).collect();
        let sentence = format!(
            "The traffic to {} ({}) goes through the tunnel {name} ({kind}): what is measured is the way through it, and the network below is not seen.",
            evidence.host(),
            list(&targets)
        );
        Candidate::new(Severity::Notice, CONFIDENCE, sentence)
            .at(Place { interface: Some(name.to_owned()), ..Place::default() })
            .resting_on(routes.iter().map(|route| route.id))
            .next(
                Who::Customer,
                "If this traffic is not meant to go through the VPN, look at its routes (split tunnel); to tell whether the tunnel is at fault, run again without it.",
            )
    };
    names.into_iter().map(of_interface).collect()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, route};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    #[test]
    fn a_route_into_a_tunnel_is_worth_knowing_and_one_past_it_is_not() {
        let through = |tunnel: Option<&str>| {
            let mut fact = route("192.0.2.1", None);
            if let Fact::Route(route) = &mut fact {
                (route.interface, route.tunnel) = (Some("wg0".into()), tunnel.map(str::to_owned));
            }
            Scene::new("shop.example").check(Kind::Host, [fact]).check(Kind::Tcp, [connected("192.0.2.1:443")])
        };
        let scene = through(Some("wireguard"));
        assert_eq!(scene.is_healthy(), ["host.tunnelled"]);
        assert!(scene.diagnose().findings[0].sentence.contains("tunnel wg0 (wireguard)"));
        assert!(through(None).is_healthy().is_empty());
    }
}
