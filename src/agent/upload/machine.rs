//! The resumable upload as a pure state machine: answers in, requests out (draft-ietf-httpbis-resumable-upload, interop version 8).
//!
//! Create, append part by part, and after every doubt ask for the offset before going on. The backend knows a bundle by its id, so
//! creating it again is always safe: what is already stored answers with its receipt.

use super::answer::{Answer, Body, Failure};
use netsonde_contract::api::{MAX_APPEND_BYTES, Problem, ProblemCode};
use std::time::Duration;

/// Failures in a row before giving up, once the backend has answered at all: half a minute of waiting in sum.
const MAX_FAILURES: u32 = 6;
/// Before it ever answered: the machine most likely cannot reach it, and a person waits for the result.
const MAX_FAILURES_UNHEARD: u32 = 3;
/// A part that got no answer twice is sent again in smaller ones, down to this: on the slowest line it is through in less than a minute.
const SMALLEST_PART: u64 = 64 << 10;
/// Requests in all. The largest bundle takes sixteen appends; a backend that leads in circles is left here.
const MAX_REQUESTS: u32 = 200;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// A backend that wants to be left alone longer gets the bundle by another way.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Create,
    /// HEAD: how far did it come?
    Ask {
        location: String,
    },
    Append {
        location: String,
        offset: u64,
        length: u64,
        last: bool,
    },
    Wait(Duration),
    /// The receipt's envelope, not yet verified.
    Done(Vec<u8>),
    Failed(Failure),
}

/// What came of the last action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Answered(Answer),
    /// No answer came, with the reason.
    Unanswered(String),
    Waited,
}

#[derive(Clone, Debug)]
enum State {
    Creating,
    Asking,
    Appending {
        offset: u64,
    },
    /// After the wait the upload goes on by asking, or by creating where there is nothing to ask about.
    Waiting(Duration),
    Ended(Action),
}

pub(crate) struct Machine {
    length: u64,
    location: Option<String>,
    max_append: u64,
    /// A part is never longer, whatever the backend takes.
    most_append: u64,
    most_requests: u32,
    state: State,
    failures: u32,
    heard: bool,
    requests: u32,
    /// Evenly spread from 0 to 1, for each wait.
    chance: fn() -> f64,
}

impl Machine {
    /// For a bundle of `length` bytes. `chance` draws evenly from 0 to 1.
    pub(crate) fn new(length: u64, chance: fn() -> f64) -> Self {
        Self {
            length,
            location: None,
            max_append: MAX_APPEND_BYTES,
            most_append: MAX_APPEND_BYTES,
            most_requests: MAX_REQUESTS,
            state: State::Creating,
            failures: 0,
            heard: false,
            requests: 0,
            chance,
        }
    }

    /// The same in parts of so many bytes at most, of which there may be many.
    pub(crate) fn in_parts_of(self, most: u64) -> Self {
        let mut machine = self;
        machine.limit_parts(most.clamp(1, MAX_APPEND_BYTES));
        machine
    }

    fn limit_parts(&mut self, most: u64) {
        let more = u32::try_from(self.length / most.max(1)).unwrap_or(u32::MAX);
        (self.most_append, self.most_requests) = (most, MAX_REQUESTS.saturating_add(more));
        self.max_append = self.max_append.min(most);
    }

