//! What every packet passes before it is sent.
//!
//! A probe asks [`Gate::packet`] before each datagram, connect and echo, and waits as long as the gate says. The gate knows the
//! policy for addresses and ports, paces packets per target, and counts them and their bytes against the run's budget. What a connection
//! carries is counted as it is read and written (`counted`).

use crate::capture::flow::Flows;
use crate::clock::Clock;
use crate::slots::Slots;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::order::Refusal;
use netsonde_contract::policy::{Question, Reach, plain, reverse_name, translators};
use netsonde_contract::set::ProxyAddress;
use netsonde_contract::size::MAX_RUN_BYTES;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets and connections in all.
    pub packets: u64,
    /// Bytes in all, sent and received: see [`Gate::packet`] for what a packet counts, and `counted` for connections.
    pub bytes: u64,
    /// Packets a second to one address, after a burst of the same number.
    pub per_target_rate: u32,
    /// Where the rate is shared by so many machines that less than one packet a second is left: when this one may send, instead.
    pub slots: Option<Slots>,
}

impl Limits {
    /// For a person at the keyboard. 50,000 packets are ten times the largest built-in set with its
    /// most targets; 200 a second to one address stays below what rate limiters and intrusion detection take for a flood; no parameter
    /// goes beyond the bytes.
    pub const PERSON: Self = Self { packets: 50_000, bytes: MAX_RUN_BYTES, per_target_rate: 200, slots: None };
}

/// What a packet counts beside its data: an IP header without options (RFC 791, RFC 8200) and the longest usual header behind it, TCP's
/// (RFC 9293).
const HEADERS_V4: u64 = 20 + 20;
const HEADERS_V6: u64 = 40 + 20;

/// What a lookup that a library makes by itself counts: two questions and two answers as large as they come over UDP without being cut (1,232
/// bytes), which is what all but the rarest take.
pub(crate) const LOOKUP_BYTES: u64 = 2 * (256 + 1_232) + 4 * HEADERS_V6;

/// Who may be asked for the addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// Whomever the system asks.
    System,
    /// The machine's own hosts file, and nobody else.
    HostsFile,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    address: IpAddr,
    /// Where the packet has one: an echo has none.
    port: Option<u16>,
    /// It is a question for a name, asked so.
    question: Option<Question>,
    /// It is a connection for a fetch from where a certificate says.
    of_certificate: bool,
}

impl Destination {
    /// A question for a name, which the machine's own resolvers may be asked wherever they are.
    pub(crate) fn question(server: SocketAddr, by: Question) -> Self {
        Self { question: Some(by), ..server.into() }
    }

    /// A connection for a fetch from where a certificate says, which nothing but that fetch may rely on.
    pub(crate) fn of_certificate(server: SocketAddr) -> Self {
        Self { of_certificate: true, ..server.into() }
    }
}

