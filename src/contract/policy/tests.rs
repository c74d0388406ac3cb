use super::*;
use crate::id::{AgentId, CaseId, OrderId, OrganisationId};
use crate::order::{Addressee, Addressees, Epoch, Order, Repeat, Serve};
use crate::policy::{Question, Remote, TEMPLATE};
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
        repeat: None,
        bytes: None,
        deep: None,
        spread_seconds: None,
    };
    Verified {
        serves: false,
        place: 0,
        order,
        set,
        plan,
        deep: None,
        signers: signers.iter().map(|seed| public(*seed)).collect(),
    }
}

/// As `verified`, for so many agents.
fn shared_by(agents: u64, checks: &str) -> Verified {
    let one = verified("tcp", "shop.example:443", &[7]);
    let text = format!("name = \"one\"\nquestion = \"Does it answer?\"\nbudget = \"60s\"\n{checks}");
    let set = ProbeSet::parse("a.toml", &text).unwrap();
    let plan = set.plan(&Request::default()).unwrap();
    let agents = match agents {
        0..=100 => Addressees::Listed(vec![
            Addressee { agent: AgentId::new("0".repeat(64)), epoch: Epoch::from_bytes([1; 16]) };
            agents as usize
        ]),
        count => Addressees::Tree { root: String::new(), count },
    };
    Verified { order: Order { agents, targets: Vec::new(), ..one.order.clone() }, set, plan, ..one }
}

#[test]
fn a_share_of_the_rate_that_lets_nothing_come_of_a_run_is_refused() {
    let check = |id: &str, attempts: u32| {
        format!(
            "[[check]]\nid = \"{id}\"\nkind = \"tcp\"\ndeadline = \"30s\"\nwith = {{ host = \"shop.example\", port = 443, attempts = {attempts} }}\n"
        )
    };
    let policy = Policy::absent();
    let of = |agents, checks: &str| policy.object_to_share(&shared_by(agents, checks));
    assert_eq!(of(20, &check("a", 20)), None, "one a second: the check's own time decides");
    assert_eq!(of(100, &check("a", 6)), None, "6 packets, one each 5 s, within 30 s");
    let slow = of(100, &check("a", 7)).unwrap();
    assert_eq!(slow.code, RefusalCode::OverBudget);
    assert!(slow.detail.contains("check `a` sends 7") && slow.detail.contains("85 agents at most"), "{}", slow.detail);
    assert_eq!(of(85, &check("a", 7)), None);
    let together = [check("a", 5), check("b", 5), check("c", 5)].concat();
    let slow = of(100, &together).unwrap();
    assert!(
        slow.detail.contains("15 or more packets to shop.example") && slow.detail.contains("80 agents at most"),
        "{}",
        slow.detail
    );
    assert!(of(10_000, &check("a", 1)).is_some_and(|refusal| refusal.detail.contains("one in 500.0 s")));
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
        ("tcp", "pay.shop.example:443", Code::TargetNotAllowed, "targets.deny"),
        ("tcp", "10.1.9.7:443", Code::TargetNotAllowed, "targets.deny_networks"),
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
fn nothing_is_repeated_unless_the_policy_says_how_long_and_how_often() {
    let mut asked = verified("tcp", "shop.example:443", &[1]);
    asked.order.repeat = Some(Repeat { every_seconds: 300, life_seconds: 86_400 });
    for (schedules, expected) in [
        ("", Some("schedules.life")),
        ("[schedules]\nlife = \"23h\"\n", Some("schedules.life")),
        ("[schedules]\nlife = \"24h\"\nevery = \"6m\"\n", Some("schedules.every")),
        ("[schedules]\nlife = \"24h\"\n", None),
    ] {
        let policy = Policy::parse("policy.toml", &format!("{POLICY}{schedules}")).unwrap();
        let decision = decide(&policy, &asked, MONDAY_NOON);
        assert_eq!(code(&decision), expected.map(|_| RefusalCode::ScheduleNotAllowed), "{schedules}");
        assert_eq!(decision.key, expected.unwrap_or("orders.remote"), "{schedules}");
    }
    assert!(Policy::parse("p", "[schedules]\nlife = \"721h\"\n").is_err(), "no policy allows more than 30 days");
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
        "64:ff9b:1:2:a:909:900:0",
        "64:ff9b:1:a9fe:a9:fe00:808:808",
        "64:ff9b:1::203.0.113.7",
        "2001:0:cb00:7107::f5f6:f6f6",
        "2001:0:a09:909::34ff:8ef8",
        "2001:db8::5efe:10.9.9.9",
        "::ffff:0:10.9.9.9",
        "192.0.0.192",
        "198.18.0.1",
        "100::1",
        "3ffe::1",
    ] {
        assert_eq!(to(special), Err(RefusalCode::AddressNotAllowed), "{special}");
    }
    assert!(reach.through_proxy("proxy.example", "www.shop.example", 443).is_err());
}

