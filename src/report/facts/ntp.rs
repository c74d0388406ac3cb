use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Fact, Leap, TimeMessage, TimeOffset, TimeServer};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::TimeOffset(offset) = fact { Some(&**offset) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.123:123 the clock is 12 ms behind (± 1.1 ms), stratum 2`.
pub(super) fn line(offset: &TimeOffset) -> String {
    let mut parts = Vec::new();
    if let Some(offset_us) = offset.offset_us {
        let side = if offset_us < 0 { "ahead" } else { "behind" };
        let bound = offset.delay_us.map_or(String::new(), |delay| format!(" (± {})", units::duration(delay / 2)));
        parts.push(format!("the clock is {} {side}{bound}", units::duration(offset_us.unsigned_abs())));
    }
    if let Some(server) = &offset.server {
        parts.push(match &server.kiss {
            Some(code) => format!("refuses with {code}"),
            None => format!("stratum {}", server.stratum),
        });
        if server.leap == Leap::Unsynchronised && server.kiss.is_none() {
            parts.push("not synchronised itself".to_owned());
        }
    }
    // What the server said of itself, above, says it better.
    let said = offset.server.as_ref().is_some_and(|server| server.kiss.is_some() || server.leap == Leap::Unsynchronised);
    if let Some(found) = offset.failure.as_ref().filter(|_| offset.offset_us.is_none() && !said) {
        parts.push(failure::short(found));
    }
    if let Some(first) = offset.others.first().filter(|_| offset.offset_us.is_none() && offset.server.is_none()) {
        let count = units::counted(offset.others.len(), "message came that is no answer", "messages came that are no answers");
        parts.push(format!("{count} ({})", first.why));
    }
    format!("{} {}", offset.address, parts.join(", "))
}

pub(super) fn details(offset: &TimeOffset) -> Vec<String> {
    let mut lines = failure::details(offset.failure.as_ref());
    lines.extend(offset.server.as_ref().map(server));
    let other = |message: &TimeMessage| {
        let (after, size) = (units::duration(message.after_us), units::size(message.size_bytes.into()));
        format!("another message at {after}, {size}: {}", message.why)
    };
    lines.extend(offset.others.iter().map(other));
    if offset.sent > 1 {
        let each = offset.samples.iter().map(|sample| {
            let sign = if sample.offset_us < 0 { "-" } else { "+" };
            format!("{sign}{} in {}", units::duration(sample.offset_us.unsigned_abs()), units::duration(sample.delay_us))
        });
        let each: Vec<String> = each.collect();
        lines.push(format!("{} of {} answers: {}", offset.samples.len(), offset.sent, each.join(", ")));
    }
    lines
}

fn server(server: &TimeServer) -> String {
    let leap = match server.leap {
        Leap::None => "",
        Leap::Insert => ", a leap second is to come",
        Leap::Delete => ", a second is to be left out",
        Leap::Unsynchronised => ", clock not synchronised",
    };
    let set = server.reference_time.map_or(String::new(), |at| format!(", set {}", units::moment(at)));
    format!(
        "version {}, stratum {}, source {}{leap}, root delay {}, root dispersion {}, precision 2^{} s{set}",
        server.version,
        server.stratum,
        server.reference_id,
        units::duration(server.root_delay_us),
        units::duration(server.root_dispersion_us),
        server.precision_log2_s
    )
}
