use super::*;
use crate::organisation::tests::founded;
use crate::stop::{FAILED, REFUSED};
use crate::test_backend::{CASE, Kept, TARGET, agent, start};
use jiff::SignedDuration;
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::id::{AgentId, CaseId};
use netsonde_contract::order::{Addressees, Epochs, MerkleTree, Order, Refusal, Situation, Verified, verify};
use netsonde_contract::set::find_built_in;
use std::time::Duration;

fn wish(target: &str, agents: &[&str]) -> Wish {
    Wish {
        set: find_built_in("web").unwrap().text.to_owned(),
        targets: vec![target.to_owned()],
        parameters: Default::default(),
        agents: agents.iter().map(|text| (*text).to_owned()).collect(),
        labels: Default::default(),
        case: CaseId::new(CASE),
        requester: "Asha".into(),
        reason: "the shop is slow".into(),
        life: SignedDuration::from_hours(1),
        waves: Vec::new(),
        stop_at: None,
        with: None,
        bytes: None,
        repeat: None,
        deep: None,
        spread: None,
        draft: None,
    }
}

fn key(place: &Path, name: &str) -> Signer {
    signing::make(&place.join(name), name, None).unwrap()
}

/// As an agent would: with the anchor that the organisation published, and its own epoch.
fn as_agent(own: &Organisation, submitted: &SubmitOrder, number: u16) -> Result<Verified, Refusal> {
    let one = agent(number);
    let tree = MerkleTree::new(submitted.agents.iter().map(netsonde_contract::order::Addressee::leaf));
    let place = submitted.agents.iter().position(|addressee| addressee.agent == one.id);
    let epochs = Epochs::begin(one.check_in.epoch, None, Duration::ZERO);
    let situation = Situation { anchor: &own.anchor, agent: &one.id, epochs: &epochs, now: clock::now(), taken: &|_| false };
    verify(submitted.envelope.as_bytes(), place.and_then(|place| tree.proof(place)).as_ref(), &situation)
}

/// Signs, and submits where enough engineers have signed.
async fn finish(
    backend: &Backend,
    own: &Organisation,
    mut prepared: Prepared,
    signer: &Signer,
    output: Option<&Path>,
) -> Result<Outcome, Stop> {
    let id = prepared.order.id.clone();
    let outcome = sign_prepared(own, &mut prepared, signer, output)?;
    if let Outcome::Ready(order) = &outcome {
        submit(backend, &id, order).await?;
    }
    Ok(outcome)
}

#[tokio::test]
async fn a_signed_order_is_one_that_the_agent_takes() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (backend, kept) = start(Kept { agents: vec![agent(1), agent(2)], ..Kept::default() }).await;
    let prepared = prepare(&backend, &own, wish(TARGET, &["vm1"]), clock::now()).await.unwrap();
    assert_eq!((prepared.needed, &prepared.warnings), (1, &Vec::new()));
    let text = describe(&prepared, "Contoso", &asha);
    let own_proxy = "connections to each address of the machine's own proxy (";
    let key = format!("Would be signed with {}", asha.public().fingerprint());
    for expected in [TARGET, "vm1", "the shop is slow", "at most", "dns", "1 request to", own_proxy, &key] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("proxy.invalid") && !text.contains("\nSigned with"), "{text}");
    let spread = Wish { spread: Some(600), ..wish(TARGET, &["vm1"]) };
    let spread = prepare(&backend, &own, spread, clock::now()).await.unwrap();
    assert!(describe(&spread, "Contoso", &asha).contains("each agent begins within 600 s"));
    finish(&backend, &own, spread, &asha, None).await.unwrap();
    let submitted = kept.lock().unwrap().submitted.pop().unwrap();
    assert_eq!(as_agent(&own, &submitted, 1).unwrap().order.spread_seconds, Some(600));
    assert!(matches!(finish(&backend, &own, prepared, &asha, None).await.unwrap(), Outcome::Ready(_)));
    let submitted = kept.lock().unwrap().submitted.pop().unwrap();
    let verified = as_agent(&own, &submitted, 1).unwrap();
    assert_eq!(verified.signers[0].comment(), "asha");
    assert_eq!(as_agent(&own, &submitted, 2).unwrap_err().code.as_str(), "other_agent");
}