#[test]
fn a_resolver_is_asked_for_names_and_for_nothing_else() {
    let resolver: IpAddr = "127.0.0.53".parse().unwrap();
    let asked = |policy: &str, port: u16, by: Question| {
        let reach = Reach::of(&Policy::parse("p", policy).unwrap(), &[resolver]);
        assert_eq!(reach.address(resolver, None).unwrap_err().code, RefusalCode::AddressNotAllowed, "{policy}");
        reach.is_asked_for_names((resolver, port).into(), by)
    };
    for (policy, port, by, expected) in [
        ("", 53, Question::Plain, true),
        ("", 853, Question::OverTls, true),
        ("[targets]\nports = [\"443\"]\n", 53, Question::Plain, true),
        ("", 8080, Question::Plain, false),
        ("", 853, Question::Plain, false),
        ("", 53, Question::OverTls, false),
        ("[targets]\nresolvers = false\n", 53, Question::Plain, false),
    ] {
        assert_eq!(asked(policy, port, by), expected, "{policy} {port} {by:?}");
    }
    let denies = Policy::parse("p", "[targets]\ndeny_networks = [\"127.0.0.53\"]\n").unwrap();
    assert!(!Reach::of(&denies, &[resolver]).is_asked_for_names((resolver, 53).into(), Question::Plain));
}

/// A redirect can make up any name, and whoever answers for it learns what the name says.
#[test]
fn a_name_that_a_server_gave_is_looked_up_only_where_the_policy_names_it() {
    let plan = verified("tcp", "db.intern.example:443", &[1]).plan;
    let reach = |policy: &str| Reach::of(&Policy::parse("p", policy).unwrap(), &[]).for_plan(&plan);
    let networks = reach("[targets]\nnetworks = [\"10.1.0.0/16\"]\n");
    assert_eq!(networks.lookup("DB.intern.example."), Ok(()), "the order holds it, and its address decides");
    assert!(networks.lookup("secret-token.evil.test").is_err());
    let names = reach("[targets]\nnames = [\"*.shop.example\"]\ndeny = [\"pay.shop.example\"]\n");
    assert_eq!(names.lookup("www.shop.example"), Ok(()));
    assert!(names.lookup("pay.shop.example").is_err() && names.lookup("db.intern.example").is_err());
}

#[test]
fn records_are_asked_for_of_names_that_the_policy_names() {
    let policy = Policy::parse("p", POLICY).unwrap();
    for (target, expected) in [
        ("www.shop.example:443", None),
        ("db.intern.example:443", None),
        ("pay.shop.example:443", Some(RefusalCode::TargetNotAllowed)),
    ] {
        assert_eq!(code(&decide(&policy, &verified("dns", target, &[1]), MONDAY_NOON)), expected, "{target}");
    }
    let mut other = verified("dns", "www.shop.example:443", &[1]);
    let crate::kind::Params::Dns(asked) = &mut other.plan.checks[0].params else { panic!() };
    asked.name = "intranet.corp.internal".to_owned();
    let decision = decide(&policy, &other, MONDAY_NOON);
    assert_eq!((code(&decision), decision.key), (Some(RefusalCode::TargetNotAllowed), "targets.names"));
}

