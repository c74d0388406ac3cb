//! What every packet passes before it is sent.
//!
//! A probe asks [`Gate::packet`] before each datagram, connect and echo, and waits as long as the gate says. The gate knows the
//! policy for addresses and ports, paces packets per target, and counts them against the run's budget.

use crate::capture::flow::Flows;
use crate::clock::Clock;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::order::Refusal;
use netsonde_contract::policy::Reach;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets and connections in all.
    pub packets: u64,
    /// Packets a second to one address, after a burst of the same number.
    pub per_target_rate: u32,
}

impl Limits {
    /// For a person at the keyboard. 50,000 packets are ten times the largest built-in set with its
    /// most targets; 200 a second to one address stays below what rate limiters and intrusion detection take for a flood.
    pub const PERSON: Self = Self { packets: 50_000, per_target_rate: 200 };
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    address: IpAddr,
    /// Where the packet has one: an echo has none.
    port: Option<u16>,
}

impl From<IpAddr> for Destination {
    fn from(address: IpAddr) -> Self {
        Self { address, port: None }
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: Some(address.port()) }
    }
}

#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    /// Where the packets may go; anywhere for a person at the keyboard.
    reach: Option<Reach>,
    clock: Clock,
    state: Mutex<State>,
    flows: Flows,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    /// Addresses that were let through.
    met: HashSet<IpAddr>,
    /// Hosts that a certificate named, and that the policy lets be asked for that.
    of_certificates: HashSet<String>,
    /// This machine's own proxies, which the policy lets be used.
    own_proxies: HashSet<String>,
    /// Where these are, on whatever port.
    proxy_addresses: HashSet<IpAddr>,
    /// Up to when the packets to the address are paid for, on the run's clock.
    next: HashMap<IpAddr, Duration>,
    limits_hit: Vec<String>,
}

impl Gate {
    /// For a person at the keyboard, who may measure what they like.
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Self { limits, reach: None, clock, state: Mutex::default(), flows: Flows::default() }
    }

    /// For what was asked for from elsewhere: every packet stays within `reach`.
    pub fn within(reach: Reach, limits: Limits, clock: Clock) -> Self {
        Self { reach: Some(reach), ..Self::new(limits, clock) }
    }

    /// Waits for the address's turn and counts one packet.
    ///
    /// # Errors
    /// `not_allowed` where policy forbids the address or the port, `budget_exhausted` where the run has sent all that it may.
    pub async fn packet(&self, to: impl Into<Destination>) -> Result<(), Failure> {
        let wait = self.admit(to.into())?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Checks the destination without counting a packet: for libraries that send on their own, before they are called.
    ///
    /// # Errors
    /// `not_allowed` where policy forbids the address or the port.
    pub fn address(&self, to: impl Into<Destination>) -> Result<(), Failure> {
        let Destination { address, port } = to.into();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reach) = &self.reach {
            // A name that may be measured led here.
            if !state.met.contains(&address) {
                reach.address(address, None).map_err(not_allowed)?;
            }
            let port = port.filter(|_| !state.proxy_addresses.contains(&address));
            port.map_or(Ok(()), |port| reach.port(address, port)).map_err(not_allowed)?;
        }
        state.met.insert(address);
        Ok(())
    }

    /// Lets packets to an address through that `host` led to, where the policy allows that address under that name.
    ///
    /// # Errors
    /// `not_allowed` where it does not.
    pub fn named(&self, address: IpAddr, host: &str) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reach) = &self.reach {
            let by_certificate = state.of_certificates.contains(host) && reach.certificate_address(address).is_ok();
            let is_proxy = state.own_proxies.contains(host);
            if is_proxy {
                state.proxy_addresses.insert(address);
            } else if !by_certificate {
                reach.address(address, Some(host)).map_err(not_allowed)?;
            }
        }
        state.met.insert(address);
        Ok(())
    }

    /// Before a host is asked for through a proxy, which alone sees its address. `proxy` is this machine's own: no set and no order names one.
    ///
    /// # Errors
    /// `not_allowed` where the policy does not name the host for that, or not the port.
    pub fn through_proxy(&self, proxy: &str, host: &str, port: u16) -> Result<(), Failure> {
        let Some(reach) = &self.reach else { return Ok(()) };
        reach.through_proxy(host, port).map_err(not_allowed)?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).own_proxies.insert(proxy.to_owned());
        Ok(())
    }

    /// Before a host is asked that a certificate names, such as for a missing issuer.
    ///
    /// # Errors
    /// `not_allowed` where the policy does not let what a server chose be asked.
    pub fn of_certificate(&self, host: &str) -> Result<(), Failure> {
        if let Some(reach) = &self.reach {
            reach.certificate_host(host).map_err(not_allowed)?;
            self.state.lock().unwrap_or_else(PoisonError::into_inner).of_certificates.insert(host.to_owned());
        }
        Ok(())
    }

    /// Counts a packet and says how long it has to wait. Pure but for the clock.
    fn admit(&self, to: Destination) -> Result<Duration, Failure> {
        self.address(to)?;
        let address = to.address;
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.sent >= self.limits.packets {
            let text = format!("the run's budget of {} packets is used up", self.limits.packets);
            if !state.limits_hit.contains(&text) {
                state.limits_hit.push(text.clone());
            }
            return Err(Failure::new(FailureCode::BudgetExhausted, Step::Send, text));
        }
        state.sent += 1;
        // A token bucket kept as a time: the packets sent so far, at their interval, reach up to `next`, which may run ahead of the
        // clock by one second's burst.
        let interval = Duration::from_secs(1) / self.limits.per_target_rate;
        let burst = Duration::from_secs(1);
        let next = state.next.entry(address).or_insert(Duration::ZERO);
        let turn = (*next).max(now);
        *next = turn + interval;
        Ok((turn - now).saturating_sub(burst))
    }

    /// Whether packets to the address were let through.
    pub(crate) fn has_met(&self, address: IpAddr) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).met.contains(&address)
    }

    /// The flows that the run made.
    pub(crate) fn flows(&self) -> &Flows {
        &self.flows
    }

    /// Packets and connections that passed.
    pub fn sent(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sent
    }

    /// Bounds that were reached, in words.
    pub fn limits_hit(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limits_hit.clone()
    }
}

