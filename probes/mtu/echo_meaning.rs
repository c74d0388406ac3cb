//! What comes of an echo request that may not be cut, as the search takes it. Pure.
//!
//! Windows gives one word, IP_PACKET_TOO_BIG, to three cases. A router says it under its own address; the size that it named is not handed on.
//! The machine says it for its own interface, under no address or one of its own; and in the same way for a path of which a router has told it
//! before, in this search or long ago: the size is then one that the interface would take.

use super::search::{Event, Why};
use crate::packet::echo_status::Verdict;
use netsonde_contract::failure::{Failure, FailureCode, IcmpMeaning};
use std::net::IpAddr;

/// What counts of the machine that sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// The largest packet that its interface towards the target takes, in bytes; none where that is not known, or there is no limit.
    pub(super) mtu: Option<u32>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Own {
    /// # Errors
    /// Where the request did not leave for a reason other than its size.
    pub(super) fn event(&self, size: u32, verdict: Verdict) -> Result<Event, Failure> {
        match verdict {
            Verdict::Reply => Ok(Event::Passed),
            Verdict::Silence => Ok(Event::Silent),
            Verdict::Error(icmp) if icmp.meaning() != IcmpMeaning::PacketTooBig => Ok(Event::Refused(icmp)),
            Verdict::Error(icmp) if self.addresses.contains(&icmp.offender) => Ok(self.refused(size)),
            Verdict::Error(icmp) => Ok(Event::TooBig(icmp)),
            Verdict::Unsent(failure) if failure.code == FailureCode::MessageTooLong => Ok(self.refused(size)),
            Verdict::Unsent(failure) => Err(failure),
        }
    }

    /// What it means that the machine itself does not send the size.
    pub(super) fn refused(&self, size: u32) -> Event {
        let interface_takes = self.mtu.is_some_and(|mtu| size <= mtu);
        Event::NotSent(if interface_takes { Why::TooBig } else { Why::Interface })
    }

    /// What is to be held back, where the system would cut it without a word, as it does with IPv6, and send it in pieces that pass: what is
    /// larger than the interface takes, or than routers told of the path (`path`).
    pub(super) fn held_back(&self, size: u32, path: Option<u32>) -> Option<Event> {
        let whole = self.mtu.into_iter().chain(path).min()?;
        (size > whole).then(|| self.refused(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtu::search::{Found, Probe, Search};
    use crate::packet::echo_status::verdict;
    use netsonde_contract::observation::MtuLimit;

    const TARGET: &str = "192.0.2.7";
    const ROUTER: &str = "10.0.0.1";
    const OWN: &str = "192.168.1.5";
    const NOBODY: &str = "0.0.0.0";
    const REPLY: u32 = 0;
    const PACKET_TOO_BIG: u32 = 11_009;
    const TIMED_OUT: u32 = 11_010;

    /// A machine whose interface takes so many bytes.
    fn own(mtu: u32) -> Own {
        Own { mtu: Some(mtu), addresses: vec![OWN.parse().unwrap()] }
    }

    /// Runs a search over replies as the system tells them, each a status with who sent it; the reply is to the n-th request, before which the
    /// search rested or not. What was found, and the sizes asked.
    fn search(own: &Own, mut reply: impl FnMut(Probe, usize) -> (u32, &'static str)) -> (Found, Vec<u32>) {
        let mut search = Search::new(TARGET.parse().unwrap(), 1_500, 2);
        let mut sent = Vec::new();
        while let Some(probe) = search.next() {
            sent.push(probe.size);
            let (status, from) = reply(probe, sent.len());
            search.handle(probe.size, own.event(probe.size, verdict(status, from.parse().unwrap())).unwrap());
        }
        (search.found(), sent)
    }

    fn above(limit: u32, size: u32, otherwise: (u32, &'static str)) -> (u32, &'static str) {
        if size <= limit { (REPLY, TARGET) } else { otherwise }
    }

    #[test]
    fn a_path_of_the_usual_size_takes_a_small_request_and_a_large_one() {
        let (found, sent) = search(&own(1_500), |_, _| (REPLY, TARGET));
        assert_eq!((found.passed, found.stopped, found.limit, sent), (Some(1_500), None, MtuLimit::None, vec![576, 1_500]));
    }

    #[test]
    fn a_router_that_tells_is_named_though_the_machine_says_the_rest_from_its_memory() {
        for machine in [NOBODY, OWN] {
            let mut told = false;
            let (found, _) = search(&own(1_500), |probe, _| {
                let who = if told { machine } else { ROUTER };
                told |= probe.size > 1_400;
                above(1_400, probe.size, (PACKET_TOO_BIG, who))
            });
            assert_eq!((found.passed, found.stopped, found.limit), (Some(1_400), Some(1_401), MtuLimit::Told));
            let router = found.told.unwrap();
            assert_eq!((router.offender.to_string().as_str(), router.mtu), (ROUTER, None), "its size is not handed on");
            assert!(found.disbelieved.is_empty());
        }
    }

    #[test]
    fn a_router_that_says_it_each_time_is_believed_to_the_byte() {
        let (found, _) = search(&own(1_500), |probe, _| above(1_372, probe.size, (PACKET_TOO_BIG, ROUTER)));
        assert_eq!((found.passed, found.stopped, found.limit), (Some(1_372), Some(1_373), MtuLimit::Told));
    }

    #[test]
    fn a_size_that_the_machine_has_from_before_is_told_by_nobody_and_is_no_interfaces() {
        let (found, _) = search(&own(1_500), |probe, _| above(1_400, probe.size, (PACKET_TOO_BIG, NOBODY)));
        assert_eq!((found.passed, found.stopped, found.limit, found.told), (Some(1_400), Some(1_401), MtuLimit::Told, None));
    }

    #[test]
    fn large_requests_that_vanish_beside_small_ones_that_are_answered_meet_a_black_hole() {
        let (found, sent) = search(&own(1_500), |probe, _| above(1_372, probe.size, (TIMED_OUT, NOBODY)));
        assert_eq!((found.passed, found.stopped, found.limit), (Some(1_372), Some(1_373), MtuLimit::Untold));
        // Each size that vanished did so twice, with the small one answered behind it.
        assert!(found.told.is_none() && sent.iter().filter(|size| **size == 1_373).count() == 2, "{sent:?}");
        assert!(sent.iter().filter(|size| **size == 576).count() > 2, "{sent:?}");
    }

    #[test]
    fn a_host_that_answers_no_pings_is_asked_with_small_ones_alone_and_nothing_is_found() {
        let (found, sent) = search(&own(1_500), |_, _| (TIMED_OUT, NOBODY));
        assert_eq!((found.passed, found.stopped, found.limit, sent), (None, None, MtuLimit::Unknown, vec![576, 576]));
    }

    #[test]
    fn answers_that_a_rate_limits_are_waited_for_and_large_requests_are_not_held_against_the_path() {
        // One, and one more after each rest.
        let mut left = 1_u32;
        let (found, _) = search(&own(1_500), |probe, _| {
            left += u32::from(probe.rested);
            let answered = left > 0;
            left -= u32::from(answered);
            if answered { (REPLY, TARGET) } else { (TIMED_OUT, NOBODY) }
        });
        assert_eq!((found.passed, found.limit), (Some(1_500), MtuLimit::None));
        // And where something is lost now and then: each size has a second try.
        let (found, _) = search(&own(1_500), |_, at| if at == 2 { (TIMED_OUT, NOBODY) } else { (REPLY, TARGET) });
        assert_eq!((found.passed, found.limit), (Some(1_500), MtuLimit::None));
        // A host that falls silent is no black hole.
        let (found, _) = search(&own(1_500), |_, at| if at == 1 { (REPLY, TARGET) } else { (TIMED_OUT, NOBODY) });
        assert_eq!((found.passed, found.stopped, found.limit), (Some(576), None, MtuLimit::Unknown));
    }

    #[test]
    fn the_machines_own_interface_is_told_from_the_path_whatever_address_the_system_gives() {
        for (of, who) in [(own(1_400), NOBODY), (own(1_400), OWN), (Own::default(), NOBODY)] {
            let (found, _) = search(&of, |probe, _| above(1_400, probe.size, (PACKET_TOO_BIG, who)));
            assert_eq!((found.passed, found.stopped, found.limit), (Some(1_400), Some(1_401), MtuLimit::Interface), "{who}");
            assert!(found.told.is_none());
        }
    }

    #[test]
    fn what_ipv6_would_be_cut_into_is_held_back() {
        let own = own(1_500);
        assert_eq!(own.held_back(1_500, None), None);
        assert_eq!(own.held_back(1_501, None), Some(Event::NotSent(Why::Interface)));
        assert_eq!(own.held_back(1_401, Some(1_400)), Some(Event::NotSent(Why::TooBig)));
        assert_eq!(own.held_back(1_400, Some(1_400)), None);
        assert_eq!(own.held_back(1_501, Some(9_000)), Some(Event::NotSent(Why::Interface)));
        assert_eq!(Own::default().held_back(9_000, None), None, "as on the loopback");
    }

    #[test]
    fn other_errors_end_it_and_a_machine_without_a_way_says_so() {
        let event = |status, from: &str| own(1_500).event(576, verdict(status, from.parse().unwrap()));
        let Ok(Event::Refused(icmp)) = event(11_003, ROUTER) else { panic!("a router's word") };
        assert_eq!(icmp.offender.to_string(), ROUTER);
        assert_eq!(event(11_002, NOBODY).unwrap_err().code, FailureCode::NetworkUnreachable);
    }
}
