//! What breaks a network, each at a place and of a size that the dice say.

use super::plot::{Plot, at, rules};
use crate::cable::{Direction, Impairment};
use crate::dice::Dice;
use crate::scenario::{Family, Fault, Place as Where, Service, ServiceKind};
use netsonde_tests::certificates::Flaw;

/// Puts a fault into a network.
pub(super) type Place = fn(&mut Plot, &mut Dice);

/// `ip` commands at a node.
fn commands(node: String, lines: &[String]) -> Fault {
    Fault { ip: lines.to_vec(), ..at(node) }
}

fn both(lines: [&str; 2]) -> Vec<String> {
    lines.map(str::to_owned).to_vec()
}

pub(super) fn no_route_here(plot: &mut Plot, _: &mut Dice) {
    plot.fault(commands("c".into(), &both(["route del default", "-6 route del default"])));
}

pub(super) fn forbidden_here(plot: &mut Plot, _: &mut Dice) {
    plot.fault(commands("c".into(), &forbids("prohibit")));
}

fn forbids(kind: &str) -> Vec<String> {
    vec![format!("route add {kind} 10.99.0.1/32"), format!("-6 route add {kind} fd99::1/128")]
}

pub(super) fn gateway_gone(plot: &mut Plot, _: &mut Dice) {
    plot.fault(commands("c".into(), &both(["route replace default via 10.77.0.9", "-6 route replace default via fd77::9"])));
}

pub(super) fn cable_dead(plot: &mut Plot, _: &mut Dice) {
    plot.fault(commands(plot.node(1), &["link set to-c down".into()]));
}

pub(super) fn interface_off(plot: &mut Plot, _: &mut Dice) {
    plot.fault(commands("c".into(), &[format!("link set to-{} down", plot.node(1))]));
}

pub(super) fn firewall_here(plot: &mut Plot, _: &mut Dice) {
    let rejects = plot.to_target().map(|target| format!("output {target} reject")).join("\n");
    plot.fault(rules("c".into(), rejects));
}

pub(super) fn no_resolver(plot: &mut Plot, _: &mut Dice) {
    plot.scenario.resolvers = Some(Vec::new());
}

pub(super) fn stale_hosts(plot: &mut Plot, dice: &mut Dice) {
    let host = dice.whole(9, 90);
    plot.scenario.hosts = Some(format!("10.99.0.{host} ok.v4.lab\nfd99::{host} ok.v6.lab"));
}

pub(super) fn few_ports(plot: &mut Plot, _: &mut Dice) {
    let sysctl = vec!["net.ipv4.ip_local_port_range=40000 40003".to_owned()];
    plot.fault(Fault { sysctl, ..at("c".into()) });
}

/// A router on the way drops what is for the name server, or the server itself drops or rejects it.
pub(super) fn resolver_dead(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    let (node, chain) = if router > 0 && dice.falls(0.5) { (plot.node(router), "forward") } else { ("s".into(), "input") };
    let (over_udp, over_tcp) = if dice.falls(0.5) { ("drop", "drop") } else { ("reject", "reject with tcp reset") };
    plot.fault(rules(node, format!("{chain} udp dport 53 {over_udp}\n{chain} tcp dport 53 {over_tcp}")));
}

pub(super) fn first_resolver_dead(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    plot.scenario.resolvers = Some(vec![format!("{{r{router}.plain}}"), "{s}".into()]);
    plot.fault(rules(plot.node(router), "input udp dport 53 drop\ninput tcp dport 53 drop"));
}

pub(super) fn drop_target(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    forward(plot, router, "drop");
}

pub(super) fn reject_target(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    forward(plot, router, "reject with icmpx type admin-prohibited");
}

fn forward(plot: &mut Plot, router: u8, verdict: &str) {
    plot.lies_at(&[router]);
    let lines = plot.to_target().map(|target| format!("forward {target} {verdict}")).join("\n");
    plot.fault(rules(plot.node(router), lines));
}

pub(super) fn server_silent(plot: &mut Plot, _: &mut Dice) {
    plot.lies_at(&[plot.routers()]);
    let lines = plot.to_target().map(|target| format!("input {target} drop")).join("\n");
    plot.fault(rules("s".into(), lines));
}

pub(super) fn black_hole(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    // It does not say that a packet's time is up which it would not send on.
    plot.lies_at(&[router - 1, router]);
    plot.fault(commands(plot.node(router), &forbids("blackhole")));
}

pub(super) fn forbidden(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    plot.lies_at(&[router]);
    plot.fault(commands(plot.node(router), &forbids("prohibit")));
}

