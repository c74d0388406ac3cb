use super::{failure, icmp, of};
use crate::units;
use netsonde_contract::observation::{DirectionMtu, Fact, ReflectDirection, Reflection};
use netsonde_contract::outcome::Outcome;

/// A wall clock that is disciplined moves by less during a series.
const CLOCK_MOVES_US: u64 = 1_000;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::Reflection(reflection) = fact { Some(&**reflection) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.7:862 47 of 50 answered, RTT 10 ms to 12 ms; forward 3 lost, delay varies by 1.8 ms, packets up to 1500 bytes; reverse none lost, …;
/// one-way delay unknown: the two clocks are not known to agree`.
pub(super) fn line(reflection: &Reflection) -> String {
    let mut parts = vec![format!("{} of {} answered", reflection.received, reflection.sent)];
    if let Some(trip) = &reflection.round_trip {
        parts.push(format!("RTT {} to {}", units::duration(trip.min_us), units::duration(trip.max_us)));
    }
    if let Some(found) = &reflection.failure {
        parts.push(failure::short(found));
    }
    let mut text = format!("{} {}", reflection.address, parts.join(", "));
    if reflection.received > 0 {
        for (name, seen) in [("forward", &reflection.forward), ("reverse", &reflection.reverse)] {
            text += &format!("; {name} {}", in_short(seen));
        }
        text += &format!("; {}", one_way(reflection));
    }
    text
}

/// What one direction did to the packets: lost, varied, let through.
fn in_short(seen: &ReflectDirection) -> String {
    let mut parts = vec![match seen.lost {
        Some(0) => "none lost".to_owned(),
        Some(lost) => format!("{lost} lost"),
        None => "losses unknown".to_owned(),
    }];
    parts.extend(seen.variation.as_ref().map(|delay| format!("delay varies by {}", units::duration(delay.p99_us))));
    parts.extend(seen.mtu.map(|mtu| format!("packets up to {} bytes", mtu.passed_bytes)));
    parts.join(", ")
}

/// The delay of one direction is the difference of two clocks, and told only where those are known to agree: the reflector's says that it is
/// synchronised, neither was set meanwhile, and the fastest round trip does not show an offset.
fn one_way(reflection: &Reflection) -> String {
    let agrees = matches!((reflection.offset_us, reflection.offset_bound_us), (Some(offset), Some(bound)) if offset.unsigned_abs() <= bound);
    let steady = reflection.clock_moved_us <= CLOCK_MOVES_US;
    let least = (reflection.forward.least_delay_us, reflection.reverse.least_delay_us);
    match least {
        (Some(forward @ 0..), Some(reverse @ 0..)) if agrees && steady && reflection.reflector_synchronised == Some(true) => {
            format!(
                "one-way delay at least {} forward and {} in reverse, as far as this machine's clock is right, too",
                units::duration(forward.unsigned_abs()),
                units::duration(reverse.unsigned_abs())
            )
        }
        _ if !steady => "one-way delay unknown: the wall clock moved meanwhile".to_owned(),
        _ => "one-way delay unknown: the two clocks are not known to agree".to_owned(),
    }
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
    if reflection.clock_moved_us > CLOCK_MOVES_US {
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

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::observation::RttDistribution;

    fn reflection() -> Reflection {
        let delay = |p99_us| RttDistribution { median_us: p99_us / 2, p99_us, ..trip() };
        let mtu = |passed_bytes| Some(DirectionMtu { passed_bytes, stopped_bytes: None, own_interface: false });
        let value = serde_json::json!({
            "host": "192.0.2.7", "address": "192.0.2.7:862", "timestamps": "ntp", "clock": "kernel_rx", "payload_bytes": 44,
            "sent": 100, "received": 97, "reflector": "stateful", "forward": {}, "reverse": {}, "took_us": 1,
        });
        let mut seen: Reflection = serde_json::from_value(value).unwrap();
        seen.round_trip = Some(trip());
        seen.forward = ReflectDirection {
            lost: Some(3),
            least_delay_us: Some(5_000),
            variation: Some(delay(1_800)),
            mtu: mtu(1_500),
            ..Default::default()
        };
        seen.reverse = ReflectDirection {
            lost: Some(0),
            least_delay_us: Some(5_200),
            variation: Some(delay(400)),
            mtu: mtu(1_400),
            ..Default::default()
        };
        seen
    }

    fn trip() -> RttDistribution {
        let middle = 11_000;
        RttDistribution {
            min_us: 10_000,
            mean_us: middle,
            deviation_us: 1_000,
            median_us: middle,
            p90_us: middle,
            p95_us: middle,
            p99_us: middle,
            max_us: 12_000,
        }
    }

    #[test]
    fn loss_variation_and_size_are_told_for_each_direction() {
        let text = line(&reflection());
        assert_eq!(
            text,
            "192.0.2.7:862 97 of 100 answered, RTT 10 ms to 12 ms; forward 3 lost, delay varies by 1.8 ms, packets up to 1500 bytes; \
             reverse none lost, delay varies by 400 µs, packets up to 1400 bytes; one-way delay unknown: the two clocks are not known to agree"
        );
    }

    #[test]
    fn a_one_way_delay_is_told_only_where_the_clocks_are_known_to_agree() {
        let synchronised = Reflection {
            offset_us: Some(-100),
            offset_bound_us: Some(5_000),
            reflector_synchronised: Some(true),
            ..reflection()
        };
        assert!(line(&synchronised).contains("at least 5.0 ms forward and 5.2 ms in reverse"), "{}", line(&synchronised));
        for doubtful in [
            Reflection { reflector_synchronised: None, ..synchronised.clone() },
            Reflection { offset_us: Some(-6_000), ..synchronised.clone() },
            Reflection { clock_moved_us: 2_000, ..synchronised.clone() },
        ] {
            assert!(line(&doubtful).contains("one-way delay unknown"), "{}", line(&doubtful));
        }
    }
}