/// What a proxy alone brings is judged where the machine has one, and the proxy itself is open only as far as what is behind it.
#[test]
fn the_plan_that_the_machines_own_proxies_make_is_what_is_judged() {
    let set = "name = \"px\"\nquestion = \"Is it so?\"\ntarget = \"url\"\nbudget = \"30s\"\n[[check]]\nid = \"proxy\"\nkind = \"tcp\"\nwhen = [\"proxied\"]\nwith = { host = \"{proxy.host}\", port = \"{proxy.port}\" }\n[[check]]\nid = \"hidden\"\nkind = \"icmp\"\nwhen = [\"proxied\"]\nwith = { host = \"{target.host}\" }\n";
    let plan = |text: &str| {
        let set = ProbeSet::parse("a.toml", text).unwrap();
        let target = "https://www.shop.example/".to_owned();
        let proxy = crate::set::ProxyAddress { host: "proxy.corp".into(), port: 3128 };
        let proxies = [(target.clone(), proxy)].into();
        set.plan(&Request { targets: vec![target], proxies, ..Request::default() }).unwrap()
    };
    let judged = |plan: crate::set::Plan, more: &str| {
        let policy = Policy::parse(
            "p",
            &format!("[orders]\nremote = \"allow\"\nkinds = [\"tcp\"]\n[targets]\nnames = [\"*.shop.example\"]\n{more}"),
        )
        .unwrap();
        let verified = Verified { plan, ..verified("tcp", "www.shop.example:443", &[1]) };
        let reach = Reach::of(&policy, &[]).for_plan(&verified.plan);
        let local = Local { time: Some(MONDAY_NOON), paused: false, reach: &reach };
        let decision = policy.judge(&verified, &local);
        (code(&decision), decision.key)
    };
    let without = set.split("[[check]]\nid = \"hidden\"").next().unwrap();
    let proxied = "proxied = [\"*.shop.example\"]\n";
    assert_eq!(judged(plan(set), proxied), (Some(RefusalCode::KindNotAllowed), "orders.kinds"));
    assert_eq!(judged(plan(without), proxied), (None, "orders.remote"));
    assert_eq!(judged(plan(without), ""), (Some(RefusalCode::CannotBeChecked), "targets.proxied"));
    let denied = format!("{proxied}deny = [\"*.corp\"]\n");
    assert_eq!(judged(plan(without), &denied), (Some(RefusalCode::TargetNotAllowed), "targets.deny"));
}

#[test]
fn a_network_opens_nothing_special_in_another_notation() {
    let networks = vec!["::/0".parse().unwrap()];
    let reach = Reach::of(&Policy { names: Vec::new(), networks, ..Policy::parse("p", POLICY).unwrap() }, &[]);
    let to = |text: &str| reach.address(text.parse().unwrap(), None).map_err(|refusal| refusal.code);
    for open in ["2001:db8::1", "fe80::1", "64:ff9b::203.0.113.7"] {
        assert_eq!(to(open), Ok(()), "{open}");
    }
    assert_eq!(reach.host("fe80::1%eth0"), Ok(()), "the link opens nothing and closes nothing");
    let closed =
        Reach::of(&Policy { networks: vec!["192.0.2.0/24".parse().unwrap()], ..Policy::parse("p", POLICY).unwrap() }, &[]);
    assert_eq!(closed.host("fe80::1%eth0").map_err(|refusal| refusal.code), Err(RefusalCode::AddressNotAllowed));
    for hidden in [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::ffff:127.0.0.1",
        "64:ff9b:1:a9fe:a9:fe00:808:808",
        "64:ff9b:1:2:a:909:900:0",
        "2001:0:cb00:7107::5601:5601",
        "2001:db8::5efe:169.254.169.254",
    ] {
        assert_eq!(to(hidden), Err(RefusalCode::AddressNotAllowed), "{hidden}");
    }
    assert_eq!(to("64:ff9b:1::203.0.113.7"), Ok(()), "nothing special at any length");
}

#[test]
fn an_address_behind_this_networks_own_translator_is_the_one_that_it_stands_for() {
    let policy = "[targets]\nnames = [\"*\"]\nnetworks = [\"10.1.0.0/16\", \"2001:db8::/32\"]\ndeny_networks = [\"10.1.9.0/24\"]\nnat64 = [\"2001:db8:64::/96\"]\n";
    let reach = Reach::of(&Policy::parse("p", policy).unwrap(), &[]);
    let to = |text: &str| reach.address(text.parse().unwrap(), Some("www.shop.example")).map_err(|refusal| refusal.code);
    assert_eq!(to("2001:db8:64::169.254.169.254"), Err(RefusalCode::AddressNotAllowed));
    assert_eq!(to("2001:db8:64::10.2.0.1"), Err(RefusalCode::AddressNotAllowed));
    assert_eq!(to("2001:db8:64::10.1.9.1"), Err(RefusalCode::TargetNotAllowed), "denied");
    assert_eq!(to("2001:db8:64::10.1.2.3"), Ok(()));
    assert_eq!(to("2001:db8:65::169.254.169.254"), Ok(()), "another prefix");
    assert!(Policy::parse("p", "[targets]\nnat64 = [\"2001:db8::/33\"]\n").is_err());
}

