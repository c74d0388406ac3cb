use crate::clock::Clock;
use crate::gate::Gate;
use crate::origins::Origins;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
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
        let addresses = self.answer(host).await.addresses?;
        let mut refusal = None;
        let allowed: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|address| match gate.named(*address, host) {
                Ok(()) => true,
                Err(failure) => {
                    refusal = Some(failure);
                    false
                }
            })
            .take(Self::MAX_ADDRESSES)
            .collect();
        match refusal {
            Some(failure) if allowed.is_empty() => Err(failure),
            _ => Ok(allowed),
        }
    }

    /// The system's own answer, whatever the gate says to the addresses: a fact to record, not a list to send to.
    ///
    /// The question goes on in a task of its own, so that a check whose time is over takes nothing from those that also wait.
    pub async fn answer(&self, host: &str) -> Answer {
        let asked = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(host.to_owned()).or_insert_with(|| ask(host.to_owned())).clone()
        };
        asked.await
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

fn ask(host: String) -> Shared<BoxFuture<'static, Answer>> {
    let clock = Clock::start();
    let asking = tokio::spawn(async move {
        let addresses = system_addresses(&host).await;
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

async fn system_addresses(host: &str) -> Result<Vec<IpAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
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

    #[tokio::test]
    async fn names_apart_are_asked_again() {
        let names = Names::default();
        names.answer("127.0.0.3").await.addresses.unwrap();
        assert!(names.known.lock().unwrap().contains_key("127.0.0.3"));
        assert!(names.apart().known.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_check_that_gives_up_costs_the_others_nothing() {
        let names = Names::default();
        let mut given_up = names.answer("127.0.0.2").boxed();
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        assert!(names.answer("127.0.0.2").await.addresses.is_ok());
    }
}
