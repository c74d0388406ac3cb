use super::*;
use crate::id::OrganisationId;
use crate::order::{Addressee, Epoch, MAX_WINDOW, Repeat};
use crate::trust::{KeyList, RoleKeys, RootStatement};
use ed25519_dalek::{Signer, SigningKey};

const SET: &str = "name = \"one\"\nquestion = \"Does it answer?\"\ntarget = \"endpoint\"\n[[check]]\nid = \"connect\"\nkind = \"tcp\"\nrequired = true\n[check.with]\nhost = \"{target.host}\"\nport = \"{target.port}\"\n";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::new(key(seed).verifying_key(), &format!("key {seed}"))
}

fn signed(mut envelope: Envelope, seeds: &[u8]) -> Vec<u8> {
    for seed in seeds {
        let signature = key(*seed).sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key(*seed).verifying_key(), signature);
    }
    envelope.to_json()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn agent() -> AgentId {
    AgentId::of(&key(50).verifying_key())
}

fn epoch(seed: u8) -> Epoch {
    Epoch::from_bytes([seed; 16])
}

/// Engineers 10 and 11 may sign, 12 no longer may; key 1 is the root.
fn anchor() -> Anchor {
    let root = RootStatement {
        name: "Contoso".into(),
        organisation: None,
        version: 1,
        issued: at(-100),
        keys: vec![public(1)],
        threshold: 1,
    };
    let envelope = root.envelope();
    let fingerprint = RootStatement::fingerprint(envelope.unverified());
    let mut anchor = Anchor::pinned(&signed(envelope, &[1]), &fingerprint).unwrap();
    let list = KeyList {
        organisation: anchor.organisation().clone(),
        root: 1,
        version: 1,
        issued: at(-50),
        expires: at(60 * 24 * 30),
        order: RoleKeys { threshold: 1, keys: vec![public(10), public(11)] },
        receipt: RoleKeys { threshold: 1, keys: vec![public(20)] },
        revoked: vec![public(12)],
    };
    anchor.accept_list(&signed(list.envelope(), &[1])).unwrap();
    anchor
}

fn order() -> Order {
    Order {
        organisation: anchor().organisation().clone(),
        id: OrderId::from_bytes([3; 16]),
        set: SET.into(),
        targets: vec!["shop.example:443".into()],
        parameters: [].into(),
        agents: Addressees::Listed(vec![Addressee { agent: agent(), epoch: epoch(1) }]),
        not_before: at(0),
        expires: at(60),
        case: CaseId::new("4711"),
        requester: "Asha".into(),
        reason: String::new(),
        signatures: 1,
        serve: None,
        repeat: None,
        bytes: None,
        deep: None,
        spread_seconds: None,
    }
}

/// What becomes of the order's bytes at minute 10 by a clock that is right.
fn judged_at(json: &[u8], proof: Option<&MerkleProof>, minute: i64) -> Result<Verified, RefusalCode> {
    let (anchor, agent, epochs) = (anchor(), agent(), Epochs::begin(epoch(1), None, std::time::Duration::ZERO));
    let situation = Situation {
        anchor: &anchor,
        agent: &agent,
        epochs: &epochs,
        now: at(minute),
        taken: &|id| *id == OrderId::from_bytes([99; 16]),
    };
    verify(json, proof, &situation).map_err(|refusal| refusal.code)
}

fn judged(order: &Order, seeds: &[u8]) -> Result<Verified, RefusalCode> {
    judged_at(&signed(order.envelope(), seeds), None, 10)
}

#[test]
fn an_order_for_this_agent_of_a_listed_engineer_is_taken() {
    let verified = judged(&order(), &[10]).unwrap();
    assert_eq!(verified.order, order());
    assert_eq!(verified.signers, [public(10)]);
    assert_eq!(verified.plan.checks.len(), 1);
}

#[test]
fn whatever_is_not_right_has_its_own_refusal() {
    use RefusalCode as Code;
    type Change = fn(&mut Order);
    let cases: [(&str, Change, Code); 12] = [
        ("another organisation", |order| order.organisation = OrganisationId::new("0".repeat(64)), Code::OtherOrganisation),
        (
            "another agent",
            |order| {
                order.agents =
                    Addressees::Listed(vec![Addressee { agent: AgentId::of(&key(51).verifying_key()), epoch: epoch(1) }])
            },
            Code::OtherAgent,
        ),
        (
            "an old epoch",
            |order| order.agents = Addressees::Listed(vec![Addressee { agent: agent(), epoch: epoch(2) }]),
            Code::StaleEpoch,
        ),
        ("early", |order| (order.not_before, order.expires) = (at(20), at(30)), Code::NotYetValid),
        ("expired", |order| (order.not_before, order.expires) = (at(0), at(9)), Code::Expired),
        (
            "a long window",
            |order| order.expires = order.not_before + MAX_WINDOW + SignedDuration::from_secs(1),
            Code::WindowTooLong,
        ),
        ("an empty window", |order| order.expires = order.not_before, Code::WindowTooLong),
        ("replayed", |order| order.id = OrderId::from_bytes([99; 16]), Code::Replayed),
        ("two signatures wanted", |order| order.signatures = 2, Code::TooFewSignatures),
        ("an unknown kind", |order| order.set = order.set.replace("tcp", "shell"), Code::UnusableSet),
        ("a parameter over its maximum", |order| order.set += "timeout_ms = 999999999\n", Code::UnusableSet),
        ("words that hide something", |order| order.requester = "Asha\u{1b}[2J".into(), Code::Malformed),
    ];
    for (name, change, code) in cases {
        let mut order = order();
        change(&mut order);
        assert_eq!(judged(&order, &[10]).err(), Some(code), "{name}");
    }
}