#[tokio::test]
async fn a_foreign_target_and_a_fleet_need_a_second_engineer() {
    let place = tempfile::tempdir().unwrap();
    let (asha, bo) = (key(place.path(), "asha"), key(place.path(), "bo"));
    let own = founded(place.path(), &[&asha, &bo]);
    let agents = (1..=101).map(agent).collect();
    let (backend, kept) = start(Kept { agents, ..Kept::default() }).await;
    let foreign = prepare(&backend, &own, wish("https://other.example/", &["vm1"]), clock::now()).await.unwrap();
    assert_eq!((foreign.needed, foreign.order.signatures), (2, 2));
    assert!(foreign.warnings[0].contains("other.example"), "{:?}", foreign.warnings);
    assert!(describe(&foreign, "Contoso", &asha).contains("2 engineers must sign"));

    let mut many = wish(TARGET, &[]);
    many.agents = (1..=101).map(|number| format!("vm{number}")).collect();
    let prepared = prepare(&backend, &own, many, clock::now()).await.unwrap();
    assert!(matches!(prepared.order.agents, Addressees::Tree { count: 101, .. }));
    let file = place.path().join("order.json");
    let outcome = finish(&backend, &own, prepared, &asha, Some(&file)).await.unwrap();
    assert!(matches!(outcome, Outcome::Kept { signed: 1, needed: 2, .. }));
    // The first engineer again is still one engineer, and is told.
    let again = finish(&backend, &own, from_file(&backend, &file, &own).await.unwrap(), &asha, Some(&file)).await.unwrap_err();
    assert!(again.message.contains("asha has signed this order already"), "{again:?}");
    assert!(kept.lock().unwrap().submitted.is_empty());
    finish(&backend, &own, from_file(&backend, &file, &own).await.unwrap(), &bo, None).await.unwrap();
    let submitted = kept.lock().unwrap().submitted.pop().unwrap();
    assert_eq!(as_agent(&own, &submitted, 77).unwrap().signers.len(), 2);
}

#[tokio::test]
async fn more_agents_than_can_share_a_targets_rate_are_told_before_anybody_signs() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (backend, _) = start(Kept { agents: (1..=101).map(agent).collect(), ..Kept::default() }).await;
    let set = "name = \"seven\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"60s\"\ntarget = \"url\"\n[[check]]\nid = \"a\"\nkind = \"tcp\"\ndeadline = \"30s\"\nwith = { host = \"{target.host}\", port = 443, attempts = 7 }\n";
    let of = |count: usize| {
        let agents = (1..=count).map(|number| format!("vm{number}")).collect();
        Wish { set: set.to_owned(), agents, ..wish(TARGET, &[]) }
    };
    let fits = prepare(&backend, &own, of(85), clock::now()).await.unwrap();
    assert_eq!(fits.warnings, Vec::<String>::new());
    let crowded = prepare(&backend, &own, of(101), clock::now()).await.unwrap();
    let text = describe(&crowded, "Contoso", &asha);
    for expected in ["over_budget", "check `a` sends 7", "the 101 agents", "of 85 agents at most", "budget.per_target_rate"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn a_host_that_stands_in_the_set_itself_is_foreign_as_well() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (backend, _) = start(Kept { agents: vec![agent(1)], ..Kept::default() }).await;
    let set = |with: &str| {
        format!(
            "name = \"fixed\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"60s\"\n[[check]]\nid = \"c\"\nkind = \"icmp\"\nwith = {{ {with} }}\n"
        )
    };
    for (with, foreign) in [
        ("host = \"10.9.0.77\"", Some("10.9.0.77")),
        ("host = \"shop.example\"", None),
        ("host = \"shop.example\", targets = [\"192.0.2.0/28\"]", Some("192.0.2.0/28")),
    ] {
        let fixed = Wish { set: set(with), targets: Vec::new(), ..wish(TARGET, &["vm1"]) };
        let prepared = prepare(&backend, &own, fixed, clock::now()).await.unwrap();
        assert_eq!(prepared.needed, if foreign.is_some() { 2 } else { 1 }, "{with}");
        assert!(foreign.is_none_or(|host| prepared.warnings[0].contains(host)), "{:?}", prepared.warnings);
    }
    // The catalogue's own hosts are nobody's choice; what a parameter puts in their place is.
    let cloud = |parameters: &[(&str, &str)]| Wish {
        set: find_built_in("azure-vm").unwrap().text.to_owned(),
        targets: Vec::new(),
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..wish(TARGET, &["vm1"])
    };
    assert_eq!(prepare(&backend, &own, cloud(&[]), clock::now()).await.unwrap().needed, 1);
    let other = prepare(&backend, &own, cloud(&[("time_server", "10.9.0.77")]), clock::now()).await.unwrap();
    assert!(other.needed == 2 && other.warnings[0].contains("10.9.0.77"), "{:?}", other.warnings);
}

