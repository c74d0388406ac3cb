use super::*;
use crate::id::{AgentId, CaseId, OrderId, OrganisationId};
use crate::order::{Addressee, Addressees, Epoch, Order};
use crate::policy::{Remote, TEMPLATE};
use crate::set::{ProbeSet, Request};
use crate::trust::PublicKey;
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;

fn public(seed: u8) -> PublicKey {
    PublicKey::new(SigningKey::from_bytes(&[seed; 32]).verifying_key(), "")
}

const POLICY: &str = r#"
version = 1
[orders]
remote = "allow"
hours = ["mon-fri 08:00-18:00"]
kinds = ["tcp", "dns"]
[targets]
names = ["*.shop.example", "shop.example"]
networks = ["10.1.0.0/16"]
deny = ["pay.shop.example"]
deny_networks = ["10.1.9.0/24"]
ports = ["443", "8000-8100"]
[budget]
time = "1m"
"#;

fn verified(kind: &str, target: &str, signers: &[u8]) -> Verified {
    let set = format!(
        "name = \"one\"\nquestion = \"Does it answer?\"\ntarget = \"endpoint\"\nbudget = \"30s\"\n[[check]]\nid = \"it\"\nkind = \"{kind}\"\n[check.with]\n{}",
        if kind == "dns" { "name = \"{target.host}\"\n" } else { "host = \"{target.host}\"\n" }
    );
    let set = set + if kind == "tcp" { "port = \"{target.port}\"\n" } else { "" };
    let set = ProbeSet::parse("a.toml", &set).unwrap();
    let plan = set.plan(&Request { targets: vec![target.into()], ..Request::default() }).unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let order = Order {
        organisation: OrganisationId::new("0".repeat(64)),
        id: OrderId::from_bytes([1; 16]),
        set: set.text.clone(),
        targets: vec![target.into()],
        parameters: [].into(),
        agents: Addressees::Listed(vec![Addressee { agent: AgentId::of(public(9).key()), epoch: Epoch::from_bytes([1; 16]) }]),
        not_before: now,
        expires: now + SignedDuration::from_hours(1),
        case: CaseId::new("1"),
        requester: "Asha".into(),
        reason: String::new(),
        signatures: 1,
        serve: None,
    };
    Verified { serves: false, order, set, plan, signers: signers.iter().map(|seed| public(*seed)).collect() }
}

const MONDAY_NOON: LocalTime = LocalTime { day: 0, minute: 12 * 60 };

fn decide(policy: &Policy, verified: &Verified, time: LocalTime) -> Decision {
    let reach = Reach::of(policy, &[]);
    policy.judge(verified, &Local { time: Some(time), paused: false, reach: &reach })
}

fn code(decision: &Decision) -> Option<RefusalCode> {
    match &decision.verdict {
        Verdict::Refuse(refusal) => Some(refusal.code),
        _ => None,
    }
}

#[test]
fn without_a_file_and_with_the_template_no_order_runs() {
    for policy in [Policy::absent(), Policy::parse("policy.toml", TEMPLATE).unwrap()] {
        let decision = decide(&policy, &verified("tcp", "shop.example:443", &[1]), MONDAY_NOON);
        assert_eq!((code(&decision), decision.key), (Some(RefusalCode::OrdersOff), "orders.remote"));
    }
    let template = Policy::parse("policy.toml", TEMPLATE).unwrap();
    let absent = Policy { text: template.text.clone(), lines: template.lines.clone(), ..Policy::absent() };
    assert_eq!(template, absent, "the template says what holds without it");
}

#[test]
fn each_rule_refuses_by_its_own_code_and_names_its_line() {
    use RefusalCode as Code;
    let policy = Policy::parse("policy.toml", POLICY).unwrap();
    let run = |kind: &str, target: &str| decide(&policy, &verified(kind, target, &[1]), MONDAY_NOON);
    assert_eq!(run("tcp", "www.shop.example:443").verdict, Verdict::Run);
    assert_eq!(run("tcp", "10.1.2.3:8080").verdict, Verdict::Run);
    for (kind, target, expected, key) in [
        ("icmp", "www.shop.example:443", Code::KindNotAllowed, "orders.kinds"),
        ("tcp", "pay.shop.example:443", Code::TargetNotAllowed, "targets.names"),
        ("tcp", "10.1.9.7:443", Code::TargetNotAllowed, "targets.names"),
        ("tcp", "10.2.0.1:443", Code::AddressNotAllowed, "targets.networks"),
        ("tcp", "[::ffff:10.2.0.1]:443", Code::AddressNotAllowed, "targets.networks"),
        ("tcp", "203.0.113.1:443", Code::TargetNotAllowed, "targets.names"),
        ("tcp", "www.shop.example:22", Code::PortNotAllowed, "targets.ports"),
    ] {
        let decision = run(kind, target);
        assert_eq!((code(&decision), decision.key), (Some(expected), key), "{kind} {target}");
        assert_eq!(decision.line, policy.line(key));
    }
    let night = decide(&policy, &verified("tcp", "www.shop.example:443", &[1]), LocalTime { day: 0, minute: 60 });
    assert_eq!((code(&night), night.line), (Some(Code::OutsideHours), Some(5)));
}

