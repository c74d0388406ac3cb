use crate::clock::Clock;
use crate::dns::name_sources;
use crate::gate::{Gate, LOOKUP_BYTES, Sources};
use crate::origins::Origins;
use crate::zone;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Host names to addresses by the system's resolver (getaddrinfo), each name asked once a run, so that all checks of a target
/// aim at the same addresses.
#[derive(Default)]
pub struct Names {
    known: Mutex<HashMap<String, Shared<BoxFuture<'static, Answer>>>>,
    origins: Origins,
}

/// What getaddrinfo gave.
#[derive(Clone, Debug)]
pub struct Answer {
    /// In the system's order (RFC 6724), each once, at least one.
    pub addresses: Result<Vec<IpAddr>, Failure>,
    pub took: Duration,
}

impl Names {
    /// Only so many addresses of a name are used: the bound of every per-address measurement.
    pub const MAX_ADDRESSES: usize = 16;

    /// Answers for this name by itself.
    #[cfg(test)]
    pub(crate) fn knowing(host: &str, addresses: &[IpAddr]) -> Self {
        let answer = Answer { addresses: Ok(addresses.to_vec()), took: Duration::ZERO };
        let known = HashMap::from([(host.to_owned(), futures_util::future::ready(answer).boxed().shared())]);
        Self { known: Mutex::new(known), ..Self::default() }
    }

    /// Knows also whose addresses are, by the file that the person at the command line gave.
    pub fn with_origins(origins: Origins) -> Self {
        Self { origins, ..Self::default() }
    }

    /// The same system, asked anew: nothing that was answered so far is known.
    pub fn apart(&self) -> Self {
        Self { known: Mutex::default(), origins: self.origins.clone() }
    }

    pub(crate) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The addresses of `host`, in the system's order (RFC 6724), each once and each allowed by the gate. An address stands for itself.
    ///
    /// # Errors
    /// `no_address` or `resolve_failed` where the name does not resolve, `not_allowed` where the gate refuses every address.
    pub async fn resolve(&self, gate: &Gate, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let addresses = self.answer(gate, host).await.addresses?;
        allowed(addresses, |address| gate.named(address, host))
    }

    /// The addresses of a host that a certificate names, each allowed for the fetch from it. Neither host nor addresses are open to anything else.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(crate) async fn of_certificate(&self, gate: &Gate, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let sources = gate.of_certificate(host)?;
        let addresses = self.asked(gate, host, sources).await.addresses?;
        allowed(addresses, |address| gate.certificate_address(address))
    }

    /// The system's own answer, whatever the gate says to the addresses: a fact to record, not a list to send to. A name that the gate does not let
    /// be asked for is asked of nobody, and that is the answer.
    ///
    /// The question goes on in a task of its own, so that a check whose time is over takes nothing from those that also wait.
    pub async fn answer(&self, gate: &Gate, host: &str) -> Answer {
        let sources = match host.parse::<IpAddr>() {
            Ok(_) => Sources::System,
            Err(_) => match gate.lookup(host) {
                Ok(sources) => sources,
                Err(refusal) => return Answer { addresses: Err(refusal), took: Duration::ZERO },
            },
        };
        self.asked(gate, host, sources).await
    }

    async fn asked(&self, gate: &Gate, host: &str, sources: Sources) -> Answer {
        let is_asked = sources == Sources::System && host.parse::<IpAddr>().is_err();
        let asked = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            match known.get(host) {
                Some(asked) => asked.clone(),
                None => {
                    if let Err(refusal) = if is_asked { gate.library(LOOKUP_BYTES) } else { Ok(()) } {
                        return Answer { addresses: Err(refusal), took: Duration::ZERO };
                    }
                    known.entry(host.to_owned()).or_insert_with(|| ask(host.to_owned(), sources)).clone()
                }
            }
        };
        asked.await
    }
}

/// Who is asked for the prefix of this network's own NAT64: every DNS64 makes addresses of it (RFC 7050).
const IPV4_ONLY: &str = "ipv4only.arpa.";

/// How long a run waits for that before it begins; what is told later counts from then on.
const TRANSLATOR_PATIENCE: Duration = Duration::from_secs(2);

impl Names {
    /// Has the gate know the prefixes of this network's own NAT64, as far as the system's resolver tells them, so that no address behind one hides
    /// from the policy. Nobody is asked where nobody is held back, or where the policy lets no resolver be asked.
    pub async fn learn_translators(&self, gate: &Arc<Gate>) {
        if !gate.asks_for_translators() || gate.library(LOOKUP_BYTES).is_err() {
            return;
        }
        let asked = ask(IPV4_ONLY.to_owned(), Sources::System);
        let gate = Arc::clone(gate);
        let learning = tokio::spawn(async move {
            if let Ok(addresses) = asked.await.addresses {
                gate.learn_translators(&addresses);
            }
        });
        // It goes on by itself.
        let _ = tokio::time::timeout(TRANSLATOR_PATIENCE, learning).await;
    }
}

