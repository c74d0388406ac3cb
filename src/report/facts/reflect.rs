use super::{failure, icmp, of};
use crate::units;
use netsonde_contract::observation::{DirectionMtu, Fact, ReflectDirection, Reflection};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::Reflection(reflection) = fact { Some(&**reflection) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.7:862 47 of 50 answered: 3 lost forward, 0 in reverse; RTT 10 ms to 12 ms; packets up to 1500 bytes forward, 1400 in reverse`.
pub(super) fn line(reflection: &Reflection) -> String {
    let mut parts = vec![format!("{} of {} answered", reflection.received, reflection.sent)];
    if let (Some(forward), Some(reverse)) = (reflection.forward.lost, reflection.reverse.lost) {
        if forward + reverse > 0 {
            parts.push(format!("{forward} lost forward, {reverse} in reverse"));
        }
    } else if reflection.received > 0 && reflection.lost_unknown > 0 {
        parts.push("the reflector does not tell which way".to_owned());
    }
    if let Some(trip) = &reflection.round_trip {
        parts.push(format!("RTT {} to {}", units::duration(trip.min_us), units::duration(trip.max_us)));
    }
    if let (Some(forward), Some(reverse)) = (reflection.forward.mtu, reflection.reverse.mtu) {
        parts.push(format!("packets up to {} bytes forward, {} in reverse", forward.passed_bytes, reverse.passed_bytes));
    }
    if let Some(found) = &reflection.failure {
        parts.push(failure::short(found));
    }
    format!("{} {}", reflection.address, parts.join(", "))
}

pub(super) fn details(reflection: &Reflection) -> Vec<String> {
    let mut lines = failure::details(reflection.failure.as_ref());
    let sealed = if reflection.authenticated { ", authenticated" } else { "" };
    lines.push(format!(
        "payload {}{sealed}; stamped by {}",
        units::size(reflection.payload_bytes.into()),
        stamped_by(&reflection.clock)
    ));
    if let Some(trip) = &reflection.round_trip {
        let jitter = reflection.round_trip_jitter_us.map_or(String::new(), |us| format!(", jitter {}", units::duration(us)));
        lines.push(format!("{}{jitter}", icmp::distribution(trip)));
    }
    lines.extend(direction("forward", &reflection.forward));
    lines.extend(direction("reverse", &reflection.reverse));
    if let (Some(offset_us), Some(bound)) = (reflection.offset_us, reflection.offset_bound_us) {
        let side = if offset_us < 0 { "behind" } else { "ahead" };
        let state = match reflection.reflector_synchronised {
            Some(true) => ", synchronised",
            Some(false) => ", not synchronised",
            None => "",
        };
        lines.push(format!(
            "the reflector's clock is {} {side} (± {}){state}; delays of one direction hold this offset, their variation does not",
            units::duration(offset_us.unsigned_abs()),
            units::duration(bound)
        ));
    }
    if reflection.clock_moved_us > 1_000 {
        lines.push(format!("the wall clock moved by {} meanwhile", units::duration(reflection.clock_moved_us)));
    }
    if reflection.lost_unknown > 0 {
        lines.push(format!(
            "{} of which nothing tells which way they were lost",
            units::counted(reflection.lost_unknown as usize, "packet", "packets")
        ));
    }
    lines
}

fn stamped_by(clock: &str) -> &str {
    match clock {
        "kernel_rx" => "the kernel on arrival",
        "program" => "the program",
        other => other,
    }
}

fn direction(name: &str, seen: &ReflectDirection) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(lost) = seen.lost {
        parts.push(format!("{lost} lost"));
    }
    if seen.duplicates > 0 {
        parts.push(units::counted(seen.duplicates as usize, "duplicate", "duplicates"));
    }
    if seen.reordered > 0 {
        parts.push(format!("{} overtaken", seen.reordered));
    }
    if let Some(variation) = &seen.variation {
        let [median, p99] = [variation.median_us, variation.p99_us].map(units::duration);
        parts.push(format!("delay above its least {median} at the median, {p99} at 99 %"));
    }
    parts.extend(seen.mtu.map(mtu));
    for (what, values) in [("TTL", &seen.ttls), ("DSCP", &seen.dscps), ("ECN", &seen.ecns)] {
        if !values.is_empty() && (what != "ECN" || values.iter().any(|value| *value != 0)) {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            parts.push(format!("{what} {}", values.join(" and ")));
        }
    }
    (!parts.is_empty()).then(|| format!("{name}: {}", parts.join(", ")))
}

fn mtu(mtu: DirectionMtu) -> String {
    match mtu.stopped_bytes {
        Some(_) if mtu.own_interface => format!("packets up to {} bytes, the own interface sends none larger", mtu.passed_bytes),
        Some(stopped) => format!("packets up to {} bytes, none of {stopped}", mtu.passed_bytes),
        None => format!("packets up to {} bytes at least", mtu.passed_bytes),
    }
}