    pub(crate) fn next(&self) -> Action {
        let location = || self.location.clone().unwrap_or_default();
        match &self.state {
            State::Creating => Action::Create,
            State::Asking => Action::Ask { location: location() },
            State::Appending { offset } => {
                let length = (self.length - offset).min(self.max_append);
                Action::Append { location: location(), offset: *offset, length, last: offset + length == self.length }
            }
            State::Waiting(delay) => Action::Wait(*delay),
            State::Ended(action) => action.clone(),
        }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Waited => self.resume(),
            Event::Unanswered(reason) => {
                self.count_request();
                // A line may be too slow for a whole part within the time that either side waits; one that was cut once is not.
                let is_slow = matches!(self.state, State::Appending { .. }) && self.failures > 0;
                if is_slow && self.max_append > SMALLEST_PART {
                    self.limit_parts((self.max_append / 4).max(SMALLEST_PART));
                }
                self.retry(None, reason);
            }
            Event::Answered(answer) => {
                self.heard = true;
                self.count_request();
                self.answered(answer);
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        match (&self.state, answer.status, &answer.body) {
            (State::Ended(_), ..) => {}
            (_, 200, Body::Receipt(receipt)) => self.end(Action::Done(receipt.clone())),
            (State::Creating, 201, _) => {
                self.max_append = answer.max_append.unwrap_or(MAX_APPEND_BYTES).clamp(1, self.most_append);
                match answer.location {
                    Some(location) => {
                        self.location = Some(location);
                        self.append_from(answer.offset.unwrap_or(0));
                    }
                    None => self.fail(Failure::Unexpected("it named no place for the upload".to_owned())),
                }
            }
            (State::Appending { offset }, 204, _) => match answer.offset {
                Some(further) if further > *offset => {
                    self.failures = 0;
                    self.append_from(further);
                }
                _ => self.retry(None, "an appended part was not taken".to_owned()),
            },
            // Stored, but the answer with the receipt was lost: creating it again gives the receipt.
            (State::Asking, 200 | 204, _) if answer.complete => {
                self.doubt(State::Creating, "the upload is complete, but gives no receipt")
            }
            (State::Asking, 200 | 204, _) => match answer.offset {
                Some(offset) => self.append_from(offset),
                None => self.fail(Failure::Unexpected("it named no offset".to_owned())),
            },
            (_, _, Body::Problem(problem)) => {
                let problem = problem.clone();
                self.refused(&answer, *problem);
            }
            (State::Asking | State::Appending { .. }, 404 | 410, _) => self.doubt(State::Creating, "the upload was forgotten"),
            (_, 429 | 500..=599, _) => self.retry(answer.retry_after, format!("HTTP status {}", answer.status)),
            (_, status, _) => self.fail(Failure::Unexpected(format!("HTTP status {status}"))),
        }
    }

    fn refused(&mut self, answer: &Answer, problem: Problem) {
        use ProblemCode as Code;
        let appending = matches!(self.state, State::Asking | State::Appending { .. });
        match (problem.known_code(), answer.offset) {
            (Some(Code::UploadOffsetMismatch), Some(offset)) if offset <= self.length => {
                self.doubt(State::Appending { offset }, "the backend keeps naming other offsets");
            }
            (Some(Code::UploadOffsetMismatch | Code::UploadFenced | Code::UploadDigestMismatch), _) if appending => {
                self.retry(None, problem.to_string());
            }
            (Some(Code::NotFound), _) if appending => self.doubt(State::Creating, "the upload is forgotten again and again"),
            (Some(Code::RateLimited | Code::Internal | Code::Unavailable | Code::StorageFull), _) => {
                self.retry(answer.retry_after, problem.to_string())
            }
            (None, _) if problem.status == 429 || problem.status >= 500 => self.retry(answer.retry_after, problem.to_string()),
            _ => self.fail(Failure::Refused(Box::new(problem))),
        }
    }

    fn append_from(&mut self, offset: u64) {
        if offset > self.length {
            self.fail(Failure::Unexpected(format!("it has {offset} of {} bytes", self.length)));
        } else {
            self.state = State::Appending { offset };
        }
    }

    /// Goes on at once, but not for ever: without progress in between this counts as a failure.
    fn doubt(&mut self, next: State, reason: &str) {
        self.failures += 1;
        if self.failures > MAX_FAILURES {
            self.fail(Failure::GaveUp { reason: reason.to_owned(), retry_after: None });
        } else {
            self.state = next;
        }
    }

    fn retry(&mut self, retry_after: Option<Duration>, reason: String) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        self.failures += 1;
        let most = if self.heard { MAX_FAILURES } else { MAX_FAILURES_UNHEARD };
        if self.failures >= most || retry_after.is_some_and(|wanted| wanted > MAX_RETRY_AFTER) {
            self.fail(if self.heard { Failure::GaveUp { reason, retry_after } } else { Failure::Unreachable(reason) });
            return;
        }
        let backoff = FIRST_DELAY.saturating_mul(1 << (self.failures - 1).min(10)).min(MAX_DELAY);
        // Full jitter: who failed together does not come back together. What the backend asked for is never cut short.
        self.state = State::Waiting(retry_after.unwrap_or_default() + backoff.mul_f64((self.chance)().clamp(0.0, 1.0)));
    }

    fn resume(&mut self) {
        if matches!(self.state, State::Waiting(_)) {
            self.state = if self.location.is_some() { State::Asking } else { State::Creating };
        }
    }

    fn count_request(&mut self) {
        self.requests += 1;
        if self.requests >= self.most_requests {
            let reason = format!("{} requests did not deliver it", self.requests);
            self.fail(Failure::GaveUp { reason, retry_after: None });
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.end(Action::Failed(failure));
    }

    fn end(&mut self, action: Action) {
        if !matches!(self.state, State::Ended(_)) {
            self.state = State::Ended(action);
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