#[test]
fn a_policy_may_ask_for_certain_engineers_and_more_of_them() {
    use RefusalCode as Code;
    let named = Policy {
        signers: vec![public(1).fingerprint(), public(2).fingerprint()],
        signatures: 2,
        ..Policy::parse("p", POLICY).unwrap()
    };
    let with = |signers: &[u8]| decide(&named, &verified("tcp", "www.shop.example:443", signers), MONDAY_NOON);
    assert_eq!(code(&with(&[3])), Some(Code::SignerNotAllowed));
    assert_eq!(code(&with(&[1, 3])), Some(Code::TooFewSignatures));
    assert_eq!(with(&[1, 2]).verdict, Verdict::Run);
    let asks = Policy { remote: Remote::Ask, ..named };
    assert_eq!(decide(&asks, &verified("tcp", "www.shop.example:443", &[1, 2]), MONDAY_NOON).verdict, Verdict::Ask);
}

#[test]
fn a_name_never_opens_a_special_address() {
    let policy = Policy { names: vec!["*".parse().unwrap()], networks: Vec::new(), ..Policy::parse("p", POLICY).unwrap() };
    let resolver: IpAddr = "10.0.0.53".parse().unwrap();
    let reach = Reach::of(&policy, &[resolver]);
    let to = |text: &str| reach.address(text.parse().unwrap(), Some("www.shop.example")).map_err(|refusal| refusal.code);
    assert_eq!(to("203.0.113.7"), Ok(()));
    for special in [
        "127.0.0.1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "10.9.9.9",
    ] {
        assert_eq!(to(special), Err(RefusalCode::AddressNotAllowed), "{special}");
    }
    assert_eq!(to("10.0.0.53"), Ok(()), "the machine's own resolver");
    assert_eq!(reach.port(resolver, 53), Ok(()));
    assert!(reach.through_proxy("www.shop.example", 443).is_err());
}

#[test]
fn a_network_opens_nothing_special_in_another_notation() {
    let networks = vec!["::/0".parse().unwrap()];
    let reach = Reach::of(&Policy { names: Vec::new(), networks, ..Policy::parse("p", POLICY).unwrap() }, &[]);
    let to = |text: &str| reach.address(text.parse().unwrap(), None).map_err(|refusal| refusal.code);
    for open in ["2001:db8::1", "fe80::1", "64:ff9b::203.0.113.7"] {
        assert_eq!(to(open), Ok(()), "{open}");
    }
    for hidden in ["::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:127.0.0.1"] {
        assert_eq!(to(hidden), Err(RefusalCode::AddressNotAllowed), "{hidden}");
    }
}

#[test]
fn mistakes_in_a_policy_are_told_with_their_line() {
    for (text, words) in [
        ("[orders]\nremot = \"ask\"\n", "did you mean `remote`"),
        ("[orders]\nremote = \"alow\"\n", "did you mean `allow`"),
        ("[orders]\nkinds = [\"tpc\"]\n", "did you mean `tcp`"),
        ("[targets]\nnetworks = [\"10.0.0.0/33\"]\n", "10.1.0.0/16"),
        ("[targets]\nports = [\"0-70000\"]\n", "8000-8100"),
        ("[budget]\ntime = \"2h\"\n", "longer than 3600 s"),
        ("[budget]\npackets = 0\n", "between 1 and"),
        ("version = 2\n", "version 1"),
        ("[orders]\nsigners = [\"me\"]\n", "ssh-keygen"),
    ] {
        let error = Policy::parse("policy.toml", text).unwrap_err();
        assert!(error.to_string().contains(words) && error.line <= 2, "{error}");
    }
}
