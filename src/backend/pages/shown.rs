//! How values read on a page.

use crate::store::{AlertState, WatchedState};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use netsonde_contract::api::TicketStateName;
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::finding::State;
use netsonde_contract::history::Health;

/// Why nothing is known of an agent whose identity a second machine has.
pub(super) const IDENTITY_TWICE: &str = "Two machines have its identity: nobody knows whose word it is.";

/// In UTC to the minute: cases are read in more than one place.
pub(super) fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// To the second, where things follow each other.
pub(super) fn second(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}

/// The state of a run in words, and the class that colours it.
pub(super) fn state(state: State) -> (&'static str, &'static str) {
    match state {
        State::AsExpected => ("as expected", "good"),
        State::Explained => ("cause found", "bad"),
        State::Unexplained => ("unexplained", "bad"),
        State::Indeterminate => ("indeterminate", "unsure"),
    }
}

pub(super) fn ticket_state(state: TicketStateName) -> (&'static str, &'static str) {
    match state {
        TicketStateName::Open => ("open", "unsure"),
        TicketStateName::Used => ("used", "good"),
        TicketStateName::Revoked => ("revoked", "off"),
        TicketStateName::Expired => ("expired", "off"),
    }
}

pub(super) fn delivery_state(state: DeliveryState) -> (&'static str, &'static str) {
    match state {
        DeliveryState::Queued => ("waiting for the agent", "unsure"),
        DeliveryState::Delivered => ("delivered", "unsure"),
        DeliveryState::Asked => ("somebody is being asked", "unsure"),
        DeliveryState::Accepted => ("accepted", "unsure"),
        DeliveryState::Running => ("running", "unsure"),
        DeliveryState::Uploaded => ("done", "good"),
        DeliveryState::Refused => ("refused", "bad"),
        DeliveryState::Failed => ("failed", "bad"),
        DeliveryState::Expired => ("expired", "off"),
        DeliveryState::Cancelled => ("cancelled", "off"),
    }
}

/// Unknown has a class of its own: it is never shown as something good.
pub(super) fn health(health: Health) -> (&'static str, &'static str) {
    match health {
        Health::Ok => ("ok", "good"),
        Health::Unknown => ("unknown", "unknown"),
        Health::Degraded => ("degraded", "unsure"),
        Health::Failing => ("failing", "bad"),
    }
}

pub(super) fn watched_state(state: WatchedState) -> (&'static str, &'static str) {
    match state {
        WatchedState::Collecting => ("nothing failed", "off"),
        WatchedState::Failing => ("failing", "bad"),
        WatchedState::Recovered => ("recovered", "good"),
        WatchedState::Removed => ("removed", "unknown"),
        WatchedState::Closed => ("closed", "off"),
    }
}

pub(super) fn alert_state(state: AlertState) -> (&'static str, &'static str) {
    match state {
        AlertState::Waiting => ("waiting", "unsure"),
        AlertState::Sent => ("sent", "good"),
        AlertState::GivenUp => ("given up", "bad"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_people_write_them() {
        assert_eq!((size(900), size(1025), size(3 << 20)), ("900 bytes".into(), "2 KiB".into(), "3 MiB".into()));
        assert_eq!(time(Timestamp::UNIX_EPOCH), "1970-01-01 00:00 UTC");
    }
}