#[test]
fn the_policy_says_how_the_addresses_of_a_local_translator_are_read() {
    let to = |more: &str, text: &str| {
        let policy = format!("[targets]\nnames = [\"*\"]\n{more}");
        let reach = Reach::of(&Policy::parse("p", &policy).unwrap(), &[]);
        reach.address(text.parse().unwrap(), Some("www.shop.example")).map_err(|refusal| refusal.code)
    };
    let (special, denied) = (Err(RefusalCode::AddressNotAllowed), Err(RefusalCode::TargetNotAllowed));
    let named = "nat64 = [\"64:ff9b:1::/96\"]\n";
    assert_eq!(to("", "64:ff9b:1::203.0.113.7"), special, "nobody says that it is no prefix of 48 bits");
    assert_eq!(to(named, "64:ff9b:1::203.0.113.7"), Ok(()));
    assert_eq!(to(named, "64:ff9b:1::10.0.0.1"), special);
    assert_eq!(to(named, "64:ff9b:1:2:a:909:900:0"), special, "another prefix than the one that is named");
    assert_eq!(to("nat64 = [\"64:ff9b:1:2::/64\"]\n", "64:ff9b:1:2:a:909:900:0"), special);
    assert_eq!(to("nat64 = [\"64:ff9b:1:2::/64\"]\nnetworks = [\"10.0.0.0/8\"]\n", "64:ff9b:1:2:a:909:900:0"), Ok(()));
    assert_eq!(to("networks = [\"10.0.0.0/8\"]\n", "64:ff9b:1::10.0.0.1"), special, "at which length, the policy does not say");
    let network = "networks = [\"64:ff9b:1::/48\"]\n";
    assert_eq!(to(network, "64:ff9b:1::203.0.113.7"), Ok(()));
    assert_eq!(to(network, "64:ff9b:1:a9fe:a9:fe00:808:808"), special, "a network is no word about what hides in it");
    let denies = format!("{network}deny_networks = [\"203.0.113.0/24\"]\n");
    assert_eq!(to(&denies, "64:ff9b:1:cb00:71:700:808:808"), denied, "the policy denies what may be meant");
    assert_eq!(to("nat64 = [\"64:ff9b:1::/96\", \"64:ff9b:1::/48\"]\n", "64:ff9b:1:a9fe:a9:fe00:808:808"), special, "either");
}

#[test]
fn a_certificate_opens_no_address_that_hides_a_special_one() {
    let reach = |text: &str| Reach::of(&Policy::parse("p", text).unwrap(), &[]);
    let open = reach("[targets]\ncertificate_urls = true\ndeny_networks = [\"203.0.113.66\"]\n");
    let to = |text: &str| open.certificate_address(text.parse().unwrap()).map_err(|refusal| refusal.code);
    assert_eq!(to("203.0.113.7"), Ok(()));
    for special in ["10.0.0.1", "64:ff9b:1:2:a:909:900:0", "2001:0:cb00:7107::f5f6:f6f6", "2001:db8::5efe:10.9.9.9"] {
        assert_eq!(to(special), Err(RefusalCode::AddressNotAllowed), "{special}");
    }
    assert_eq!(to("203.0.113.66"), Err(RefusalCode::TargetNotAllowed));
    assert_eq!(to("2001:db8::5efe:203.0.113.66"), Err(RefusalCode::TargetNotAllowed));
    let closed = reach("[targets]\nnetworks = [\"203.0.113.0/24\"]\n");
    assert!(
        closed.certificate_address("203.0.113.7".parse().unwrap()).is_err(),
        "the policy lets nothing of certificates be asked"
    );
}

