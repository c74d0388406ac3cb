use super::address::{embedded, hidden};
use super::ordered::{folded, ordered_names};
use super::{NamePattern, Policy, plain, reverse_name, special};
use crate::order::{Refusal, RefusalCode};
use crate::set::{Plan, Proxied, ProxyAddress};
use ipnet::{IpNet, Ipv6Net};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

/// How a resolver is asked for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Over UDP or TCP as they are (RFC 1035 section 4.2).
    Plain,
    /// Over TLS (RFC 7858).
    OverTls,
}

impl Question {
    /// The one port that is meant for it.
    pub const fn port(self) -> u16 {
        match self {
            Self::Plain => 53,
            Self::OverTls => 853,
        }
    }
}

/// Where the packets of an order may go. Every address is held against it before the first packet, and again on each connect and redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    names: Vec<NamePattern>,
    networks: Vec<IpNet>,
    denied_names: Vec<NamePattern>,
    denied_networks: Vec<IpNet>,
    ports: Vec<RangeInclusive<u16>>,
    proxied: Vec<NamePattern>,
    certificate_urls: bool,
    /// The machine's own resolvers, which may be asked for names, and are addresses as any other to everything else.
    resolvers: Vec<IpAddr>,
    /// Whether any resolver may be asked; without one, a name has the addresses that the machine's own files give it.
    asks_resolvers: bool,
    /// The names that the order itself holds.
    ordered: BTreeSet<String>,
    /// The machine's own proxies, as far as the policy lets the plan's targets be asked for through them.
    proxies: Vec<ProxyAddress>,
    /// Behind which this network's own translators reach IPv4 addresses.
    nat64: Vec<Ipv6Net>,
    /// Such prefixes as this network's resolver tells (RFC 7050), in all clones at once. Nobody vouches for them: what stands behind one is held
    /// against the policy besides the address itself, so that they can only refuse.
    told: Arc<OnceLock<Vec<Ipv6Net>>>,
}

impl Reach {
    /// `resolvers` are those that the machine is configured with.
    pub fn of(policy: &Policy, resolvers: &[IpAddr]) -> Self {
        Self {
            names: policy.names.clone(),
            networks: policy.networks.clone(),
            denied_names: policy.denied_names.clone(),
            denied_networks: policy.denied_networks.clone(),
            ports: policy.ports.clone(),
            proxied: policy.proxied.clone(),
            certificate_urls: policy.certificate_urls,
            resolvers: if policy.resolvers { resolvers.iter().map(|address| plain(*address)).collect() } else { Vec::new() },
            asks_resolvers: policy.resolvers,
            ordered: BTreeSet::new(),
            proxies: Vec::new(),
            nat64: policy.nat64.clone(),
            told: Arc::default(),
        }
    }

    /// The address behind another notation, a translator of this network's included.
    pub fn plain(&self, address: IpAddr) -> IpAddr {
        let translated = self.nat64.iter().find_map(|prefix| embedded(*prefix, address));
        translated.unwrap_or_else(|| plain(address))
    }

    /// Takes what this network's resolver tells of its translators; the first word counts.
    pub fn learn(&self, prefixes: Vec<Ipv6Net>) {
        // Whoever was first asked the same resolver.
        let _ = self.told.set(prefixes);
    }

    /// The IPv4 addresses that `address` may stand for, by what the resolver told.
    fn translated(&self, address: IpAddr) -> impl Iterator<Item = IpAddr> {
        self.told.get().into_iter().flatten().filter_map(move |prefix| embedded(*prefix, address))
    }

