use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Exchange, ExchangePurpose};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the URL whose answer is known, opened in a browser on this machine: a sign-in page appears"),
    ..Rule::new("http.captive_portal", &["http.redirect_loop"], evaluate)
};

/// Sent on to another host, or asked to sign in to the network (RFC 6585 section 6), where the answer is known.
const SENT_ON: f64 = 0.95;
/// Another answer in the right place: a portal, or an owner who changed the page.
const OTHERWISE: f64 = 0.8;

/// Network Authentication Required.
const SIGN_IN_STATUS: u16 = 511;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.beside.iter().filter_map(foreign_answer).collect()
}

fn foreign_answer(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let of_known = exchange.purpose == ExchangePurpose::KnownAnswer && exchange.method != "CONNECT" && exchange.failure.is_none();
    let status = exchange.status.filter(|_| of_known)?;
    let unmet = exchange.unmet().next();
    if exchange.expected && unmet.is_none() {
        return None;
    }
    let known = host_of(&exchange.url);
    let away = exchange.location.as_deref().filter(|location| host_of(location) != known);
    // Whoever owns the known server gives such an answer while it is down; portals answer as if they were it, or send on.
    let down = (500..600).contains(&status) && status != SIGN_IN_STATUS;
    if down && away.is_none() {
        return None;
    }
    let how = match (away, unmet) {
        (Some(location), _) => format!("it sends on to {}", host_of(location)),
        (None, Some(unmet)) if exchange.expected => unmet.words(),
        _ => format!("the status is {status}"),
    };
    let confidence = if away.is_some() || status == SIGN_IN_STATUS { SENT_ON } else { OTHERWISE };
    let sentence = format!(
        "The network answers in the place of {known}, whose answer is known: {how}. It most likely wants a sign-in in the browser before it lets anything out."
    );
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Everything)
        .about(Spot::Url(exchange.url.clone()))
        .stopping()
        .resting_on([exchange.id])
        .rejecting("http.redirect_loop", "The first answer already is another one.", [exchange.id])
        .next(
            Who::Customer,
            "Open any http:// page in a browser on this machine and sign in to the network; a machine without a browser has to be let out by whoever runs it.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Exchange, ExchangePurpose, Fact};

    const URL: &str = "https://shop.example/";

    fn scene(change: impl FnOnce(&mut Exchange), question: bool) -> Scene {
        let known = exchange("http://known.example/204", |exchange| {
            (exchange.purpose, exchange.status) = (ExchangePurpose::KnownAnswer, Some(204));
            change(exchange);
        });
        let question: Fact = exchange(URL, |exchange| exchange.expected = question);
        Scene::new(URL).check(Kind::Http, [known, question])
    }

    #[test]
    fn a_known_answer_that_sends_on_to_another_host_is_a_portal() {
        let away = |exchange: &mut Exchange| {
            (exchange.status, exchange.expected) = (Some(302), false);
            exchange.location = Some("http://login.hotel.example/?from=x".into());
        };
        let mut scene = scene(away, true);
        scene.outcomes_mut()[0].status = netsonde_contract::outcome::Status::Failed;
        let finding = scene.finds("http.captive_portal");
        assert!(finding.sentence.contains("sends on to login.hotel.example"), "{}", finding.sentence);
    }

    #[test]
    fn a_known_server_that_is_down_is_no_portal() {
        let down = |status: u16| {
            let mut scene = scene(|exchange| (exchange.status, exchange.expected) = (Some(status), false), true);
            scene.outcomes_mut()[0].status = netsonde_contract::outcome::Status::Failed;
            scene
        };
        let finding = down(503).finds("http.server_error");
        assert!(finding.sentence.starts_with("known.example, whose answer is known,"), "{}", finding.sentence);
        down(511).finds("http.captive_portal");
        down(200).finds("http.captive_portal");
    }

    #[test]
    fn a_known_answer_that_comes_as_it_should_is_none() {
        assert!(scene(|_| {}, true).is_healthy().is_empty());
    }
}