#[tokio::test]
async fn an_order_that_waits_for_a_second_engineer_is_not_submitted_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (asha, bo) = (key(place.path(), "asha"), key(place.path(), "bo"));
    let own = founded(place.path(), &[&asha, &bo]);
    let (backend, kept) = start(Kept { agents: vec![agent(1)], ..Kept::default() }).await;
    let foreign = async || prepare(&backend, &own, wish("https://other.example/", &["vm1"]), clock::now()).await.unwrap();
    let how = |output: Option<&Path>| SignWish {
        key: None,
        yes: true,
        no_follow: true,
        follow: false,
        output: output.map(Path::to_owned),
    };
    // Nobody can be asked where the file is to go: nothing is signed then.
    let stop = carry_on(&backend, &own, foreign().await, &asha, (&how(None), None), Format::Human).await.unwrap_err();
    assert!(stop.exit == crate::stop::USAGE && stop.next.unwrap().contains("--output"), "{}", stop.message);
    let file = place.path().join("order.json");
    let stop = carry_on(&backend, &own, foreign().await, &asha, (&how(Some(&file)), None), Format::Human).await.unwrap_err();
    assert_eq!(stop.exit, NOT_SUBMITTED);
    assert!(stop.message.contains("1 of 2 signatures"), "{}", stop.message);
    let again = from_file(&backend, &file, &own).await.unwrap();
    let stop = carry_on(&backend, &own, again, &asha, (&how(None), Some(&file)), Format::Human).await.unwrap_err();
    assert!(stop.exit == FAILED && stop.message.contains("already"), "{}", stop.message);
    assert!(kept.lock().unwrap().submitted.is_empty());
    carry_on(&backend, &own, from_file(&backend, &file, &own).await.unwrap(), &bo, (&how(None), Some(&file)), Format::Human)
        .await
        .unwrap();
    assert_eq!(kept.lock().unwrap().submitted.len(), 1);
}

#[tokio::test]
async fn the_second_engineer_sees_what_the_first_was_warned_of() {
    let place = tempfile::tempdir().unwrap();
    let (asha, bo) = (key(place.path(), "asha"), key(place.path(), "bo"));
    let own = founded(place.path(), &[&asha, &bo]);
    let mut closed = agent(1);
    closed.check_in.policy.remote = "deny".into();
    let (backend, _) = start(Kept { agents: vec![closed], ..Kept::default() }).await;
    let file = place.path().join("order.json");
    let first = prepare(&backend, &own, wish("https://other.example/", &["vm1"]), clock::now()).await.unwrap();
    let (warnings, agents) = (first.warnings.clone(), first.agents.clone());
    finish(&backend, &own, first, &asha, Some(&file)).await.unwrap();
    let second = from_file(&backend, &file, &own).await.unwrap();
    assert!(warnings.len() == 2 && warnings.iter().any(|warning| warning.contains("other.example")), "{warnings:?}");
    assert_eq!((&second.warnings, &second.agents), (&warnings, &agents));
    assert!(describe(&second, "Contoso", &bo).contains("warning: no ticket of case"));
    // An order whose maker left the second signature out is told from one that needs none.
    let lone = Order { signatures: 1, ..second.order.clone() };
    let submitted = SubmitOrder {
        envelope: String::from_utf8(asha_signs(&lone, &asha)).unwrap(),
        ..serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap()
    };
    let lone = prepare::of_submitted(&backend, submitted, &own).await.unwrap();
    assert!(lone.warnings.iter().any(|warning| warning.ends_with("and the order asks for one only")), "{:?}", lone.warnings);
}

fn asha_signs(order: &Order, signer: &Signer) -> Vec<u8> {
    let mut envelope = order.envelope();
    signer.sign(&mut envelope).unwrap();
    envelope.to_json()
}

