use jiff::{SignedDuration, Timestamp};
use netsonde_contract::id::AgentId;
use std::collections::{HashMap, VecDeque};

/// A process that came back so often after others is no accident: of one that ended, a request that was slow on its way may come after its successor's, and so
/// its successor seems to come back as well, once each.
const RETURNS: u8 = 4;
/// … within this time. Two that run at once displace each other as fast as they ask.
const WINDOW: SignedDuration = SignedDuration::from_mins(3);
/// More processes than these that ask in turn are noticed all the same, as soon as two of them meet again and again.
const REMEMBERED: usize = 8;

/// Who asks for work: which process, and how often that process has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) instance: u128,
    pub(crate) turn: u64,
}

/// Notices two running processes with one identity: a copied machine, or a copy of a running one. Pure.
///
/// An agent has one request under way at a time, and its process a number of its own. After a restart another process asks, and the
/// former one never again, but for a request that was slow on its way. So a process that *comes back* after another one asked is a second
/// machine, where it goes on. A machine that was copied while it ran brings its process's number along; there the count of requests, which within
/// one process only grows, goes back and forth.
#[derive(Default)]
pub(super) struct Twins {
    agents: HashMap<AgentId, Course>,
}

struct Course {
    last: Asker,
    /// How often the last one came back.
    returns: u8,
    /// Processes that asked before the last one, the latest at the end, and how often each came back.
    earlier: VecDeque<(u128, u8)>,
    /// When they began to be counted.
    since: Timestamp,
}

impl Twins {
    /// Takes a request in; true where it shows that two processes have this identity, of which the next request knows nothing any more.
    pub(super) fn ask(&mut self, agent: &AgentId, asker: Asker, now: Timestamp) -> bool {
        let Some(course) = self.agents.get_mut(agent) else {
            self.agents.insert(agent.clone(), Course { last: asker, returns: 0, earlier: VecDeque::new(), since: now });
            return false;
        };
        let age = now.duration_since(course.since);
        // A clock that was set back begins anew, too.
        if age > WINDOW || age.is_negative() {
            course.forget(now);
        }
        course.take(asker);
        let is_twice = course.returns >= RETURNS;
        if is_twice {
            self.agents.remove(agent);
        }
        is_twice
    }
}

impl Course {
    fn forget(&mut self, now: Timestamp) {
        (self.returns, self.since) = (0, now);
        self.earlier.iter_mut().for_each(|(_, returns)| *returns = 0);
    }

    /// Counts where the request comes from a process that another had taken the place of.
    fn take(&mut self, asker: Asker) {
        let before = std::mem::replace(&mut self.last, asker);
        if before.instance == asker.instance {
            self.returns += u8::from(asker.turn <= before.turn);
            return;
        }
        let place = self.earlier.iter().position(|(instance, _)| *instance == asker.instance);
        let returns = place.and_then(|place| self.earlier.remove(place)).map_or(0, |(_, returns)| returns + 1);
        self.earlier.push_back((before.instance, std::mem::replace(&mut self.returns, returns)));
        if self.earlier.len() > REMEMBERED {
            self.earlier.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of the request that showed it, from 1; each is an instance, its turn and the second at which it came.
    fn noticed(requests: impl IntoIterator<Item = (u128, u64, i64)>) -> Option<usize> {
        let (mut twins, agent) = (Twins::default(), AgentId::new("a"));
        let mut requests = requests.into_iter();
        requests
            .position(|(instance, turn, at)| {
                twins.ask(&agent, Asker { instance, turn }, Timestamp::from_second(1_700_000_000 + at).unwrap())
            })
            .map(|place| place + 1)
    }

    #[test]
    fn two_processes_that_displace_each_other_are_noticed_within_a_few_requests() {
        let to_and_fro = |between: i64| (0..40).map(move |number| (number % 2, number as u64 / 2, number as i64 * between));
        assert_eq!(noticed(to_and_fro(0)), Some(9));
        assert!(noticed(to_and_fro(20)).is_some_and(|place| place <= 20), "also where both rest between");
        assert!(noticed((0..60).map(|number| (number % 3, number as u64, 0))).is_some(), "three of them");
    }

    #[test]
    fn a_machine_that_was_copied_while_it_ran_is_noticed_by_its_count() {
        let lockstep = (0..40).map(|number| (1, 100 + number / 2, number as i64));
        assert!(noticed(lockstep).is_some_and(|place| place <= 9));
        let apart = (0..40_u64).map(|number| (1, if number % 2 == 0 { 100 + number } else { 50 + number }, 0));
        assert!(noticed(apart).is_some_and(|place| place <= 14));
    }

    #[test]
    fn restarts_are_no_copies_also_where_each_leaves_a_slow_request_on_its_way() {
        let mut requests = Vec::new();
        for restart in 0..50_u64 {
            let at = restart as i64 * 70;
            let own = u128::from(restart) + 1;
            requests.extend([(own, 0, at), (own - 1, 9, at + 1), (own, 1, at + 2), (own, 2, at + 60)]);
        }
        assert_eq!(noticed(requests), None);
        assert_eq!(noticed((0..200).map(|restart| (restart, 0, 0))), None, "a service that starts in a loop");
    }

    #[test]
    fn a_machine_put_back_to_an_older_state_is_one_machine() {
        let back = (0..100).map(|number| (1, if number < 50 { 500 + number } else { 100 + number }, number as i64));
        assert_eq!(noticed(back), None);
        // A path that delivers a request late, again and again, and an hour apart.
        let late = (0..100_u64).map(|number| (1, number / 2 * 2 + (number + 1) % 2, number as i64 * 1_800));
        assert_eq!(noticed(late), None);
    }
}