fn not_allowed(refusal: Refusal) -> Failure {
    Failure::new(FailureCode::NotAllowed, Step::Open, refusal.detail)
}

/// A gate for tests of what the policy does not name: it lets nothing special through, and every other address.
#[cfg(test)]
pub(crate) fn closed(clock: Clock) -> Gate {
    let policy = "[targets]\nnames = [\"*\"]\nnetworks = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";
    let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
    Gate::within(Reach::of(&policy, &[]), Limits::PERSON, clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::observation::CLOUD_ADDRESSES;

    fn gate(limits: Limits) -> Gate {
        Gate::new(limits, Clock::start())
    }

    #[test]
    fn an_address_hidden_in_another_notation_is_found() {
        let closed = closed(Clock::start());
        for text in ["::ffff:169.254.169.254", "10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "127.0.0.1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(closed.address(address).unwrap_err().code, FailureCode::NotAllowed, "{text}");
            assert_eq!(closed.named(address, "shop.example").unwrap_err().code, FailureCode::NotAllowed, "{text}");
        }
        assert!(closed.address("2001:db8::1".parse::<IpAddr>().unwrap()).is_ok());
        for cloud in CLOUD_ADDRESSES {
            assert_eq!(closed.address(cloud).unwrap_err().code, FailureCode::NotAllowed, "{cloud}");
        }
    }

    #[test]
    fn an_address_is_let_through_by_the_name_that_led_to_it() {
        let policy = "[targets]\nnames = [\"*.shop.example\"]\nports = [\"443\"]\n";
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        let gate = Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start());
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        assert!(gate.address(address).is_err(), "nobody named it");
        assert!(gate.named(address, "www.other.example").is_err());
        assert!(gate.named(address, "www.shop.example").is_ok());
        assert!(gate.address(address).is_ok());
        assert!(gate.address(SocketAddr::new(address, 443)).is_ok());
        assert!(gate.address(SocketAddr::new(address, 22)).is_err(), "a port that the policy does not name");
        assert!(gate.through_proxy("proxy.example", "www.shop.example", 443).is_err(), "nobody sees the address behind a proxy");
        assert!(gate.of_certificate("ca.example").is_err());
    }

    #[test]
    fn this_machines_own_proxy_is_used_where_the_policy_names_what_is_behind_it() {
        let policy = "[targets]\nnames = [\"shop.example\"]\nproxied = [\"shop.example\"]\nports = [\"443\"]\n";
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        let gate = Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start());
        let proxy = SocketAddr::from(([10, 0, 0, 8], 3128));
        assert!(gate.named(proxy.ip(), "proxy.example").is_err(), "nothing is asked for through it yet");
        assert!(gate.through_proxy("proxy.example", "other.example", 443).is_err());
        assert!(gate.through_proxy("proxy.example", "shop.example", 22).is_err());
        assert!(gate.through_proxy("proxy.example", "shop.example", 443).is_ok());
        assert!(gate.named(proxy.ip(), "proxy.example").is_ok() && gate.address(proxy).is_ok());
    }

    #[test]
    fn a_target_is_paced_after_its_burst() {
        let gate = gate(Limits { packets: 1_000, per_target_rate: 10 });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        let waits: Vec<Duration> = (0..30).map(|_| gate.admit(target.into()).unwrap()).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "one second's packets go at once");
        assert!(waits[29] > Duration::from_millis(500), "{:?}", waits[29]);
        assert!(
            gate.admit("192.0.2.2".parse::<IpAddr>().unwrap().into()).unwrap().is_zero(),
            "another target has a pace of its own"
        );
    }

    #[test]
    fn the_budget_ends_the_sending_and_is_said() {
        let gate = gate(Limits { packets: 2, per_target_rate: 10 });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        gate.admit(target.into()).unwrap();
        gate.admit(target.into()).unwrap();
        assert_eq!(gate.admit(target.into()).unwrap_err().code, FailureCode::BudgetExhausted);
        assert_eq!(gate.limits_hit().len(), 1);
    }
}
