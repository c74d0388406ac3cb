use super::organisation::{Machine, key};
use super::server::Server;
use crate::command::{Wanted, export_audit};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::api::path;
use netsonde_contract::audit::{Entry, Excerpt, Line, Reading};
use netsonde_contract::enrolment::Introduction;
use netsonde_contract::id::{CaseId, OrderId};

fn order_id(number: u8) -> OrderId {
    OrderId::from_bytes([number; 16])
}

/// What was written, once it is seen to hold.
struct Held {
    excerpt: Excerpt,
    text: String,
    told: Vec<Entry>,
    sealed: u64,
}

impl Held {
    fn actions(&self) -> Vec<&str> {
        self.told.iter().map(|entry| entry.action.as_str()).collect()
    }
}

impl Server {
    async fn excerpt(&self, wanted: &Wanted) -> anyhow::Result<Held> {
        let mut file = Vec::new();
        export_audit(&*self.app.store, &self.app.receipt_key, wanted, self.app.clock.now(), &mut file).await?;
        let mut lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut reading = Reading::begin(lines.next().unwrap())?;
        let mut told = Vec::new();
        for line in lines {
            reading.take(line)?;
            if let Line::Open(entry) = serde_json::from_slice(line)? {
                told.push(entry);
            }
        }
        let (excerpt, (open, sealed)) = (reading.excerpt().clone(), reading.counts());
        reading.end()?;
        assert_eq!(open, told.len() as u64);
        assert_eq!(excerpt.key.key(), &self.app.receipt_key.verifying_key());
        Ok(Held { excerpt, text: String::from_utf8(file)?, told, sealed })
    }

    async fn label(&self, machine: &Machine, customer: &str) {
        let labels = serde_json::json!({ "customer": customer });
        let set = self.client.put(format!("{}{}", self.url, path::agent_labels(&machine.id())));
        assert_eq!(set.bearer_auth(&self.desk_token).json(&labels).send().await.unwrap().status(), 204);
    }

    /// Two customers with a machine each: an order to each of them, and one to both, all of which they refuse.
    async fn of_two_customers() -> (Self, [Machine; 2]) {
        let server = Self::start().await;
        let [acme, other] = server.enrolled([1, 2]).await;
        server.label(&acme, "acme").await;
        server.label(&other, "other").await;
        server.ticket("web").await;
        for (number, machines) in [(1, vec![&acme]), (2, vec![&other]), (3, vec![&acme, &other])] {
            assert_eq!(server.submit(&server.order(number, &machines)).await.status(), 201);
            for machine in machines {
                let told = machine.report(&server, &order_id(number), State::Refused, Some("paused")).await;
                assert_eq!(told.status(), 204);
            }
        }
        (server, [acme, other])
    }
}

fn labelled(customer: &str) -> Wanted {
    Wanted { labels: vec![("customer".to_owned(), customer.to_owned())], ..Wanted::default() }
}

#[tokio::test]
async fn a_customer_reads_what_concerns_them_and_no_word_of_anybody_else() {
    let (server, [acme, other]) = Server::of_two_customers().await;
    let held = server.excerpt(&labelled("acme")).await.unwrap();
    assert_eq!(
        held.actions(),
        [
            "trust.published",
            "agent.enrolled",
            "agent.labelled",
            "order.submitted",
            "delivery.refused",
            "order.submitted",
            "delivery.refused"
        ]
    );
    let whole = server.app.store.audit_after(0, 1_000).await.unwrap();
    assert_eq!(held.sealed as usize + held.told.len(), whole.len());
    assert_eq!(Some(held.excerpt.head.clone()), server.app.store.audit_head().await.unwrap());
    let (own, foreign) = (order_id(1), order_id(2));
    assert!(held.text.contains(acme.id().as_str()) && held.text.contains(own.as_str()));
    for secret in [other.id().as_str(), foreign.as_str(), "\"other\"", "ticket.issued", "enrolment.made"] {
        assert!(!held.text.contains(secret), "{secret}");
    }
    // Nor is it in the first line, whose payload is in base64.
    assert_eq!(held.excerpt.about.len(), 3, "{:?}", held.excerpt.about);
    let by_id = Wanted { agents: vec![acme.id().as_str()[..12].to_owned()], ..Wanted::default() };
    assert_eq!(server.excerpt(&by_id).await.unwrap().told, held.told);
}

