use super::{NamePattern, Policy, plain, special};
use crate::order::{Refusal, RefusalCode};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

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
    /// The machine's own resolvers, on whatever port they are asked.
    resolvers: Vec<IpAddr>,
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
        }
    }

    /// Whether packets may go to `address`, to which `name` led where it was a name.
    ///
    /// # Errors
    /// `target_not_allowed` where nothing names it, `address_not_allowed` where it is one that a name does not suffice for.
    pub fn address(&self, address: IpAddr, name: Option<&str>) -> Result<(), Refusal> {
        let plain = plain(address);
        // A network of one notation opens nothing special that another notation hides in it: `::/0` is no word about 169.254.169.254.
        let as_written = plain == address || special(plain).is_none();
        let within = |networks: &[IpNet]| {
            networks.iter().any(|network| network.contains(&plain) || as_written && network.contains(&address))
        };
        let fits = |patterns: &[NamePattern]| name.is_some_and(|name| patterns.iter().any(|pattern| pattern.fits(name)));
        let shown = name.map_or_else(|| plain.to_string(), |name| format!("{name} ({plain})"));
        if self.denies(address) || fits(&self.denied_names) {
            return Err(RefusalCode::TargetNotAllowed.because(format!("the policy denies {shown}")));
        }
        if within(&self.networks) || self.resolvers.contains(&plain) {
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

    /// Whether `port` of an allowed address may be asked; the machine's own resolvers may on any.
    ///
    /// # Errors
    /// `port_not_allowed` where the policy names ports, and not this one.
    pub fn port(&self, address: IpAddr, port: u16) -> Result<(), Refusal> {
        let named = self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port));
        if named || self.resolvers.contains(&plain(address)) {
            return Ok(());
        }
        Err(RefusalCode::PortNotAllowed.because(format!("the policy does not name port {port}")))
    }

    /// Whether a name may be measured at all, before anybody knows its address.
    ///
    /// # Errors
    /// `target_not_allowed` where it is denied, or not named. An address as text is held against the networks.
    pub fn host(&self, host: &str) -> Result<(), Refusal> {
        if let Ok(address) = host.parse() {
            return self.address(address, None);
        }
        if self.denied_names.iter().any(|pattern| pattern.fits(host)) {
            return Err(RefusalCode::TargetNotAllowed.because(format!("the policy denies {host}")));
        }
        // A name in a named network is told by its address later; so is one of a policy that names networks only.
        if self.names.iter().any(|pattern| pattern.fits(host)) || !self.networks.is_empty() {
            return Ok(());
        }
        Err(RefusalCode::TargetNotAllowed.because(format!("the policy does not name {host}")))
    }

    /// Whether a host may be asked for through a proxy, which alone knows the address of a name.
    ///
    /// # Errors
    /// `cannot_be_checked` where the policy does not name it for that; `port_not_allowed` as for [`Self::port`].
    pub fn through_proxy(&self, host: &str, port: u16) -> Result<(), Refusal> {
        self.host(host)?;
        self.port(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
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
        if !self.certificate_urls {
            let words =
                format!("a certificate names {host}, and `targets.certificate_urls` does not allow what certificates name");
            return Err(RefusalCode::CannotBeChecked.because(words));
        }
        if self.denied_names.iter().any(|pattern| pattern.fits(host)) {
            return Err(RefusalCode::TargetNotAllowed.because(format!("the policy denies {host}")));
        }
        host.parse().map_or(Ok(()), |address| self.certificate_address(address))
    }

    /// Whether the address of a host that a certificate names may be asked.
    ///
    /// # Errors
    /// As [`Self::address`], but for that nothing needs to name it.
    pub fn certificate_address(&self, address: IpAddr) -> Result<(), Refusal> {
        match self.address(address, None) {
            // Nothing but that no name or network names it speaks against it.
            Err(refusal) if refusal.code == RefusalCode::TargetNotAllowed && !self.denies(address) => Ok(()),
            other => other,
        }
    }

    fn denies(&self, address: IpAddr) -> bool {
        let plain = plain(address);
        self.denied_networks.iter().any(|network| network.contains(&plain) || network.contains(&address))
    }
}