#[test]
fn only_engineers_who_are_listed_count_and_each_once() {
    use RefusalCode as Code;
    assert_eq!(judged(&order(), &[13]).err(), Some(Code::SignerUnknown));
    assert_eq!(judged(&order(), &[12]).err(), Some(Code::SignerRevoked));
    assert_eq!(judged(&order(), &[20]).err(), Some(Code::SignerUnknown), "a receipt's key signs no order");
    let two = Order { signatures: 2, ..order() };
    assert!(judged(&two, &[10, 11]).is_ok());
    assert_eq!(judged(&two, &[10, 12]).err(), Some(Code::TooFewSignatures));
    let json = String::from_utf8(signed(two.envelope(), &[10])).unwrap();
    let (head, tail) = json.split_once("\"signatures\":[").unwrap();
    let one = tail.trim_end_matches("]}");
    let doubled = format!("{head}\"signatures\":[{one},{one}]}}");
    assert_eq!(judged_at(doubled.as_bytes(), None, 10).err(), Some(Code::TooFewSignatures));
}

#[test]
fn an_altered_order_is_signed_by_nobody() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let json = String::from_utf8(signed(order().envelope(), &[10])).unwrap();
    let payload = STANDARD.encode(order().envelope().unverified());
    let altered = Order { targets: vec!["evil.example:443".into()], ..order() };
    let json = json.replace(&payload, &STANDARD.encode(altered.envelope().unverified()));
    assert_eq!(judged_at(json.as_bytes(), None, 10).err(), Some(RefusalCode::SignerUnknown));
}

#[test]
fn a_demand_that_this_version_does_not_know_is_refused() {
    for extra in ["proxy", "out", "file"] {
        let mut value = serde_json::to_value(order()).unwrap();
        value[extra] = "http://evil.example:3128".into();
        let json = signed(Envelope::unsigned(MEDIA_TYPE, serde_json::to_vec(&value).unwrap()), &[10]);
        assert_eq!(judged_at(&json, None, 10).err(), Some(RefusalCode::Malformed), "{extra}");
    }
}

#[test]
fn an_order_that_is_repeated_is_over_before_it_begins_again() {
    let repeated = |every_seconds, life_seconds| Order { repeat: Some(Repeat { every_seconds, life_seconds }), ..order() };
    let budget = u32::try_from(judged(&order(), &[10]).unwrap().plan.budget.as_secs()).unwrap();
    assert!(judged(&repeated(budget, 86_400), &[10]).is_ok());
    assert_eq!(judged(&repeated(budget - 1, 86_400), &[10]).unwrap_err(), RefusalCode::UnusableSet);
    assert_eq!(judged(&repeated(budget, 31 * 86_400), &[10]).unwrap_err(), RefusalCode::Malformed);
}

#[test]
fn a_deep_set_is_a_schedules_and_fits_its_targets() {
    let repeat = Some(Repeat { every_seconds: 300, life_seconds: 86_400 });
    let deep = |text: &str| Some(text.to_owned());
    let tls = crate::set::find_built_in("tls").unwrap().text;
    let good = Order { repeat, deep: deep(tls), ..order() };
    let verified = judged(&good, &[10]).unwrap();
    let as_deep = verified.as_deep().unwrap();
    assert_eq!((as_deep.plan.set.name.as_str(), as_deep.order == verified.order), ("tls", true));
    assert!(as_deep.as_deep().is_none() && judged(&order(), &[10]).unwrap().as_deep().is_none());
    assert_eq!(judged(&Order { repeat: None, ..good.clone() }, &[10]).err(), Some(RefusalCode::Malformed));
    assert_eq!(judged(&Order { deep: deep("no set"), ..good.clone() }, &[10]).err(), Some(RefusalCode::UnusableSet));
    assert_eq!(judged(&Order { deep: deep(&"x".repeat(MAX_SET_BYTES + 1)), ..good }, &[10]).err(), Some(RefusalCode::Malformed));
}

#[test]
fn a_clock_before_what_it_has_seen_signed_takes_nothing() {
    let year = 60 * 24 * 365;
    let json = signed(order().envelope(), &[10]);
    assert_eq!(judged_at(&json, None, -year).err(), Some(RefusalCode::ClockWrong));
    assert_eq!(judged_at(&json, None, year).err(), Some(RefusalCode::KeyListExpired));
    assert!(judged_at(&json, None, -4).is_ok(), "other clocks are not right to the minute");
}

