use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Echo, Fact};
use netsonde_contract::outcome::Outcome;

/// Replies listed one by one; beyond that, smallest, middle and largest say more.
const MAX_REPLIES: usize = 100;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let echoes = of(outcome, |fact| if let Fact::Echo(echo) = fact { Some(echo) } else { None });
    echoes.iter().map(|echo| line(echo)).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.7 5 of 5 replies, RTT 10 ms to 14 ms, median 11 ms`.
pub(super) fn line(echo: &Echo) -> String {
    let mut line = format!("{} {} of {} replies", echo.address, echo.replies.len(), echo.sent);
    let rtts = || echo.replies.iter().map(|reply| reply.rtt_us);
    if let (Some(min), Some(median), Some(max)) = (rtts().min(), units::median(rtts()), rtts().max()) {
        let [min, median, max] = [min, median, max].map(units::duration);
        if min == max {
            line.push_str(&format!(", RTT {min}"));
        } else {
            line.push_str(&format!(", RTT {min} to {max}, median {median}"));
        }
    }
    if let Some(error) = echo.errors.first() {
        line.push_str(&format!(", {} from {}", error.words(), error.offender));
    }
    if let Some(found) = &echo.failure {
        line.push_str(&format!(", {}", failure::short(found)));
    }
    line
}

pub(super) fn details(echo: &Echo) -> Vec<String> {
    let mut lines = failure::details(echo.failure.as_ref());
    let lost = u64::from(echo.sent).saturating_sub(echo.replies.len() as u64);
    if echo.sent > 0 {
        let percent = lost * 100 / u64::from(echo.sent);
        lines.push(format!(
            "loss {lost} of {} ({percent} %); payload {}; stamped by {}",
            echo.sent,
            units::size(echo.size_bytes.into()),
            clock(echo)
        ));
    }
    if !echo.replies.is_empty() {
        let shown =
            echo.replies.iter().take(MAX_REPLIES).map(|reply| format!("#{} {}", reply.sequence, units::duration(reply.rtt_us)));
        let mut each: Vec<String> = shown.collect();
        if echo.replies.len() > MAX_REPLIES {
            each.push(format!("and {} more", echo.replies.len() - MAX_REPLIES));
        }
        lines.push(each.join(", "));
    }
    for error in echo.errors.iter().take(MAX_REPLIES) {
        lines.push(format!("{} from {} (type {} code {})", error.words(), error.offender, error.kind, error.code));
    }
    lines
}

fn clock(echo: &Echo) -> &str {
    match echo.clock.as_str() {
        "kernel" => "the kernel",
        "process" => "the program",
        other => other,
    }
}
