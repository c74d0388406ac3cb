use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NameView};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule::new("dns.cname_loop", &["dns.servfail", "dns.no_data"], evaluate);

/// The aliases stand in the reply, and following them comes back.
const CONFIDENCE: f64 = 0.96;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(cname_loop).collect()
}

fn cname_loop(view: &NameView<'_>) -> Option<Candidate> {
    let replies = view.answers(|answer| answer == Answer::AliasCircle);
    let (server, _) = replies.first()?;
    if view.resolved() {
        return None;
    }
    let ids: Vec<&ObservationId> = replies.iter().map(|(_, lookup)| lookup.id).collect();
    let name = view.name;
    let sentence =
        format!("The name {name} is an alias that leads back to itself in a circle, so that it never comes to an address.");
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(Place { name: Some(name.to_owned()), resolver: Some(server.ip()), ..Place::default() })
        .about(Spot::Name(name.to_owned()))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(view.system_failures())
        .rejecting("dns.servfail", "The server answered, with the aliases themselves.", ids.iter().copied())
        .rejecting("dns.no_data", "The name has records: aliases.", ids)
        .next(Who::Customer, format!("Whoever runs the zone of {name} has to correct its CNAME records."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, rcode, system, with_reply};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Record;

    fn aliases(pairs: &[(&str, &str)]) -> Scene {
        let fact = with_reply(rcode("10.0.0.53", "shop.example", "A", 0, &[]), |reply| {
            let alias = |(name, data): &(&str, &str)| Record {
                name: (*name).into(),
                record_type: "CNAME".into(),
                ttl_s: 60,
                data: (*data).into(),
            };
            reply.answers = pairs.iter().map(alias).collect();
        });
        Scene::new("shop.example").check(Kind::Dns, [fact, system("shop.example", &[])])
    }

    #[test]
    fn aliases_that_lead_back_are_a_circle() {
        aliases(&[("shop.example", "shop.example.")]).finds("dns.cname_loop");
        aliases(&[("shop.example", "www.example."), ("www.example", "Shop.example.")]).finds("dns.cname_loop");
    }

    #[test]
    fn an_alias_of_a_name_without_an_address_is_no_circle() {
        aliases(&[("shop.example", "www.example."), ("www.example", "host.example.")]).finds("dns.no_data");
    }
}