pub(super) fn no_route(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    plot.lies_at(&[router]);
    plot.fault(commands(plot.node(router), &both(["route del default", "-6 route del default"])));
}

/// A router sends the server's traffic back to the one before it, which lies on the one way there is.
pub(super) fn routing_loop(plot: &mut Plot, dice: &mut Dice) {
    let beside = |router: u8| plot.twin.is_some_and(|twin| router == twin || router == twin + 1);
    let fit: Vec<u8> = (2..=plot.routers()).filter(|router| !beside(*router)).collect();
    let router = dice.pick(&fit).copied().unwrap_or(2);
    let back = router - 1;
    plot.lies_at(&[back, router]);
    let lines = [format!("route replace default via 10.77.{back}.1"), format!("-6 route replace default via fd77:0:0:{back}::1")];
    plot.fault(commands(plot.node(router), &lines));
}

pub(super) fn target_down(plot: &mut Plot, _: &mut Dice) {
    let last = plot.routers();
    plot.lies_at(&[last]);
    let lines = both(["route replace 10.99.0.1/32 dev to-s", "-6 route replace fd99::1/128 dev to-s"]);
    plot.fault(commands(plot.node(last), &lines));
    plot.fault(Fault { sysctl: vec!["net.ipv4.conf.all.arp_ignore=1".into()], ..at("s".into()) });
}

pub(super) fn ipv6_broken(plot: &mut Plot, dice: &mut Dice) {
    for question in [&mut plot.on, &mut plot.off] {
        question.both_families = true;
    }
    let router = plot.router(1, dice);
    plot.fault(rules(plot.node(router), "forward ip6 daddr fd99::1 drop"));
}

/// A link between two routers that takes little, and a filter that keeps both from saying so.
pub(super) fn mtu_black_hole(plot: &mut Plot, dice: &mut Dice) {
    for question in [&mut plot.on, &mut plot.off] {
        question.path = "/bytes/200000".into();
    }
    let beside = |link: u8| plot.twin.is_some_and(|twin| link == twin || link + 1 == twin);
    let fit: Vec<u8> = (1..plot.routers()).filter(|link| !beside(*link)).collect();
    let left = dice.pick(&fit).copied().unwrap_or(1);
    let mtu = dice.whole(1_280, 1_420);
    plot.lies_at(&[left, left + 1]);
    let says = "output icmp type destination-unreachable icmp code frag-needed drop\noutput icmpv6 type packet-too-big drop";
    for (node, other) in [(left, left + 1), (left + 1, left)] {
        let narrow = format!("link set to-{} mtu {mtu}", plot.node(other));
        plot.fault(Fault { ip: vec![narrow], ..rules(plot.node(node), says) });
    }
}

/// A cable on the way from then on, with what it does from the beginning.
fn cable(plot: &mut Plot, dice: &mut Dice, change: impl Fn(&mut Impairment, &mut Dice)) {
    let link = plot.link(0, dice);
    // The first that is met behind it.
    plot.lies_at(&[link + 1]);
    let mut impairment = plot.cable(link, dice.whole(1, 1_000));
    impairment.direction = if dice.falls(0.5) { Direction::There } else { Direction::Back };
    change(&mut impairment, dice);
    plot.fault(Fault { cable: vec![impairment], ..at("s".into()) });
}

pub(super) fn loss(plot: &mut Plot, dice: &mut Dice) {
    cable(plot, dice, |cable, dice| cable.loss = dice.between(0.15, 0.35));
}

pub(super) fn loss_in_bursts(plot: &mut Plot, dice: &mut Dice) {
    cable(plot, dice, |cable, dice| (cable.loss, cable.burst) = (dice.between(0.15, 0.25), dice.between(0.4, 0.6)));
}

pub(super) fn duplicates(plot: &mut Plot, dice: &mut Dice) {
    cable(plot, dice, |cable, dice| cable.duplicate = dice.between(0.15, 0.5));
}

pub(super) fn disorder(plot: &mut Plot, dice: &mut Dice) {
    // Those that overtake take so much less time.
    plot.scenario.true_notices.push("path.jitter".into());
    cable(plot, dice, |cable, dice| {
        cable.delay_ms += dice.between(13.0, 25.0);
        cable.reorder = dice.between(0.15, 0.35);
    });
}

pub(super) fn queue(plot: &mut Plot, dice: &mut Dice) {
    cable(plot, dice, |cable, dice| (cable.delay_ms, cable.jitter_ms) = (100.0, dice.between(150.0, 220.0)));
}