/// Those that may be sent to, or the last refusal where none may.
fn allowed(addresses: Vec<IpAddr>, may: impl Fn(IpAddr) -> Result<(), Failure>) -> Result<Vec<IpAddr>, Failure> {
    let mut refusal = None;
    let allowed: Vec<IpAddr> = addresses
        .into_iter()
        .filter(|address| match may(*address) {
            Ok(()) => true,
            Err(failure) => {
                refusal = Some(failure);
                false
            }
        })
        .take(Names::MAX_ADDRESSES)
        .collect();
    match refusal {
        Some(failure) if allowed.is_empty() => Err(failure),
        _ => Ok(allowed),
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

fn ask(host: String, sources: Sources) -> Shared<BoxFuture<'static, Answer>> {
    let clock = Clock::start();
    let asking = tokio::spawn(async move {
        let addresses = match sources {
            Sources::System => system_addresses(&host).await,
            Sources::HostsFile => listed_addresses(&host).await,
        };
        Answer { addresses, took: clock.now() }
    });
    let answer = async move {
        asking.await.unwrap_or_else(|error| Answer {
            addresses: Err(Failure::new(FailureCode::ResolveFailed, Step::Resolve, error.to_string())),
            took: clock.now(),
        })
    };
    answer.boxed().shared()
}

/// What the hosts file says (hosts(5)), where nobody may be asked.
async fn listed_addresses(host: &str) -> Result<Vec<IpAddr>, Failure> {
    let mut addresses = Vec::new();
    for line in name_sources(host).await.map(|sources| sources.hosts).unwrap_or_default() {
        if !addresses.contains(&line.address) {
            addresses.push(line.address);
        }
    }
    if addresses.is_empty() {
        let text =
            format!("the policy lets no resolver be asked (`targets.resolvers`), and the hosts file has no line for {host}");
        return Err(Failure::new(FailureCode::NotAllowed, Step::Resolve, text));
    }
    Ok(addresses)
}

async fn system_addresses(host: &str) -> Result<Vec<IpAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if let Some(zoned) = zone::named(host) {
        return zoned.map(|address| vec![address]);
    }
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => {
            let mut addresses = Vec::new();
            for socket in found {
                if !addresses.contains(&socket.ip()) {
                    addresses.push(socket.ip());
                }
            }
            if addresses.is_empty() {
                return Err(Failure::new(
                    FailureCode::NoAddress,
                    Step::Resolve,
                    format!("the system found no address for {host}"),
                ));
            }
            Ok(addresses)
        }
        Err(error) => {
            let mut failure = Failure::from_io(&error, Step::Resolve);
            failure.code = FailureCode::ResolveFailed;
            Err(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Limits;

    #[tokio::test]
    async fn an_address_stands_for_itself_and_the_gate_decides() {
        let names = Names::default();
        let open = Gate::new(Limits::PERSON, Clock::start());
        let closed = crate::gate::closed(Clock::start());
        assert_eq!(names.resolve(&open, "127.0.0.1").await.unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(names.resolve(&closed, "127.0.0.1").await.unwrap_err().code, FailureCode::NotAllowed);
    }

    fn gate_of(policy: &str) -> Gate {
        let policy = netsonde_contract::policy::Policy::parse("policy.toml", policy).unwrap();
        Gate::within(netsonde_contract::policy::Reach::of(&policy, &[]), Limits::PERSON, Clock::start())
    }

    #[tokio::test]
    async fn a_name_that_the_policy_does_not_name_is_asked_of_nobody() {
        let names = Names::default();
        let gate = gate_of("[targets]\nnames = [\"shop.example\"]\n");
        assert_eq!(names.resolve(&gate, "secret-token.evil.test").await.unwrap_err().code, FailureCode::NotAllowed);
        assert_eq!(names.answer(&gate, "secret-token.evil.test").await.addresses.unwrap_err().code, FailureCode::NotAllowed);
        assert!(names.known.lock().unwrap().is_empty(), "nothing was asked");
    }

    #[tokio::test]
    async fn what_a_certificate_names_is_open_to_the_fetch_alone() {
        let gate = gate_of("[targets]\nnames = [\"shop.example\"]\ncertificate_urls = true\n");
        let names = Names::knowing("issuer.example", &["203.0.113.66".parse().unwrap()]);
        assert_eq!(names.of_certificate(&gate, "issuer.example").await.unwrap().len(), 1);
        assert_eq!(names.resolve(&gate, "issuer.example").await.unwrap_err().code, FailureCode::NotAllowed);
        assert_eq!(names.resolve(&gate, "203.0.113.66").await.unwrap_err().code, FailureCode::NotAllowed);
        let inside = Names::knowing("issuer.example", &["10.0.0.1".parse().unwrap()]);
        assert_eq!(inside.of_certificate(&gate, "issuer.example").await.unwrap_err().code, FailureCode::NotAllowed);
        let closed = gate_of("[targets]\nnames = [\"shop.example\"]\n");
        assert_eq!(names.of_certificate(&closed, "issuer.example").await.unwrap_err().code, FailureCode::NotAllowed);
    }

    #[tokio::test]
    async fn without_resolvers_a_name_has_the_addresses_of_the_hosts_file_only() {
        let gate = gate_of("[targets]\nnames = [\"*\"]\nnetworks = [\"127.0.0.0/8\"]\nresolvers = false\n");
        let unlisted = Names::default().resolve(&gate, "nowhere.invalid").await.unwrap_err();
        assert!(unlisted.text.contains("targets.resolvers"), "{unlisted:?}");
        let listed = Names::default().resolve(&gate, "127.0.0.1").await;
        assert_eq!(listed.unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn names_apart_are_asked_again() {
        let names = Names::default();
        names.answer(&Gate::new(Limits::PERSON, Clock::start()), "127.0.0.3").await.addresses.unwrap();
        assert!(names.known.lock().unwrap().contains_key("127.0.0.3"));
        assert!(names.apart().known.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_check_that_gives_up_costs_the_others_nothing() {
        let names = Names::default();
        let gate = Gate::new(Limits::PERSON, Clock::start());
        let mut given_up = names.answer(&gate, "127.0.0.2").boxed();
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        assert!(names.answer(&gate, "127.0.0.2").await.addresses.is_ok());
    }
}