#[test]
fn an_order_for_many_is_proved_and_needs_two_engineers() {
    use RefusalCode as Code;
    let agents: Vec<Addressee> =
        (0..150_u8).map(|seed| Addressee { agent: AgentId::of(&key(seed).verifying_key()), epoch: epoch(1) }).collect();
    let (addressees, tree) = Addressees::of(&agents);
    let tree = tree.unwrap();
    let order = Order { agents: addressees, ..order() };
    let (own, other) = (tree.proof(50).unwrap(), tree.proof(51).unwrap());
    let json = signed(order.envelope(), &[10, 11]);
    assert!(judged_at(&json, Some(&own), 10).is_ok());
    assert_eq!(judged_at(&json, Some(&other), 10).err(), Some(Code::StaleEpoch));
    assert_eq!(judged_at(&json, None, 10).err(), Some(Code::OtherAgent));
    assert_eq!(judged_at(&signed(order.envelope(), &[10]), Some(&own), 10).err(), Some(Code::TooFewSignatures));
    let small = Order { agents: Addressees::Tree { root: tree.root(), count: 50 }, ..order };
    assert_eq!(
        judged_at(&signed(small.envelope(), &[10, 11]), Some(&own), 10).err(),
        Some(Code::Malformed),
        "a tree hides how few they are"
    );
}

#[test]
fn the_agents_of_an_order_begin_at_moments_of_their_own_evenly_over_its_spread() {
    let order = Order { spread_seconds: Some(600), ..order() };
    let agents: Vec<AgentId> = (0..10_000).map(|number| AgentId::new(format!("{number:064x}"))).collect();
    let hour = std::time::Duration::from_secs(3_600);
    let mut minutes = [0; 10];
    for agent in &agents {
        let after = order.begins_after(agent, hour).unwrap();
        assert_eq!(Some(after), order.begins_after(agent, hour), "whoever works it out");
        minutes[usize::try_from(after.as_secs() / 60).unwrap()] += 1;
        // No more than what is left of the window.
        assert!(order.begins_after(agent, hour / 60).unwrap() < hour / 60);
    }
    assert!(minutes.iter().all(|agents| (850..=1_150).contains(agents)), "{minutes:?}");
    let other = Order { id: OrderId::from_bytes([4; 16]), ..order.clone() };
    let moved = agents.iter().filter(|agent| order.begins_after(agent, hour) != other.begins_after(agent, hour)).count();
    assert!(moved > 9_900, "another order has other moments: {moved}");
    assert_eq!(Order { spread_seconds: None, ..order }.begins_after(&agents[0], hour), None);
}

#[test]
fn a_spread_is_no_longer_than_the_window_and_not_of_what_goes_together() {
    let judged = |change: fn(&mut Order)| {
        let mut order = Order { spread_seconds: Some(600), ..order() };
        change(&mut order);
        judged(&order, &[10]).map(|verified| verified.order.spread_seconds)
    };
    assert_eq!(judged(|_| ()), Ok(Some(600)));
    assert_eq!(judged(|order| order.spread_seconds = Some(3_600)), Ok(Some(3_600)));
    let repeat = Repeat { every_seconds: 300, life_seconds: 3_600 };
    assert_eq!(judged(|order| order.spread_seconds = Some(3_601)), Err(RefusalCode::Malformed));
    assert_eq!(judged(|order| order.spread_seconds = Some(0)), Err(RefusalCode::Malformed));
    let scheduled = Order { spread_seconds: Some(600), repeat: Some(repeat), ..order() };
    assert_eq!(self::judged(&scheduled, &[10]).map(drop), Err(RefusalCode::Malformed));
    assert!(self::judged(&Order { spread_seconds: None, ..scheduled }, &[10]).is_ok());
}

#[test]
fn an_order_that_was_refused_is_known_by_its_signatures_alone() {
    let (anchor, early) = (anchor(), Order { not_before: at(600), expires: at(660), ..order() });
    assert_eq!(judged(&early, &[10]).unwrap_err(), RefusalCode::NotYetValid);
    assert_eq!(super::signed(&signed(early.envelope(), &[10]), &anchor), Some(early.clone()));
    for stranger in [12, 13] {
        assert_eq!(super::signed(&signed(early.envelope(), &[stranger]), &anchor), None, "{stranger}");
    }
    // A second engineer may still sign it.
    let two = Order { signatures: 2, ..early.clone() };
    assert_eq!(super::signed(&signed(two.envelope(), &[10]), &anchor), None);
    assert!(super::signed(&signed(two.envelope(), &[10, 11]), &anchor).is_some());
    let foreign = Order { organisation: OrganisationId::new("0".repeat(64)), ..early };
    assert_eq!(super::signed(&signed(foreign.envelope(), &[10]), &anchor), None);
}