#[tokio::test]
async fn an_excerpt_of_a_case_has_its_tickets_and_whoever_its_orders_went_to() {
    let (server, [acme, other]) = Server::of_two_customers().await;
    let held = server.excerpt(&Wanted { cases: vec![CaseId::new("4711")], ..Wanted::default() }).await.unwrap();
    assert!(held.actions().contains(&"ticket.issued"), "{:?}", held.actions());
    for machine in [acme, other] {
        assert!(held.excerpt.about.contains_key(machine.id().as_str()));
    }
    assert_eq!(held.sealed, 1, "the enrolment code is nobody's");
    let nothing = [labelled("nobody"), Wanted { cases: vec![CaseId::new("4712")], ..Wanted::default() }];
    for wanted in nothing {
        assert!(server.excerpt(&wanted).await.is_err());
    }
}

#[tokio::test]
async fn an_agent_with_a_new_key_is_told_what_concerned_it_under_the_former() {
    let (server, [acme, _]) = Server::of_two_customers().await;
    let next = Machine { bundle: key(51), transport: key(52), ..acme.clone() };
    let introduction = Introduction { replaces: Some(acme.id()), ..next.introduction(2, None) };
    let mut envelope = introduction.sign(&next.bundle);
    let signature = ed25519_dalek::Signer::sign(&acme.bundle, &envelope.to_be_signed()).to_bytes();
    envelope.add_signature(&acme.bundle.verifying_key(), signature);
    assert_eq!(next.introduce(&server, path::OWN_AGENT, envelope).await.status(), 201);
    let held = server.excerpt(&labelled("acme")).await.unwrap();
    assert!(held.actions().contains(&"agent.enrolled") && held.actions().ends_with(&["agent.new_key"]), "{:?}", held.actions());
    assert!(held.excerpt.about.contains_key(acme.id().as_str()) && held.excerpt.about.contains_key(next.id().as_str()));
}

#[tokio::test]
async fn entries_of_before_there_were_excerpts_still_hold_and_are_not_told() {
    const OLD: u64 = 4;
    let (server, _) = Server::of_two_customers().await;
    let mut log = server.app.store.audit_after(0, 1_000).await.unwrap();
    let mut statements = String::new();
    let mut before = String::new();
    for entry in &mut log {
        if entry.number <= OLD {
            (entry.salt, entry.about) = (None, Vec::new());
            statements += &format!("UPDATE audit SET salt = NULL, about = '[]' WHERE number = {};", entry.number);
        }
        entry.sha256 = entry.hash(&before);
        before.clone_from(&entry.sha256);
        statements += &format!("UPDATE audit SET sha256 = '{before}' WHERE number = {};", entry.number);
    }
    server.change_rows(statements.leak()).await;
    let held = server.excerpt(&labelled("acme")).await.unwrap();
    assert_eq!(held.excerpt.after, Some(log[OLD as usize - 1].head()));
    assert!(held.told.iter().all(|entry| entry.number > OLD) && !held.told.is_empty());
}

#[tokio::test]
async fn no_excerpt_is_made_of_a_log_that_was_altered() {
    let (server, _) = Server::of_two_customers().await;
    server.change_rows("UPDATE audit SET about = '[]' WHERE action = 'ticket.issued'").await;
    let refused = server.excerpt(&labelled("acme")).await.err().unwrap();
    assert!(format!("{refused:#}").contains("does not follow"), "{refused:#}");
}