impl From<IpAddr> for Destination {
    fn from(address: IpAddr) -> Self {
        Self { address, port: None, question: None, of_certificate: false }
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: Some(address.port()), question: None, of_certificate: false }
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
    /// Sent and received.
    bytes: u64,
    /// Addresses that were let through.
    met: HashSet<IpAddr>,
    /// Where questions for names, connections to this machine's own proxy and fetches for certificates went, which lets nothing else through there.
    asked: HashSet<IpAddr>,
    /// This machine's own proxies, which the policy lets be used.
    own_proxies: HashSet<ProxyAddress>,
    /// Where these are.
    proxy_addresses: HashSet<SocketAddr>,
    /// Up to when the packets to the address, in its plain notation, are paid for, on the run's clock.
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
        let own_proxies = reach.proxies().iter().cloned().collect();
        let state = Mutex::new(State { own_proxies, ..State::default() });
        Self { reach: Some(reach), state, ..Self::new(limits, clock) }
    }

    /// Waits for the address's turn and counts one packet with so many bytes of data behind its headers; a connect has none. What comes back to
    /// an echo, or as an ICMP error, is no larger than what it answers, and is not counted; other answers are, by [`Self::received`].
    ///
    /// # Errors
    /// `not_allowed` where policy forbids the address or the port, `budget_exhausted` where the run has sent all that it may.
    pub async fn packet(&self, to: impl Into<Destination>, data: usize) -> Result<(), Failure> {
        let wait = self.admit(to.into(), data)?;
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
        let Destination { address, port, question, of_certificate } = to.into();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reach) = &self.reach {
            if of_certificate {
                reach.certificate_address(address).map_err(not_allowed)?;
                port.map_or(Ok(()), |port| reach.port(port)).map_err(not_allowed)?;
                state.asked.insert(address);
                return Ok(());
            }
            let server = port.map(|port| SocketAddr::new(address, port));
            if question.zip(server).is_some_and(|(by, server)| reach.is_asked_for_names(server, by)) {
                state.asked.insert(address);
                return Ok(());
            }
            // This machine's own proxy, at its own port.
            if server.is_some_and(|server| state.proxy_addresses.contains(&server)) {
                state.asked.insert(address);
                return Ok(());
            }
            // A name that may be measured led here.
            if !state.met.contains(&address) {
                reach.address(address, None).map_err(not_allowed)?;
            }
            port.map_or(Ok(()), |port| reach.port(port)).map_err(not_allowed)?;
        }
        state.met.insert(address);
        Ok(())
    }

    /// Before a name is looked up: whoever answers for it sees that it was asked for, and a server on the way may have made it up.
    ///
    /// # Errors
    /// `not_allowed` where the policy does not let it be asked for.
    pub(crate) fn lookup(&self, host: &str) -> Result<Sources, Failure> {
        let Some(reach) = &self.reach else { return Ok(Sources::System) };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_proxy = state.own_proxies.iter().any(|own| own.host == host);
        if !is_proxy {
            reach.lookup(host).map_err(not_allowed)?;
        }
        Ok(self.sources())
    }

    /// Who may be asked for names at all.
    pub(crate) fn sources(&self) -> Sources {
        let asks = self.reach.as_ref().is_none_or(Reach::asks_resolvers);
        if asks { Sources::System } else { Sources::HostsFile }
    }

    /// Before a question for the records of a name is sent, whoever is asked: every question of netsonde's own.
    ///
    /// # Errors
    /// `not_allowed` where the policy denies the name.
    pub(crate) fn question(&self, name: &str) -> Result<(), Failure> {
        self.reach.as_ref().map_or(Ok(()), |reach| reach.question(name)).map_err(not_allowed)
    }

    /// Before the name of an address is asked for, to which `host` led where it was a name.
    ///
    /// # Errors
    /// `not_allowed` where the policy neither lets the address be measured nor names what is asked for, or denies it.
    pub(crate) fn reverse(&self, address: IpAddr, host: Option<&str>) -> Result<(), Failure> {
        let Some(reach) = &self.reach else { return Ok(()) };
        // A name that may be measured led to what was met.
        let is_met = self.state.lock().unwrap_or_else(PoisonError::into_inner).met.contains(&address);
        let allowed = if is_met { reach.question(&reverse_name(address)) } else { reach.reverse(address, host) };
        allowed.map_err(not_allowed)
    }

    /// Notes a bound that was reached and that is no check's failure.
    pub(crate) fn note_limit(&self, words: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.limits_hit.iter().any(|known| known == words) {
            state.limits_hit.push(words.to_owned());
        }
    }

    /// Whether the prefixes of this network's translators matter, and may be asked for.
    pub(crate) fn asks_for_translators(&self) -> bool {
        self.reach.as_ref().is_some_and(Reach::asks_resolvers)
    }

    /// Takes what the system's resolver made of `ipv4only.arpa`.
    pub(crate) fn learn_translators(&self, addresses: &[IpAddr]) {
        if let Some(reach) = &self.reach {
            reach.learn(translators(addresses));
        }
    }

    /// Lets packets to an address through that `host` led to, where the policy allows that address under that name.
    ///
    /// # Errors
    /// `not_allowed` where it does not.
    pub fn named(&self, address: IpAddr, host: &str) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reach) = &self.reach {
            let ports: Vec<u16> = state.own_proxies.iter().filter(|own| own.host == host).map(|own| own.port).collect();
            if !ports.is_empty() {
                reach.proxy_address(host, address).map_err(not_allowed)?;
                state.proxy_addresses.extend(ports.iter().map(|port| SocketAddr::new(address, *port)));
                // It is open at its own port, and otherwise only where the policy names it.
                if reach.address(address, Some(host)).is_err() {
                    return Ok(());
                }
            } else {
                reach.address(address, Some(host)).map_err(not_allowed)?;
            }
        }
        state.met.insert(address);
        Ok(())
    }

    /// Before a host is asked for through a proxy, which alone sees its address. `proxy` is this machine's own: no set and no order names one.
    ///
    /// # Errors
    /// `not_allowed` where the policy does not name the host for that, or not the port, or denies the proxy.
    pub fn through_proxy(&self, proxy: &ProxyAddress, host: &str, port: u16) -> Result<(), Failure> {
        let Some(reach) = &self.reach else { return Ok(()) };
        reach.through_proxy(&proxy.host, host, port).map_err(not_allowed)?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).own_proxies.insert(proxy.clone());
        Ok(())
    }

    /// Before a host is looked up that a certificate names, such as for a missing issuer, for the fetch from it and for nothing else.
    ///
    /// # Errors
    /// `not_allowed` where the policy does not let what a server chose be asked.
    pub(crate) fn of_certificate(&self, host: &str) -> Result<Sources, Failure> {
        self.reach.as_ref().map_or(Ok(()), |reach| reach.certificate_host(host)).map_err(not_allowed)?;
        Ok(self.sources())
    }

    /// Whether such a fetch may go to `address`. It opens the address for nothing else.
    ///
    /// # Errors
    /// `not_allowed` where it may not.
    pub(crate) fn certificate_address(&self, address: IpAddr) -> Result<(), Failure> {
        self.reach.as_ref().map_or(Ok(()), |reach| reach.certificate_address(address)).map_err(not_allowed)
    }

    /// Before a library sends by itself: counts what it may send and receive at most.
    ///
    /// # Errors
    /// `budget_exhausted` where less is left.
    pub(crate) fn library(&self, bytes: u64) -> Result<(), Failure> {
        let mut state = self.state();
        if bytes > self.limits.bytes.saturating_sub(state.bytes) {
            return Err(self.bytes_used_up(&mut state));
        }
        state.bytes += bytes;
        Ok(())
    }

    /// Counts a datagram that came. It is there already: what it exceeds the budget by is missing to the next packet.
    pub(crate) fn received(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_add(bytes as u64);
    }

    /// Takes as many of these bytes as are left, one at least.
    ///
    /// # Errors
    /// As [`io::ErrorKind::QuotaExceeded`] where none is left. That may be only because another connection has them in its hands at that
    /// moment: at the very end of a budget it is the first that ends.
    pub(crate) fn take_bytes(&self, wanted: usize) -> io::Result<usize> {
        let mut state = self.state();
        let left = self.limits.bytes.saturating_sub(state.bytes);
        let granted = usize::try_from(left).unwrap_or(usize::MAX).min(wanted);
        if granted == 0 {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, self.bytes_used_up(&mut state).text));
        }
        state.bytes += granted as u64;
        Ok(granted)
    }

    /// Gives back what was taken and not needed.
    pub(crate) fn give_back(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes as u64);
    }

    /// Bytes that the run may still send and receive.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.limits.bytes.saturating_sub(self.state().bytes)
    }

    fn bytes_used_up(&self, state: &mut State) -> Failure {
        used_up(state, format!("the run's budget of {} bytes is used up", self.limits.bytes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a packet and says how long it has to wait. Pure but for the clock.
    fn admit(&self, to: Destination, data: usize) -> Result<Duration, Failure> {
        self.address(to)?;
        let address = to.address;
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.sent >= self.limits.packets {
            return Err(used_up(&mut state, format!("the run's budget of {} packets is used up", self.limits.packets)));
        }
        let bytes = if address.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 } + data as u64;
        if bytes > self.limits.bytes.saturating_sub(state.bytes) {
            return Err(self.bytes_used_up(&mut state));
        }
        state.sent += 1;
        state.bytes += bytes;
        // A token bucket kept as a time: the packets sent so far, at their interval, reach up to `next`, which may run ahead of the
        // clock by one second's burst.
        let interval = Duration::from_secs(1) / self.limits.per_target_rate;
        let burst = Duration::from_secs(1);
        // Two notations of one address lead to one machine.
        let target = self.reach.as_ref().map_or_else(|| plain(address), |reach| reach.plain(address));
        let next = state.next.entry(target).or_insert(Duration::ZERO);
        let turn = (*next).max(now);
        if let Some(slots) = self.limits.slots {
            let turn = slots.turn(turn);
            // The next one is another moment's.
            *next = turn + Duration::from_nanos(1);
            return Ok(turn - now);
        }
        *next = turn + interval;
        Ok((turn - now).saturating_sub(burst))
    }

    /// Whether packets to the address were let through.
    pub(crate) fn has_met(&self, address: IpAddr) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.met.contains(&address) || state.asked.contains(&address)
    }

    /// The flows that the run made.
    pub(crate) fn flows(&self) -> &Flows {
        &self.flows
    }

    /// Packets and connections that passed.
    pub fn sent(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sent
    }

    /// Bytes that were counted, sent and received.
    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Bounds that were reached, in words.
    pub fn limits_hit(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limits_hit.clone()
    }
}