pub(super) fn bad_member(plot: &mut Plot, dice: &mut Dice) {
    let twin = u8::try_from(dice.whole(2, plot.routers().into())).unwrap_or(2);
    plot.twin = Some(twin);
    plot.scenario.twin = Some(plot.node(twin));
    plot.scenario.in_turn = true;
    plot.lies_at(&[twin]);
    plot.cable(twin - 2, dice.whole(1, 1_000));
    plot.fault(rules(format!("{}b", plot.node(twin)), "forward meta l4proto tcp drop"));
}

pub(super) fn udp_blocked(plot: &mut Plot, dice: &mut Dice) {
    for question in [&mut plot.on, &mut plot.off] {
        question.path = "/h3".into();
    }
    let router = plot.router(1, dice);
    let verdict = if dice.falls(0.5) { "drop" } else { "reject with icmpx type admin-prohibited" };
    plot.lies_at(&[router]);
    plot.fault(rules(plot.node(router), format!("forward udp dport 443 {verdict}")));
}

/// At a router or at the server itself.
pub(super) fn drop_port(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    let at_server = router == 0 || dice.falls(0.25);
    let (node, chain) = if at_server { ("s".into(), "input") } else { (plot.node(router), "forward") };
    plot.lies_at(&if at_server { vec![plot.routers(), plot.routers() + 1] } else { vec![router] });
    plot.fault(rules(node, format!("{chain} tcp dport {} drop", plot.port())));
}

pub(super) fn reset_port(plot: &mut Plot, dice: &mut Dice) {
    reject(plot, dice, "tcp reset");
}

pub(super) fn reject_port(plot: &mut Plot, dice: &mut Dice) {
    reject(plot, dice, "icmpx type admin-prohibited");
}

fn reject(plot: &mut Plot, dice: &mut Dice, with: &str) {
    let router = plot.router(1, dice);
    plot.lies_at(&[router]);
    plot.fault(rules(plot.node(router), format!("forward tcp dport {} reject with {with}", plot.port())));
}

pub(super) fn nothing_listens(plot: &mut Plot, dice: &mut Dice) {
    plot.on.port = u16::try_from(dice.whole(8_100, 8_200)).ok();
    plot.lies = Some(Where { port: plot.on.port, ..Where::default() });
}

/// A time server that is wrong, in the place of the one that is right.
pub(super) fn wrong_time(plot: &mut Plot, dice: &mut Dice) {
    let seconds = dice.whole(70, 900);
    let lines = "divert ip daddr 10.99.0.1 udp dport 123 dnat ip to 10.99.0.1:124\n\
                 divert ip6 daddr fd99::1 udp dport 123 dnat ip6 to [fd99::1]:124";
    plot.fault(rules("s".into(), lines));
    plot.service(ServiceKind::Time, 124, &seconds.to_string());
}

/// Nobody listens where the time is asked for.
pub(super) fn no_time(plot: &mut Plot, _: &mut Dice) {
    plot.fault(rules("s".into(), "input udp dport 123 reject"));
}

pub(super) fn every_second(plot: &mut Plot, _: &mut Dice) {
    let port = plot.port();
    let rule = format!("input tcp dport {port} tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 reject with tcp reset");
    plot.fault(rules("s".into(), rule));
}

pub(super) fn data_dropped(plot: &mut Plot, dice: &mut Dice) {
    let router = plot.router(1, dice);
    plot.fault(rules(plot.node(router), "forward tcp flags & psh == psh drop"));
}

/// Sets the proxy of the client, on the first router, and what it wants.
fn proxy(plot: &mut Plot, text: &str) {
    let service = Service {
        node: "r1".into(),
        kind: ServiceKind::Proxy,
        port: 3_128,
        names: Vec::new(),
        flaw: Flaw::None,
        mutual: false,
        material: None,
        text: text.into(),
    };
    plot.scenario.service.push(service);
    plot.scenario.env = [("https_proxy".to_owned(), "http://{r1}:3128".to_owned())].into();
}

pub(super) fn proxy_down(plot: &mut Plot, dice: &mut Dice) {
    proxy(plot, "");
    let verdict = if dice.falls(0.5) { "drop" } else { "reject with tcp reset" };
    plot.fault(rules("r1".into(), format!("input tcp dport 3128 {verdict}")));
}

pub(super) fn proxy_sign_in(plot: &mut Plot, _: &mut Dice) {
    proxy(plot, "guest:secret");
    plot.scenario.env_off = Some([("https_proxy".to_owned(), "http://guest:secret@{r1}:3128".to_owned())].into());
}

/// The families that a fault is asked for over.
pub(super) fn family(wanted: Option<Family>, dice: &mut Dice) -> Family {
    let drawn = if dice.falls(0.5) { Family::V4 } else { Family::V6 };
    wanted.unwrap_or(drawn)
}