    /// Everywhere that packets to an address may end: as [`Self::plain`] has it, and at what it may stand for besides. What the policy says of this
    /// network's translators leaves no doubt.
    fn readings(&self, address: IpAddr) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.nat64.iter().filter_map(|prefix| embedded(*prefix, address)).collect();
        if all.is_empty() {
            all.push(plain(address));
            all.extend(hidden(address));
        }
        all.extend(self.translated(address));
        all
    }

    /// The same for one plan, of whose names it is known that engineers signed them, and whose proxies are this machine's own.
    #[must_use]
    pub fn for_plan(self, plan: &Plan) -> Self {
        let is_open = |own: &&Proxied| self.through_proxy(&own.proxy.host, &own.target.host, own.port()).is_ok();
        let proxies = plan.proxies.iter().filter(is_open).map(|own| own.proxy.clone()).collect();
        Self { ordered: ordered_names(plan), proxies, ..self }
    }

    /// The machine's own proxies that the plan may use.
    pub fn proxies(&self) -> &[ProxyAddress] {
        &self.proxies
    }

    /// Whether the machine's own proxy may be connected to at `address`. The policy need not name it, and what it denies stays denied.
    ///
    /// # Errors
    /// `target_not_allowed` where the policy denies the address.
    pub fn proxy_address(&self, proxy: &str, address: IpAddr) -> Result<(), Refusal> {
        if self.denies(address) {
            let words = format!("the policy denies {address}, at which this machine's own proxy {proxy} is");
            return Err(RefusalCode::TargetNotAllowed.because(words));
        }
        Ok(())
    }

    /// Whether names may be looked up at the machine's resolvers. Where they may not, its hosts file alone says what a name's address is.
    pub fn asks_resolvers(&self) -> bool {
        self.asks_resolvers
    }

    /// Whether a name may be looked up: whoever answers for it sees that somebody asks. A name that only a server on the way gave, such as by a
    /// redirect, is one that the policy names; that some network is named suffices for names that engineers signed.
    ///
    /// # Errors
    /// As [`Self::host`].
    pub fn lookup(&self, host: &str) -> Result<(), Refusal> {
        self.host(host)?;
        if self.ordered.contains(&folded(host)) || self.names.iter().any(|pattern| pattern.fits(host)) {
            return Ok(());
        }
        Err(RefusalCode::TargetNotAllowed.because(format!("neither the policy nor the order names {host}")))
    }

    /// Whether a check may ask for the records of a name, of which no address follows that could be held against a network. `measured` is the
    /// target of the same check: what may be measured may be asked for.
    ///
    /// # Errors
    /// `target_not_allowed` where the policy denies the name, or does not name it; an address as text is held against the networks.
    pub fn records(&self, name: &str, measured: Option<&str>) -> Result<(), Refusal> {
        // Everybody knows the root.
        if name == "." {
            return Ok(());
        }
        // What is asked for is the name that stands for the address.
        if let Ok(address) = name.parse::<IpAddr>() {
            self.denied(&reverse_name(address))?;
            return self.host(name);
        }
        if measured.is_some_and(|target| folded(target) == folded(name)) {
            return self.host(name);
        }
        self.denied(name)?;
        if self.names.iter().any(|pattern| pattern.fits(name)) {
            return Ok(());
        }
        Err(RefusalCode::TargetNotAllowed.because(format!("the policy does not name {name}")))
    }

    /// Whether a question for a name may be sent, of which something else has said that it is asked for: what the policy denies never is.
    ///
    /// # Errors
    /// `target_not_allowed` where the policy denies it.
    pub fn question(&self, name: &str) -> Result<(), Refusal> {
        self.denied(name)
    }

    /// Whether the name of an address may be asked for, to which `name` led where it was one. Whoever answers learns the address, so that it must be
    /// one that may be measured, or the policy names what is asked for (`*.in-addr.arpa`, `*.ip6.arpa`).
    ///
    /// # Errors
    /// As [`Self::address`], and `target_not_allowed` where the policy denies what is asked for.
    pub fn reverse(&self, address: IpAddr, name: Option<&str>) -> Result<(), Refusal> {
        let asked = reverse_name(address);
        self.denied(&asked)?;
        if !self.denies(address) && self.names.iter().any(|pattern| pattern.fits(&asked)) {
            return Ok(());
        }
        self.address(address, name)
    }

    /// The policy's key that denies a host, a name or an address as text, where one does.
    pub(super) fn denying_key(&self, host: &str) -> Option<&'static str> {
        let address = host.parse::<IpAddr>().ok();
        if address.is_some_and(|address| self.denies(address)) {
            return Some("targets.deny_networks");
        }
        let name = address.map_or_else(|| host.to_owned(), reverse_name);
        self.denied(&name).is_err().then_some("targets.deny")
    }

    /// Whether the policy says nothing against a name.
    fn denied(&self, name: &str) -> Result<(), Refusal> {
        if self.denied_names.iter().any(|pattern| pattern.fits(name)) {
            return Err(RefusalCode::TargetNotAllowed.because(format!("the policy denies {name}")));
        }
        Ok(())
    }

    /// Whether packets may go to `address`, to which `name` led where it was a name.
    ///
    /// # Errors
    /// `target_not_allowed` where nothing names it, `address_not_allowed` where it is one that a name does not suffice for.
    pub fn address(&self, address: IpAddr, name: Option<&str>) -> Result<(), Refusal> {
        self.readings(address).into_iter().try_for_each(|plain| self.written(address, plain, name))
    }

    /// The same for an address that stands for `plain`.
    fn written(&self, address: IpAddr, plain: IpAddr, name: Option<&str>) -> Result<(), Refusal> {
        let fits = |patterns: &[NamePattern]| name.is_some_and(|name| patterns.iter().any(|pattern| pattern.fits(name)));
        // An address as text stands for itself.
        let shown = match name.filter(|name| name.parse::<IpAddr>().is_err()) {
            Some(name) => format!("{name} ({plain})"),
            None if plain == address => plain.to_string(),
            None => format!("{address} ({plain})"),
        };
        if self.denies_plain(address, plain) || fits(&self.denied_names) {
            return Err(RefusalCode::TargetNotAllowed.because(format!("the policy denies {shown}")));
        }
        if named_by(&self.networks, address, plain) {
            return Ok(());
        }
        if let Some(what) = special(plain) {
            return Err(
                RefusalCode::AddressNotAllowed.because(format!("{shown} is {what}, and no network of the policy names it"))
            );
        }
        if fits(&self.names) {
            return Ok(());
        }
        Err(RefusalCode::TargetNotAllowed.because(format!("the policy names neither {shown} nor a network with it")))
    }

    /// Whether `server` is one of the machine's own resolvers, asked where names are asked for. Nothing but a question for a name may rely on
    /// this: whatever else listens at a resolver's address, at this port or another, is an address as any other.
    pub fn is_asked_for_names(&self, server: SocketAddr, by: Question) -> bool {
        server.port() == by.port() && self.resolvers.contains(&self.plain(server.ip())) && !self.denies(server.ip())
    }

    /// Whether `port` of an allowed address may be asked.
    ///
    /// # Errors
    /// `port_not_allowed` where the policy names ports, and not this one.
    pub fn port(&self, port: u16) -> Result<(), Refusal> {
        if self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port)) {
            return Ok(());
        }
        Err(RefusalCode::PortNotAllowed.because(format!("the policy does not name port {port}")))
    }

    /// Whether a name may be measured at all, before anybody knows its address.
    ///
    /// # Errors
    /// `target_not_allowed` where it is denied, or not named. An address as text is held against the networks.
    pub fn host(&self, host: &str) -> Result<(), Refusal> {
        // The link that a link-local address is on opens nothing: `fe80::1%eth0` is held against the networks as `fe80::1` is.
        let address = host.split_once('%').map_or(host, |(address, _)| address);
        if let Ok(address) = address.parse() {
            return self.address(address, None);
        }
        self.denied(host)?;
        // A name in a named network is told by its address later; so is one of a policy that names networks only.
        if self.names.iter().any(|pattern| pattern.fits(host)) || !self.networks.is_empty() {
            return Ok(());
        }
        Err(RefusalCode::TargetNotAllowed.because(format!("the policy does not name {host}")))
    }

    /// Whether a host may be asked for through a proxy, which alone knows the address of a name.
    ///
    /// # Errors
    /// `cannot_be_checked` where the policy does not name it for that; `port_not_allowed` as for [`Self::port`]; `target_not_allowed` where the
    /// policy denies the proxy.
    pub fn through_proxy(&self, proxy: &str, host: &str, port: u16) -> Result<(), Refusal> {
        match proxy.parse() {
            Ok(address) => self.proxy_address(proxy, address)?,
            Err(_) => self.denied(proxy)?,
        }
        self.host(host)?;
        self.port(port)?;
        let is_address = host.parse::<IpAddr>().is_ok();
        if is_address || self.proxied.iter().any(|pattern| pattern.fits(host)) {
            return Ok(());
        }
        Err(RefusalCode::CannotBeChecked
            .because(format!("behind a proxy nobody here sees the address of {host}; `targets.proxied` does not name it")))
    }

    /// Whether a host that a certificate names may be asked. Whoever made the certificate chose it, so that a name that may be measured
    /// does not suffice.
    ///
    /// # Errors
    /// `cannot_be_checked` where the policy does not allow such hosts, `target_not_allowed` where it denies this one.
    pub fn certificate_host(&self, host: &str) -> Result<(), Refusal> {
        self.certificates_may_name(host)?;
        self.denied(host)?;
        host.parse().map_or(Ok(()), |address| self.certificate_address(address))
    }

    /// Whether the address of a host that a certificate names may be asked.
    ///
    /// # Errors
    /// As [`Self::certificate_host`] and [`Self::address`], but for that nothing needs to name it.
    pub fn certificate_address(&self, address: IpAddr) -> Result<(), Refusal> {
        self.certificates_may_name(&address.to_string())?;
        self.readings(address).into_iter().try_for_each(|plain| match self.written(address, plain, None) {
            // Nothing but that no name or network names it speaks against it.
            Err(refusal) if refusal.code == RefusalCode::TargetNotAllowed && !self.denies_plain(address, plain) => Ok(()),
            other => other,
        })
    }

    fn certificates_may_name(&self, host: &str) -> Result<(), Refusal> {
        if self.certificate_urls {
            return Ok(());
        }
        let words = format!("a certificate names {host}, and `targets.certificate_urls` does not allow what certificates name");
        Err(RefusalCode::CannotBeChecked.because(words))
    }

    /// Whether `networks` name `peer`, wherever its packets may come from, and the policy does not deny it.
    pub(super) fn is_peer(&self, networks: &[IpNet], peer: IpAddr) -> bool {
        !self.denies(peer) && self.readings(peer).into_iter().all(|plain| named_by(networks, peer, plain))
    }

    fn denies(&self, address: IpAddr) -> bool {
        self.readings(address).into_iter().any(|plain| self.denies_plain(address, plain))
    }

    fn denies_plain(&self, address: IpAddr, plain: IpAddr) -> bool {
        self.denied_networks.iter().any(|network| network.contains(&plain) || network.contains(&address))
    }
}

/// Whether one of `networks` names an address that stands for `plain`. A network of one notation opens nothing special that another notation hides in
/// it: `::/0` is no word about 169.254.169.254.
fn named_by(networks: &[IpNet], address: IpAddr, plain: IpAddr) -> bool {
    let as_written = plain == address || special(plain).is_none();
    networks.iter().any(|network| network.contains(&plain) || as_written && network.contains(&address))
}
