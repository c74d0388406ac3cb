//! Where only redirects led: hosts, ports and addresses that nobody asked for by themselves. What was seen of the target's own address
//! says nothing of them.

use super::endpoint::host_of;
use super::{Attempt, Evidence};
use crate::spot::Spot;
use netsonde_contract::observation::{Echo, Exchange};
use std::net::IpAddr;

impl<'a> Evidence<'a> {
    /// Follow-ups at an address that only a redirect led to are about that host as well.
    pub(super) fn set_redirected(&mut self) {
        let addresses: Vec<IpAddr> =
            self.attempts.iter().map(|attempt| attempt.address.ip()).filter(|address| self.is_redirected(*address)).collect();
        for attempt in self.attempts.iter_mut().filter(|attempt| addresses.contains(&attempt.address.ip())) {
            attempt.redirected = true;
        }
    }

    /// Nothing but redirects led to the address.
    pub(crate) fn is_redirected(&self, address: IpAddr) -> bool {
        let mut attempts =
            self.attempts.iter().filter(|attempt| attempt.address.ip() == address && !attempt.by_follow_up).peekable();
        attempts.peek().is_some() && attempts.all(|attempt| attempt.redirected)
    }

    /// The host that the address was asked for as: the target's, or the one that a redirect named.
    pub(crate) fn host_at(&self, address: IpAddr) -> String {
        let of_redirect = |attempt: &&Attempt<'_>| attempt.address.ip() == address && !attempt.by_follow_up;
        let redirected = self.is_redirected(address).then(|| self.attempts.iter().find(of_redirect)).flatten();
        let by_redirect = redirected.map(|attempt| attempt.host.to_owned());
        let between = || self.is_between(address).map(str::to_owned);
        by_redirect.or_else(|| self.listed_as(address)).or_else(between).unwrap_or_else(|| self.host())
    }

    /// What the address was listed as, where a sweep asked for it beside the target: it is no address of the target's.
    fn listed_as(&self, address: IpAddr) -> Option<String> {
        let target = self.target?;
        // What follows a check up names the address alone.
        let asked = |echo: &&super::Seen<'_, Echo>| echo.address == address && echo.outcome.separates.is_empty();
        let echoes = self.echoes.iter().filter(asked).map(|echo| &echo.fact.host);
        let sweeps = self.port_sweeps.iter().filter(|sweep| sweep.address == address).map(|sweep| &sweep.host);
        let is_target = |host: &str| host.trim_end_matches('.').eq_ignore_ascii_case(target.host.trim_end_matches('.'));
        let hosts: Vec<&String> = echoes.chain(sweeps).collect();
        // What is asked further is asked by address: where the target's name led there, it is the target's all the same.
        let own = self.attempts.iter().any(|attempt| attempt.address.ip() == address && is_target(attempt.host));
        hosts.first().filter(|_| !own && !hosts.iter().any(|host| is_target(host))).map(|host| (*host).clone())
    }

    /// Other attempts that went to the same host as those to this address did, at other addresses of it.
    pub(super) fn attempts_beside(&self, address: IpAddr) -> impl Iterator<Item = &Attempt<'a>> {
        let redirected = self.is_redirected(address);
        let host = self.host_at(address);
        self.attempts.iter().filter(move |attempt| {
            let same_host = if redirected { attempt.host.eq_ignore_ascii_case(&host) } else { !attempt.redirected };
            attempt.address.ip() != address && same_host
        })
    }

    /// The URL whose redirect led to the spot, where nothing else did.
    pub(crate) fn led_by(&self, spot: &Spot) -> Option<&'a str> {
        let concerns = |exchange: &Exchange| {
            let direct = exchange.address.filter(|_| exchange.proxy.is_none());
            match spot {
                Spot::Everything => false,
                Spot::Name(name) => host_of(&exchange.url).eq_ignore_ascii_case(name),
                Spot::Address(address) => direct.is_some_and(|direct| direct.ip() == *address),
                Spot::Endpoint(endpoint) => direct == Some(*endpoint),
                Spot::Url(url) => exchange.url == *url,
            }
        };
        let by_attempt = |attempt: &Attempt<'_>| {
            !attempt.redirected && !attempt.by_follow_up && (spot.contains(&Spot::Endpoint(attempt.address)))
        };
        let by_name = |name: &str| self.target.is_some_and(|target| target.host.eq_ignore_ascii_case(name));
        let asked_for = match spot {
            Spot::Everything => true,
            Spot::Name(name) => by_name(name),
            // Within one host redirects from one page to another are how sites are made.
            Spot::Url(url) => by_name(host_of(url)),
            Spot::Address(_) | Spot::Endpoint(_) => self.attempts.iter().any(by_attempt),
        };
        if asked_for || self.exchanges.iter().any(|exchange| exchange.redirect == 0 && concerns(exchange)) {
            return None;
        }
        let led = self.exchanges.iter().find(|exchange| exchange.redirect > 0 && concerns(exchange))?;
        let before = self
            .exchanges
            .iter()
            .find(|exchange| exchange.outcome.check == led.outcome.check && exchange.redirect + 1 == led.redirect)?;
        Some(&before.fact.url)
    }
}
