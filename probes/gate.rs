//! What every packet passes before it is sent.
//!
//! A probe asks [`Gate::packet`] before each datagram, connect and echo, and waits as long as the gate says. The gate knows the
//! policy for addresses, paces packets per target, and counts them against the run's budget.

use crate::capture::flow::Flows;
use crate::clock::Clock;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::CLOUD_ADDRESSES;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets and connections in all.
    pub packets: u64,
    /// Packets a second to one address, after a burst of the same number.
    pub per_target_rate: u32,
    /// Loopback, private and link-local addresses may be probed.
    pub private_addresses: bool,
}

impl Limits {
    /// For a person at the keyboard, who may probe what they like. 50,000 packets are ten times the largest built-in set with its
    /// most targets; 200 a second to one address stays below what rate limiters and intrusion detection take for a flood.
    pub const PERSON: Self = Self { packets: 50_000, per_target_rate: 200, private_addresses: true };
}

#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    clock: Clock,
    state: Mutex<State>,
    flows: Flows,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    /// Addresses that were let through.
    met: HashSet<IpAddr>,
    /// Up to when the packets to the address are paid for, on the run's clock.
    next: HashMap<IpAddr, Duration>,
    limits_hit: Vec<String>,
}

impl Gate {
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Self { limits, clock, state: Mutex::default(), flows: Flows::default() }
    }

    /// Waits for the address's turn and counts one packet.
    ///
    /// # Errors
    /// `not_allowed` where policy forbids the address, `budget_exhausted` where the run has sent all that it may.
    pub async fn packet(&self, address: IpAddr) -> Result<(), Failure> {
        let wait = self.admit(address)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Checks the address without counting a packet: for libraries that send on their own, before they are called.
    ///
    /// # Errors
    /// `not_allowed` where policy forbids the address.
    pub fn address(&self, address: IpAddr) -> Result<(), Failure> {
        let plain = plain(address);
        // Azure's platform address is a public one, and as little anybody else's business.
        if !self.limits.private_addresses && (is_private(plain) || CLOUD_ADDRESSES.contains(&plain)) {
            return Err(Failure::new(FailureCode::NotAllowed, Step::Open, format!("policy does not allow {plain}")));
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).met.insert(address);
        Ok(())
    }

    /// Counts a packet and says how long it has to wait. Pure but for the clock.
    fn admit(&self, address: IpAddr) -> Result<Duration, Failure> {
        self.address(address)?;
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

/// The IPv4 address within an IPv4-mapped (RFC 4291 section 2.5.5.2), NAT64 (RFC 6052) or 6to4 (RFC 3056) address; others as they are.
pub fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let embedded = |high: u16, low: u16| IpAddr::from([(high >> 8) as u8, high as u8, (low >> 8) as u8, low as u8]);
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_multicast() || v6.is_unspecified() || v6.is_unique_local() || is_link_local(v6)
        }
    }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limits: Limits) -> Gate {
        Gate::new(limits, Clock::start())
    }

    #[test]
    fn an_address_hidden_in_another_notation_is_found() {
        for text in ["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"] {
            assert_eq!(plain(text.parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap(), "{text}");
        }
        let closed = gate(Limits { private_addresses: false, ..Limits::PERSON });
        assert_eq!(closed.address("::ffff:169.254.169.254".parse().unwrap()).unwrap_err().code, FailureCode::NotAllowed);
        assert!(closed.address("2001:db8::1".parse().unwrap()).is_ok());
        for cloud in CLOUD_ADDRESSES {
            assert_eq!(closed.address(cloud).unwrap_err().code, FailureCode::NotAllowed, "{cloud}");
        }
    }

    #[test]
    fn a_target_is_paced_after_its_burst() {
        let gate = gate(Limits { packets: 1_000, per_target_rate: 10, private_addresses: true });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        let waits: Vec<Duration> = (0..30).map(|_| gate.admit(target).unwrap()).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "one second's packets go at once");
        assert!(waits[29] > Duration::from_millis(500), "{:?}", waits[29]);
        assert!(gate.admit("192.0.2.2".parse().unwrap()).unwrap().is_zero(), "another target has a pace of its own");
    }

    #[test]
    fn the_budget_ends_the_sending_and_is_said() {
        let gate = gate(Limits { packets: 2, per_target_rate: 10, private_addresses: true });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        gate.admit(target).unwrap();
        gate.admit(target).unwrap();
        assert_eq!(gate.admit(target).unwrap_err().code, FailureCode::BudgetExhausted);
        assert_eq!(gate.limits_hit().len(), 1);
    }
}