/// The failure, which is noted among the limits that were reached.
fn used_up(state: &mut State, text: String) -> Failure {
    if !state.limits_hit.contains(&text) {
        state.limits_hit.push(text.clone());
    }
    Failure::new(FailureCode::BudgetExhausted, Step::Send, text)
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
        for text in [
            "::ffff:169.254.169.254",
            "10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1:2:a:909:900:0",
            "64:ff9b:1:a9fe:a9:fe00:808:808",
            "2001:0:cb00:7107::f5f6:f6f6",
            "2001:db8::5efe:10.9.9.9",
            "2002:a00:1::",
            "127.0.0.1",
        ] {
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
        let proxy = ProxyAddress { host: "proxy.example".into(), port: 3128 };
        assert!(gate.through_proxy(&proxy, "www.shop.example", 443).is_err(), "nobody sees the address behind a proxy");
        assert!(gate.of_certificate("ca.example").is_err());
    }

    #[test]
    fn this_machines_own_proxy_is_used_where_the_policy_names_what_is_behind_it() {
        let policy = "[targets]\nnames = [\"shop.example\"]\nproxied = [\"shop.example\"]\nports = [\"443\"]\n";
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        let gate = Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start());
        let proxy = SocketAddr::from(([10, 0, 0, 8], 3128));
        assert!(gate.named(proxy.ip(), "proxy.example").is_err(), "nothing is asked for through it yet");
        let own = ProxyAddress { host: "proxy.example".into(), port: 3128 };
        assert!(gate.through_proxy(&own, "other.example", 443).is_err());
        assert!(gate.through_proxy(&own, "shop.example", 22).is_err());
        assert!(gate.through_proxy(&own, "shop.example", 443).is_ok());
        assert!(gate.named(proxy.ip(), "proxy.example").is_ok() && gate.address(proxy).is_ok());
        assert!(gate.address(SocketAddr::new(proxy.ip(), 443)).is_err(), "another port of the proxy's machine");
        assert!(gate.address(proxy.ip()).is_err(), "an echo to the proxy's machine");
    }

    #[test]
    fn a_prefix_that_the_resolver_told_can_only_refuse() {
        let policy =
            "[targets]\nnames = [\"shop.example\"]\nnetworks = [\"198.51.100.0/24\"]\ndeny_networks = [\"203.0.113.66\"]\n";
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        let gate = Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start());
        let behind = |v4: &str| -> IpAddr {
            let v4: std::net::Ipv4Addr = v4.parse().unwrap();
            let [a, b, c, d] = v4.octets();
            format!("2001:db8:64::{a:02x}{b:02x}:{c:02x}{d:02x}").parse().unwrap()
        };
        assert!(gate.named(behind("10.0.0.1"), "shop.example").is_ok(), "nobody knows that it is a prefix");
        let gate = Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start());
        gate.learn_translators(&[behind("192.0.0.170"), behind("192.0.0.171")]);
        for hidden in ["10.0.0.1", "169.254.169.254", "127.0.0.1", "203.0.113.66"] {
            assert!(gate.named(behind(hidden), "shop.example").is_err(), "{hidden}");
        }
        assert!(gate.named(behind("203.0.113.7"), "shop.example").is_ok(), "the name opens it");
        assert!(
            gate.address(behind("198.51.100.1")).is_err(),
            "a network of IPv4 opens nothing behind a prefix that nobody vouches for"
        );
        assert!(gate.named("2001:db8:65::1".parse().unwrap(), "shop.example").is_ok(), "beside the prefix");
    }

    #[test]
    fn a_fetch_for_a_certificate_opens_nothing_else_at_its_host() {
        let policy = "[targets]\nnetworks = [\"192.0.2.0/24\"]\nports = [\"80\"]\ncertificate_urls = true\n";
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        let gate = Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start());
        let server = SocketAddr::from(([203, 0, 113, 66], 80));
        assert!(gate.of_certificate("ca.example").is_ok() && gate.certificate_address(server.ip()).is_ok());
        assert!(gate.address(Destination::of_certificate(server)).is_ok());
        assert!(gate.has_met(server.ip()), "the capture knows it as the run's own");
        assert!(gate.lookup("ca.example").is_err(), "a redirect names it as well");
        assert!(gate.named(server.ip(), "ca.example").is_err());
        assert!(gate.address(server).is_err() && gate.address(server.ip()).is_err());
        let other_port = SocketAddr::new(server.ip(), 8080);
        assert!(gate.address(Destination::of_certificate(other_port)).is_err(), "a port that the policy does not name");
        let private = SocketAddr::from(([10, 0, 0, 1], 80));
        assert!(gate.address(Destination::of_certificate(private)).is_err(), "it led elsewhere since");
    }

    #[test]
    fn the_name_of_an_address_is_asked_for_where_something_that_may_be_measured_led_to_it() {
        let gate = |deny: &str| {
            let policy = format!("[targets]\nnames = [\"shop.example\"]\n{deny}");
            let policy = netsonde_contract::policy::Policy::parse("policy.toml", &policy).unwrap();
            Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start())
        };
        let (target, router): (IpAddr, IpAddr) = ("203.0.113.7".parse().unwrap(), "203.0.113.1".parse().unwrap());
        let open = gate("");
        assert!(open.reverse(target, None).is_err(), "nothing led there yet");
        assert!(open.reverse(target, Some("shop.example")).is_ok());
        open.named(target, "shop.example").unwrap();
        assert!(open.reverse(target, None).is_ok() && open.reverse(router, None).is_err());
        let closed = gate("deny = [\"*.in-addr.arpa\"]\n");
        closed.named(target, "shop.example").unwrap();
        assert!(closed.reverse(target, None).is_err() && closed.reverse(target, Some("shop.example")).is_err());
        assert!(closed.question("7.113.0.203.in-addr.arpa.").is_err() && closed.question("shop.example.").is_ok());
    }

    #[test]
    fn what_the_policy_denies_stays_denied_to_a_proxy() {
        let own = ProxyAddress { host: "proxy.example".into(), port: 3128 };
        let gate = |deny: &str| {
            let policy = format!("[targets]\nnames = [\"shop.example\"]\nproxied = [\"shop.example\"]\n{deny}\n");
            let policy = netsonde_contract::policy::Policy::parse("policy.toml", &policy).unwrap();
            Gate::within(Reach::of(&policy, &[]), Limits::PERSON, Clock::start())
        };
        let by_network = gate("deny_networks = [\"10.0.0.0/24\"]");
        assert!(by_network.through_proxy(&own, "shop.example", 443).is_ok());
        assert!(by_network.named("10.0.0.8".parse().unwrap(), "proxy.example").is_err());
        assert!(by_network.named("10.0.1.8".parse().unwrap(), "proxy.example").is_ok());
        let by_name = gate("deny = [\"proxy.example\"]");
        assert!(by_name.through_proxy(&own, "shop.example", 443).is_err());
        let literal = ProxyAddress { host: "10.0.0.8".into(), port: 3128 };
        assert!(by_network.through_proxy(&literal, "shop.example", 443).is_err());
    }

    #[test]
    fn a_question_for_a_name_opens_nothing_else_at_the_resolver() {
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", "[targets]\nnames = [\"*\"]\n").unwrap();
        let resolver = SocketAddr::from(([127, 0, 0, 53], 53));
        let gate = Gate::within(Reach::of(&policy, &[resolver.ip()]), Limits::PERSON, Clock::start());
        assert!(gate.address(Destination::question(resolver, Question::Plain)).is_ok());
        assert!(gate.has_met(resolver.ip()));
        let web = SocketAddr::new(resolver.ip(), 8080);
        for closed in [resolver.into(), web.into(), resolver.ip().into(), Destination::question(web, Question::Plain)] {
            assert_eq!(gate.address(closed).unwrap_err().code, FailureCode::NotAllowed, "{closed:?}");
        }
        assert!(gate.named(resolver.ip(), "shop.example").is_err());
    }

    #[test]
    fn a_target_is_paced_after_its_burst() {
        let gate = gate(Limits { packets: 1_000, per_target_rate: 10, ..Limits::PERSON });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        let waits: Vec<Duration> = (0..30).map(|_| gate.admit(target.into(), 0).unwrap()).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "one second's packets go at once");
        assert!(waits[29] > Duration::from_millis(500), "{:?}", waits[29]);
        assert!(
            gate.admit("192.0.2.2".parse::<IpAddr>().unwrap().into(), 0).unwrap().is_zero(),
            "another target has a pace of its own"
        );
    }

    #[test]
    fn the_notations_of_one_address_share_its_pace() {
        let policy = "[targets]\nnetworks = [\"203.0.113.0/24\"]\nnat64 = [\"2001:db8:64::/96\"]\n";
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        let limits = Limits { per_target_rate: 1, ..Limits::PERSON };
        let slots = Some(Slots { interval: Duration::from_secs(5), first: Duration::ZERO });
        let ordered = |limits| Gate::within(Reach::of(&policy, &[]), limits, Clock::start());
        let waits = |gate: &Gate, texts: &[&str]| -> Vec<Duration> {
            texts.iter().map(|text| gate.admit(text.parse::<IpAddr>().unwrap().into(), 0).unwrap()).collect()
        };
        let known = ["203.0.113.7", "::ffff:203.0.113.7", "64:ff9b::203.0.113.7"];
        let own = [known.as_slice(), &["2001:db8:64::203.0.113.7"]].concat();
        for (gate, texts) in
            [(gate(limits), known.as_slice()), (ordered(limits), &own), (ordered(Limits { slots, ..limits }), &own)]
        {
            let waits = waits(&gate, texts);
            assert!(waits[texts.len() - 1].saturating_sub(waits[0]) > Duration::from_millis(900), "{waits:?}");
        }
    }

    #[test]
    fn a_share_below_one_packet_a_second_is_kept_to_the_packet() {
        let slots = Slots { interval: Duration::from_secs(5), first: Duration::from_secs(3_600) };
        let gate = gate(Limits { slots: Some(slots), ..Limits::PERSON });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        let waits: Vec<Duration> = (0..3).map(|_| gate.admit(target.into(), 0).unwrap()).collect();
        assert!(waits[0] > Duration::from_secs(3_590), "no burst goes before its turn: {:?}", waits[0]);
        for (one, next) in waits.iter().zip(&waits[1..]) {
            let between = (*next - *one).as_secs_f64();
            assert!((4.9..=5.0).contains(&between), "{waits:?}");
        }
    }

    #[test]
    fn the_budget_ends_the_sending_and_is_said() {
        let gate = gate(Limits { packets: 2, per_target_rate: 10, ..Limits::PERSON });
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        gate.admit(target.into(), 0).unwrap();
        gate.admit(target.into(), 0).unwrap();
        assert_eq!(gate.admit(target.into(), 0).unwrap_err().code, FailureCode::BudgetExhausted);
        assert_eq!(gate.limits_hit().len(), 1);
    }

    #[test]
    fn bytes_end_the_sending_too_and_are_named() {
        let gate = gate(Limits { bytes: 300, ..Limits::PERSON });
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        gate.admit(v4.into(), 100).unwrap();
        gate.admit(v6.into(), 0).unwrap();
        assert_eq!((gate.bytes(), gate.sent()), (200, 2), "headers count");
        let failure = gate.admit(v4.into(), 61).unwrap_err();
        assert_eq!(
            (failure.code, failure.text.as_str()),
            (FailureCode::BudgetExhausted, "the run's budget of 300 bytes is used up")
        );
        assert_eq!(gate.library(101).unwrap_err().code, FailureCode::BudgetExhausted);
        gate.admit(v4.into(), 60).unwrap();
        assert_eq!(gate.take_bytes(1).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!((gate.limits_hit().len(), gate.sent()), (1, 3));
    }

    #[test]
    fn an_answer_that_was_larger_than_what_was_left_leaves_nothing() {
        let gate = gate(Limits { bytes: 300, ..Limits::PERSON });
        gate.received(65_535);
        assert_eq!(gate.admit("192.0.2.1".parse::<IpAddr>().unwrap().into(), 0).unwrap_err().code, FailureCode::BudgetExhausted);
        assert_eq!(gate.bytes_left(), 0);
    }
}