#[test]
fn the_name_of_an_address_is_asked_for_where_the_address_may_be_measured_or_the_name_stands_in_the_policy() {
    let asked = |policy: &str, address: &str| {
        let reach = Reach::of(&Policy::parse("p", policy).unwrap(), &[]);
        reach.reverse(address.parse().unwrap(), None).is_ok()
    };
    assert!(asked("[targets]\nnetworks = [\"10.1.0.0/16\"]\n", "10.1.0.1"));
    assert!(!asked("[targets]\nnetworks = [\"10.1.0.0/16\"]\n", "203.0.113.8"));
    assert!(!asked("[targets]\nnames = [\"shop.example\"]\n", "203.0.113.8"));
    assert!(asked("[targets]\nnames = [\"*.in-addr.arpa\"]\n", "203.0.113.8"));
    assert!(asked("[targets]\nnames = [\"*\"]\n", "2001:db8::1"));
    let deny = "deny = [\"*.in-addr.arpa\", \"*.ip6.arpa\"]\n";
    for address in ["10.1.0.1", "2001:db8::1"] {
        let policy = format!("[targets]\nnames = [\"*\"]\nnetworks = [\"10.1.0.0/16\", \"2001:db8::/32\"]\n{deny}");
        assert!(!asked(&policy, address), "{address}");
        let reach = Reach::of(&Policy::parse("p", &policy).unwrap(), &[]);
        assert!(reach.records(address, None).is_err(), "a check of the address itself asks for the same name");
        assert!(reach.host(address).is_ok());
    }
    assert!(!asked("[targets]\nnames = [\"*\"]\ndeny_networks = [\"10.1.0.0/16\"]\n", "10.1.0.1"));
}

#[test]
fn a_literal_address_is_told_as_what_it_is() {
    let reach = Reach::of(&Policy::parse("p", POLICY).unwrap(), &[]);
    let said = |text: &str, name: Option<&str>| reach.address(text.parse().unwrap(), name).unwrap_err().detail;
    assert!(said("169.254.169.254", Some("169.254.169.254")).starts_with("169.254.169.254 is a cloud's own address"));
    assert!(said("127.0.0.1", Some("www.shop.example")).starts_with("www.shop.example (127.0.0.1) is loopback"));
    assert!(said("::ffff:127.0.0.1", None).starts_with("::ffff:127.0.0.1 (127.0.0.1) is loopback"));
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
        ("[budget]\nbytes = 5000\n", "`bytes` is not a text"),
        ("[budget]\nbytes = \"5KB\"\n", "no amount of bytes"),
        ("[budget]\nbytes = \"201GB\"\n", "more than 200 GB"),
        ("version = 2\n", "version 1"),
        ("[orders]\nsigners = [\"me\"]\n", "ssh-keygen"),
    ] {
        let error = Policy::parse("policy.toml", text).unwrap_err();
        assert!(error.to_string().contains(words) && error.line <= 2, "{error}");
    }
}

#[test]
fn nobody_is_answered_whom_the_policy_denies_in_any_notation() {
    let policy = |peers: &str| {
        let text = format!(
            "[orders]\nkinds = [\"reflect\"]\n[targets]\ndeny_networks = [\"10.0.0.0/8\", \"64:ff9b::/96\"]\nnat64 = [\"2001:db8:64::/96\"]\n[serve]\npeers = [{peers}]\n"
        );
        Policy::parse("policy.toml", &text).unwrap()
    };
    let answers = |policy: &Policy, peer: &str| {
        let agent = AgentId::of(public(9).key());
        let serve = Serve { agent, port: 862, peers: vec![peer.parse().unwrap()], seconds: 10, key: "0".repeat(64) };
        policy.object_to_serving(&serve, &Reach::of(policy, &[])).is_none()
    };
    let open = policy("\"2001:db8::/32\", \"198.51.100.0/24\", \"2001::/32\"");
    for peer in ["2001:db8::1", "198.51.100.5", "::ffff:198.51.100.5", "2001:db8:64::198.51.100.5", "2001:db8:64::203.0.113.7"] {
        assert!(answers(&open, peer), "{peer}");
    }
    for (peer, why) in [
        ("203.0.113.7", "nothing names it"),
        ("2001:db8:64::a00:1", "10.0.0.1 behind the network's own translator"),
        ("2001:db8:64::127.0.0.1", "a network of one notation opens nothing special behind it"),
        ("64:ff9b::c633:6405", "denied as it is written"),
        ("2001:db8::5efe:10.9.9.9", "the host of a tunnel"),
        ("2001:0:a00:1::34ff:8ef8", "the server of a tunnel"),
    ] {
        assert!(!answers(&open, peer), "{peer}: {why}");
    }
}