#[tokio::test]
async fn nobody_signs_what_is_not_shown() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (backend, _) = start(Kept { agents: vec![agent(1)], ..Kept::default() }).await;
    let check = |id: &str, kind: &str, with: &str| format!("[[check]]\nid = \"{id}\"\nkind = \"{kind}\"\nwith = {{ {with} }}\n");
    let web =
        |checks: &str| format!("name = \"web\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"60s\"\ntarget = \"url\"\n{checks}");
    let swept = check("a", "icmp", "host = \"shop.example\", targets = [\"192.0.2.0/28\", \"db.example\"]");
    let asked = check("b", "dns", "name = \"told.example\", servers = [\"192.0.2.53\", \"192.0.2.54\"]");
    let deep = web(&check("c", "tcp", "host = \"shop.example\", port = 443, targets = [\"deep.example\"]"));
    let all = Wish {
        set: web(&format!("{swept}{asked}")),
        deep: Some(deep),
        repeat: Some(netsonde_contract::order::Repeat { every_seconds: 300, life_seconds: 3_600 }),
        ..wish(TARGET, &["vm1"])
    };
    let prepared = prepare(&backend, &own, all, clock::now()).await.unwrap();
    let text = describe(&prepared, "Contoso", &asha);
    for shown in ["192.0.2.0/28", "db.example", "told.example", "192.0.2.53", "192.0.2.54", "deep.example"] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert_eq!(text.matches("NOT the catalogue's web").count(), 2, "{text}");
    let usual = prepare(&backend, &own, wish(TARGET, &["vm1"]), clock::now()).await.unwrap();
    assert!(!describe(&usual, "Contoso", &asha).contains("NOT the catalogue's"));
}

#[tokio::test]
async fn a_file_that_was_changed_on_its_way_is_not_signed() {
    let place = tempfile::tempdir().unwrap();
    let (asha, bo) = (key(place.path(), "asha"), key(place.path(), "bo"));
    let own = founded(place.path(), &[&asha, &bo]);
    let (backend, _) = start(Kept { agents: vec![agent(1), agent(2)], ..Kept::default() }).await;
    let prepared = prepare(&backend, &own, wish("https://other.example/", &["vm1"]), clock::now()).await.unwrap();
    let file = place.path().join("order.json");
    finish(&backend, &own, prepared, &asha, Some(&file)).await.unwrap();
    let mut submitted: SubmitOrder = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    submitted.agents[0].agent = AgentId::new(agent(2).id.as_str());
    std::fs::write(&file, serde_json::to_vec(&submitted).unwrap()).unwrap();
    assert!(from_file(&backend, &file, &own).await.err().unwrap().message.contains("other agents"));
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = founded(elsewhere.path(), &[&asha]);
    assert!(from_file(&backend, &file, &stranger).await.err().unwrap().message.contains("another organisation"));
}

#[tokio::test]
async fn what_an_order_cannot_reach_is_said_before_it_is_signed() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (mut shared, mut closed, mut revoked) = (agent(2), agent(4), agent(6));
    shared.cloned = true;
    closed.check_in.policy.remote = "deny".into();
    revoked.revoked = true;
    let (backend, _) = start(Kept { agents: vec![agent(1), shared, closed, revoked], ..Kept::default() }).await;
    let mut oslo = wish(TARGET, &[]);
    oslo.labels.insert("site".into(), "oslo".into());
    let prepared = prepare(&backend, &own, oslo, clock::now()).await.unwrap();
    assert_eq!(prepared.addressees.len(), 1);
    let said = prepared.warnings.join("\n");
    for expected in ["two machines", "revoked", "takes no orders"] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    for wrong in [wish(TARGET, &["vm99"]), wish(TARGET, &["vm2"]), wish(TARGET, &[]), wish("ftp://x", &["vm1"])] {
        assert!(prepare(&backend, &own, wrong, clock::now()).await.is_err());
    }
}

#[tokio::test]
async fn a_key_that_does_not_count_signs_nothing() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    key(place.path(), "stranger");
    let path = place.path().join("stranger");
    let stop = signer(&own, path.to_str()).err().unwrap();
    assert!(stop.message.contains("does not count") && stop.next.unwrap().contains("asha"), "{}", stop.message);
    assert!(signer(&own, place.path().join("asha").to_str()).is_ok());
}

#[tokio::test]
async fn refusals_and_failures_end_the_command_with_their_reason() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    for (fate, exit) in [((DeliveryState::Refused, "target_not_allowed"), REFUSED), ((DeliveryState::Failed, "crashed"), FAILED)]
    {
        let (backend, _) = start(Kept { agents: vec![agent(1)], fate: Some(fate), ..Kept::default() }).await;
        let prepared = prepare(&backend, &own, wish(TARGET, &["vm1"]), clock::now()).await.unwrap();
        let id = prepared.order.id.clone();
        finish(&backend, &own, prepared, &asha, None).await.unwrap();
        let stop = follow::follow(&backend, &id, Format::Json).await.unwrap_err();
        assert_eq!(stop.exit, exit, "{stop:?}");
        assert!(exit != REFUSED || stop.next.unwrap().contains("allow it"));
    }
}

