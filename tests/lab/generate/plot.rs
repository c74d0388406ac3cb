use crate::cable::Impairment;
use crate::dice::Dice;
use crate::scenario::{Family, Fault, Link, Place, Scenario, Service, ServiceKind, User};
use netsonde_tests::certificates::Flaw;

/// The probe set that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Web,
    Storage,
    SignIn,
    Quic,
    Port,
    Outbound,
    Private,
    Tls,
    Path,
    Latency,
    Quick,
    Vpn,
    Dns,
    Service,
    Smtp,
    Sql,
    Time,
}

/// What a set is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// A web address.
    Url,
    /// A host and a port.
    Endpoint,
    /// A host, and a port where one is drawn.
    Host,
    /// A host alone; the port is the protocol's.
    HostAlone,
}

impl Set {
    pub(super) const ALL: [Self; 17] = [
        Self::Web,
        Self::Storage,
        Self::SignIn,
        Self::Quic,
        Self::Port,
        Self::Outbound,
        Self::Private,
        Self::Tls,
        Self::Path,
        Self::Latency,
        Self::Quick,
        Self::Vpn,
        Self::Dns,
        Self::Service,
        Self::Smtp,
        Self::Sql,
        Self::Time,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Storage => "storage-endpoint",
            Self::SignIn => "sign-in",
            Self::Quic => "quic",
            Self::Port => "port",
            Self::Outbound => "outbound",
            Self::Private => "private-endpoint",
            Self::Tls => "tls",
            Self::Path => "path",
            Self::Latency => "latency",
            Self::Quick => "quick",
            Self::Vpn => "vpn",
            Self::Dns => "dns",
            Self::Service => "service",
            Self::Smtp => "smtp",
            Self::Sql => "sql-endpoint",
            Self::Time => "time",
        }
    }

    fn asked(self) -> Asked {
        match self {
            Self::Web | Self::Storage | Self::SignIn | Self::Quic => Asked::Url,
            Self::Port | Self::Outbound | Self::Private | Self::Tls | Self::Sql => Asked::Endpoint,
            Self::Path | Self::Latency | Self::Quick | Self::Vpn | Self::Service => Asked::Host,
            Self::Dns | Self::Smtp | Self::Time => Asked::HostAlone,
        }
    }

    /// Whether TLS is asked for at once is drawn.
    pub(super) fn may_be_secure(self) -> bool {
        self.asked() == Asked::Url || matches!(self, Self::Outbound | Self::Private | Self::Tls)
    }

    /// A host alone shows nothing where ICMP is filtered, unless a port is asked as well.
    pub(super) fn is_of_ways(self) -> bool {
        matches!(self, Self::Path | Self::Latency | Self::Quick | Self::Vpn)
    }

    /// The port of the protocol, where it is not the web's.
    fn own_port(self) -> Option<u16> {
        match self {
            Self::Service => Some(22),
            Self::Smtp => Some(587),
            Self::Sql => Some(5_432),
            Self::Time => Some(123),
            _ => None,
        }
    }

    /// Shorter than a person would have it: what is drawn shows in fewer packets, too.
    fn parameters(self, port: u16) -> Vec<String> {
        match self {
            Self::Latency => vec!["count=25".into(), "attempts=4".into(), "rounds=3".into()],
            Self::Service => vec!["protocol=ssh".into()],
            Self::Smtp => vec![format!("ports={port}")],
            Self::Sql => vec!["protocol=postgres".into()],
            _ => Vec::new(),
        }
    }
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
    /// A set of ways is run with a port as well.
    pub with_port: bool,
    /// Routers that answer nothing of their own accord.
    pub mute: Vec<u8>,
    /// Where what was put last lies.
    pub lies: Option<Place>,
    /// The router beside which a second one stands.
    pub twin: Option<u8>,
    pub on: Question,
    pub off: Question,
}

impl Plot {
    pub(super) fn new(set: Set, routers: u8, family: Family, user: User) -> Self {
        let question = Question { label: "ok".into(), both_families: false, port: None, path: "/".into() };
        let scenario = Scenario { routers, families: vec![family], users: vec![user], ..Scenario::default() };
        let (on, off) = (question.clone(), question);
        Self { scenario, set, secure: false, named: false, with_port: false, mute: Vec::new(), lies: None, twin: None, on, off }
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
        self.port_of(&self.on)
    }

    fn port_of(&self, question: &Question) -> u16 {
        question.port.or(self.set.own_port()).unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// The fault lies at these hops: the last that is heard of may be one before, where those between are mute.
    pub(super) fn lies_at(&mut self, hops: &[u8]) {
        let mut hops = hops.to_vec();
        while let Some(hop) = hops.iter().copied().find(|hop| self.mute.contains(hop) && !hops.contains(&(hop - 1))) {
            hops.push(hop - 1);
        }
        hops.sort_unstable();
        self.lies = Some(Place { hops, ..Place::default() });
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
        let port = self.port_of(question);
        let scheme = if self.secure { "https" } else { "http" };
        let target = match self.set.asked() {
            Asked::Url => {
                let port = question.port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{scheme}://{in_url}{port}{}", question.path)
            }
            Asked::Endpoint if self.secure => format!("https://{in_url}:{port}"),
            Asked::Host if self.with_port || question.port.is_some() => format!("{in_url}:{port}"),
            Asked::Endpoint => format!("{in_url}:{port}"),
            Asked::Host | Asked::HostAlone => bare,
        };
        let parameters = self.set.parameters(port).into_iter().flat_map(|parameter| ["--param".to_owned(), parameter]);
        let ask = ["run".to_owned(), self.set.name().to_owned(), "--target".to_owned(), target];
        ask.into_iter().chain(parameters).collect()
    }

    /// The whole scenario: the questions, and the servers that they need.
    pub(super) fn finished(mut self) -> Scenario {
        self.scenario.ask = self.ask(&self.on);
        let off = self.ask(&self.off);
        self.scenario.ask_off = Some(off).filter(|off| *off != self.scenario.ask);
        if self.named {
            self.service(ServiceKind::Dns, 53, "");
        }
        self.servers();
        let mut names: Vec<String> = [&self.off, &self.on].into_iter().filter_map(|question| self.host(question)).collect();
        names.dedup();
        if names.is_empty() {
            names.push("{s}".into());
        }
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

impl Plot {
    /// What is asked with the fault off.
    fn servers(&mut self) {
        match self.set {
            Set::Dns => {}
            Set::Service => self.service(ServiceKind::Banner, 22, "SSH-2.0-OpenSSH_9.2p1\r\n"),
            Set::Smtp => self.service(ServiceKind::Mail, 587, ""),
            Set::Sql => self.service(ServiceKind::Database, 5_432, ""),
            Set::Time => self.service(ServiceKind::Time, 123, "0"),
            _ if self.secure => self.service(ServiceKind::Https, 443, ""),
            _ => self.service(ServiceKind::Http, 80, ""),
        }
        if self.set == Set::Quic {
            self.service(ServiceKind::Quic, 443, "");
        }
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
