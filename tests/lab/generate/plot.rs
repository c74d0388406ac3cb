use crate::cable::Impairment;
use crate::dice::Dice;
use crate::scenario::{Family, Fault, Link, Scenario, Service, ServiceKind, User};
use netsonde_tests::certificates::Flaw;

/// The probe set that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Web,
    Port,
    Path,
    Dns,
    Quic,
}

/// What is asked for: the parts of a web address, of which other sets take what they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The host's first label; the zone is that of the lab, so that the name server behaves as the label says.
    pub label: String,
    /// The name has addresses of both families.
    pub both_families: bool,
    pub port: Option<u16>,
    pub path: String,
}

/// A network while it is drawn: a scenario, and what is drawn before the rest can be placed.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub scenario: Scenario,
    pub set: Set,
    /// TLS is asked for.
    pub secure: bool,
    /// The host is asked for by a name, not by its address.
    pub named: bool,
    /// `path` is run with a port as well.
    pub with_port: bool,
    /// The router beside which a second one stands.
    pub twin: Option<u8>,
    pub on: Question,
    pub off: Question,
}

impl Plot {
    pub(super) fn new(set: Set, routers: u8, family: Family, user: User) -> Self {
        let question = Question { label: "ok".into(), both_families: false, port: None, path: "/".into() };
        let scenario = Scenario { routers, families: vec![family], users: vec![user], ..Scenario::default() };
        Self { scenario, set, secure: false, named: false, with_port: false, twin: None, on: question.clone(), off: question }
    }

    pub(super) fn routers(&self) -> u8 {
        self.scenario.routers
    }

    /// A node of the chain by its number, from the client's, which is 0.
    pub(super) fn node(&self, number: u8) -> String {
        match number {
            0 => "c".into(),
            number if number > self.routers() => "s".into(),
            number => format!("r{number}"),
        }
    }

    /// A router from `first` on that all of the traffic passes; 0 where there is none.
    pub(super) fn router(&self, first: u8, dice: &mut Dice) -> u8 {
        let passed: Vec<u8> = (first..=self.routers()).filter(|number| Some(*number) != self.twin).collect();
        dice.pick(&passed).copied().unwrap_or(0)
    }

    /// A link from `first` on that all of the traffic passes, by the number of its left node.
    pub(super) fn link(&self, first: u8, dice: &mut Dice) -> u8 {
        let beside = |link: u8| self.twin.is_some_and(|twin| link == twin || link + 1 == twin);
        let passed: Vec<u8> = (first..=self.routers()).filter(|link| !beside(*link)).collect();
        dice.pick(&passed).copied().unwrap_or(first)
    }

    pub(super) fn ends(&self, link: u8) -> [String; 2] {
        [self.node(link), self.node(link + 1)]
    }

    /// Makes the link a cable, and gives what it does so far.
    pub(super) fn cable(&mut self, link: u8, seed: u64) -> Impairment {
        let between = self.ends(link);
        match self.scenario.link.iter_mut().find(|link| link.between == between) {
            Some(link) => link.cable = true,
            None => self.scenario.link.push(Link { between: between.clone(), cable: true, mtu: None, seed }),
        }
        let so_far = self.scenario.cable.iter().find(|cable| cable.between == between);
        so_far.cloned().unwrap_or_else(|| Impairment::none(between))
    }

    pub(super) fn is_cable(&self, link: u8) -> bool {
        let between = self.ends(link);
        self.scenario.link.iter().any(|link| link.cable && link.between == between)
    }

    pub(super) fn service(&mut self, kind: ServiceKind, port: u16, text: &str) {
        let service = Service {
            node: "s".into(),
            kind,
            port,
            names: Vec::new(),
            flaw: Flaw::None,
            mutual: false,
            material: None,
            text: text.into(),
        };
        self.scenario.service.push(service);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.scenario.fault.push(fault);
    }

    /// The port that is asked for.
    pub(super) fn port(&self) -> u16 {
        self.on.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// The server's addresses that are asked for, as nft matches them.
    pub(super) fn to_target(&self) -> [&'static str; 2] {
        ["ip daddr 10.99.0.1", "ip6 daddr fd99::1"]
    }

    fn host(&self, question: &Question) -> Option<String> {
        let zone = if question.both_families { "lab" } else { "{family}.lab" };
        self.named.then(|| format!("{}.{zone}", question.label))
    }

    fn ask(&self, question: &Question) -> Vec<String> {
        let host = self.host(question);
        let in_url = host.clone().unwrap_or_else(|| "{url}".into());
        let bare = host.unwrap_or_else(|| "{s}".into());
        let port = question.port.map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if self.secure { "https" } else { "http" };
        let (set, target) = match self.set {
            Set::Web => ("web", format!("{scheme}://{in_url}{port}{}", question.path)),
            Set::Quic => ("quic", format!("{scheme}://{in_url}{port}{}", question.path)),
            Set::Port => ("port", format!("{in_url}:{}", question.port.unwrap_or(80))),
            Set::Path if self.with_port => ("path", format!("{in_url}:{}", question.port.unwrap_or(80))),
            Set::Path => ("path", bare),
            Set::Dns => ("dns", bare),
        };
        vec!["run".into(), set.into(), "--target".into(), target]
    }

    /// The whole scenario: the questions, and the servers that they need.
    pub(super) fn finished(mut self) -> Scenario {
        self.scenario.ask = self.ask(&self.on);
        let off = self.ask(&self.off);
        self.scenario.ask_off = Some(off).filter(|off| *off != self.scenario.ask);
        if self.named {
            self.service(ServiceKind::Dns, 53, "");
        }
        if self.secure {
            self.service(ServiceKind::Https, 443, "");
        } else if self.set != Set::Dns {
            self.service(ServiceKind::Http, 80, "");
        }
        if self.set == Set::Quic {
            self.service(ServiceKind::Quic, 443, "");
        }
        let mut names: Vec<String> = [&self.off, &self.on].into_iter().filter_map(|question| self.host(question)).collect();
        names.dedup();
        for service in self.scenario.service.iter_mut().filter(|service| service.kind.has_identity() && service.names.is_empty())
        {
            service.names.clone_from(&names);
        }
        if self.is_cable(0) {
            // A cable's end looks as a VPN's device does.
            self.scenario.true_notices.push("host.tunnelled".into());
        }
        self.scenario
    }
}

/// Rules at one node, and nothing else.
pub(super) fn rules(node: String, nft: impl Into<String>) -> Fault {
    Fault { node, nft: nft.into(), ..at(String::new()) }
}

/// A fault at one node that changes nothing yet.
pub(super) fn at(node: String) -> Fault {
    Fault {
        node,
        cable: Vec::new(),
        nft: String::new(),
        ip: Vec::new(),
        tc: Vec::new(),
        sysctl: Vec::new(),
        tracks_no_more: false,
    }
}