#[test]
fn a_group_goes_in_waves_unless_the_engineer_wants_it_at_once() {
    let of = |asked: &[u32], stop_at, agents| prepare::waves(asked, stop_at, false, agents);
    assert_eq!(of(&[], None, 11), (Vec::new(), None), "two waves would be all of it");
    assert_eq!(of(&[], None, 12), (vec![1, 10], Some(20)));
    assert_eq!(of(&[0], None, 500), (Vec::new(), None));
    assert_eq!(of(&[5, 50], Some(10), 500), (vec![5, 50], Some(10)));
}

#[tokio::test]
async fn who_follows_an_order_asks_for_what_changed_alone() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (backend, kept) = start(Kept { agents: (1..=12).map(agent).collect(), ..Kept::default() }).await;
    let names: Vec<String> = (1..=12).map(|number| format!("vm{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let prepared = prepare(&backend, &own, wish(TARGET, &names), clock::now()).await.unwrap();
    let id = prepared.order.id.clone();
    finish(&backend, &own, prepared, &asha, None).await.unwrap();
    let told = || std::mem::take(&mut kept.lock().unwrap().deliveries_told);
    let mut followed = follow::Followed::default();
    let (_, lines) = followed.look(&backend, &id).await.unwrap();
    assert_eq!((told(), lines.len()), (12, 13), "each agent, and the counts: {lines:?}");
    assert_eq!((followed.look(&backend, &id).await.unwrap().1, told()), (Vec::new(), 0));
    kept.lock().unwrap().changed.insert(3, (DeliveryState::Failed, 2));
    let (order, lines) = followed.look(&backend, &id).await.unwrap();
    assert_eq!((told(), order.states["failed"], lines.len()), (1, 1, 2), "{lines:?}");
    assert!(lines[0].contains(" failed") && lines[1] == "1 of 12 over: 1 failed, 11 running", "{lines:?}");
    // A backend that knows no such question tells all, of which nothing is said twice.
    kept.lock().unwrap().old = true;
    assert_eq!((followed.look(&backend, &id).await.unwrap().1, told()), (Vec::new(), 12));
}

#[tokio::test]
async fn for_one_agent_the_fleet_is_not_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let asha = key(place.path(), "asha");
    let own = founded(place.path(), &[&asha]);
    let (backend, kept) = start(Kept { agents: (1..=300).map(agent).collect(), ..Kept::default() }).await;
    let told = || std::mem::take(&mut kept.lock().unwrap().agents_told);
    let whole = agent(7).id.as_str().to_owned();
    for name in ["vm7", &whole, &whole[..12]] {
        let prepared = prepare(&backend, &own, wish(TARGET, &[name]), clock::now()).await.unwrap();
        assert_eq!((prepared.addressees[0].agent.as_str(), prepared.addressees.len(), told()), (whole.as_str(), 1, 1), "{name}");
    }
    let mut group = wish(TARGET, &["vm7"]);
    group.labels.insert("site".into(), "oslo".into());
    let prepared = prepare(&backend, &own, group, clock::now()).await.unwrap();
    assert_eq!((prepared.addressees.len(), told()), (151, 151), "the one that is named, and those that carry the label");
    let signed = prepare(&backend, &own, wish(TARGET, &["vm7"]), clock::now()).await.unwrap();
    let submitted = SubmitOrder {
        envelope: String::from_utf8(asha_signs(&signed.order, &asha)).unwrap(),
        agents: signed.addressees.clone(),
        waves: Vec::new(),
        stop_at_failed_percent: None,
        draft: None,
    };
    told();
    let again = prepare::of_submitted(&backend, submitted, &own).await.unwrap();
    assert_eq!((again.agents.len(), again.warnings.len(), told()), (1, 0, 1), "{:?}", again.warnings);
    kept.lock().unwrap().old = true;
    let prepared = prepare(&backend, &own, wish(TARGET, &["vm7"]), clock::now()).await.unwrap();
    assert_eq!((prepared.addressees.len(), told()), (1, 300), "an older backend tells all of them");
}
