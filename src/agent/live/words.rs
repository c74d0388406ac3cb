//! What the figures mean, in plain words. A loss means something only where what lies behind is lost as well: routers answer to
//! expired packets when they please.

use super::track::Track;
use super::view::{Path, Route, View};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::Share;
use std::net::IpAddr;

/// Before so many requests nobody can say that an answer is missing for good.
const FEW: u32 = 3;
/// Paths with loss that the line names; the view lists them all.
const MOST_PATHS_SAID: usize = 3;

/// One line for each target.
pub(super) fn of(view: &View) -> Vec<String> {
    if let Some(halted) = &view.halted {
        return vec![format!("No more is sent: {halted}.")];
    }
    if view.routes.is_empty() {
        return vec!["Waiting for the first replies.".to_owned()];
    }
    let several = view.routes.len() > 1;
    let line = |(target, route): (&IpAddr, &Route)| {
        let said = if view.kind == Kind::Icmp { echo(route) } else { trace(route) };
        if several { format!("{target}: {said}") } else { said }
    };
    view.routes.iter().map(line).collect()
}

fn echo(route: &Route) -> String {
    let Some(track) = route.target().map(|stop| &stop.track).filter(|track| track.sent() > 0) else {
        return failure(route).unwrap_or_else(|| "Waiting for the first replies.".to_owned());
    };
    if let Some((words, from)) = route.said {
        return format!("{from} says \"{words}\": {} of {} requests to the target are lost.", track.lost(), track.sent());
    }
    match (track.answered(), track.lost()) {
        (0, _) => no_answer("The target", track),
        (answered, 0) if track.sent() < FEW => {
            let requests = if answered == 1 { "The first request is answered" } else { "The first requests are answered" };
            format!("{requests}{}.", median(track))
        }
        (_, 0) => format!("Nothing is lost: {} of {} requests are answered{}.", track.answered(), track.sent(), median(track)),
        _ => format!("{} of the requests to the target are lost{}.", share(track.loss()), few(track)),
    }
}

fn no_answer(who: &str, track: &Track) -> String {
    if track.sent() < FEW {
        return format!("{who} has not answered yet.");
    }
    format!(
        "{who} has answered none of {} requests: it is away, or something on the way drops them or the replies.",
        track.sent()
    )
}

fn trace(route: &Route) -> String {
    let Some(target) = route.target() else { return unreached(route) };
    if let Some(failure) = failure(route) {
        return failure;
    }
    if target.track.lost() > 0 {
        let loss = share(target.track.loss());
        return match beginning(route) {
            Some(begin) if Some(begin) == route.distance => {
                format!("Loss at the target only: {loss}{}. No hop before it loses as much.", few(&target.track))
            }
            Some(begin) if is_clean_before(route, begin) => {
                format!("Loss begins at hop {begin} and reaches the target: {loss}{}.", few(&target.track))
            }
            Some(begin) => {
                format!(
                    "Loss reaches the target: {loss}{}. It may begin at hop {begin}, if that does not limit its answers.",
                    few(&target.track)
                )
            }
            None => format!("The target misses {loss} of the probes{}.", few(&target.track)),
        };
    }
    if let Some(said) = path_loss(route) {
        return said;
    }
    let before = || route.hops().filter(|(ttl, _)| Some(*ttl) != route.distance);
    let pick = |silent: bool| -> Vec<u8> {
        let wanted = |track: &Track| track.lost() > 0 && (track.answered() == 0) == silent;
        let enough = |track: &Track| track.sent() >= FEW;
        before().filter(|(_, stop)| wanted(&stop.track) && enough(&stop.track)).map(|(ttl, _)| ttl).collect()
    };
    let waiting = before().any(|(_, stop)| stop.track.lost() > 0 && (1..FEW).contains(&stop.track.sent()));
    let often = |hops: &[u8]| {
        let mut tracks = hops.iter().filter_map(|ttl| route.stop(*ttl)).map(|stop| &stop.track);
        tracks.any(|track| track.answered() >= track.lost())
    };
    let (rare, silent) = (pick(false), pick(true));
    match (&rare[..], &silent[..]) {
        ([], []) if waiting => format!("The target answers, and not every hop has yet{}.", median(&target.track)),
        ([], []) if target.track.sent() < FEW => {
            format!("Every hop and the target have answered the first probes{}.", median(&target.track))
        }
        ([], []) => format!("Every hop and the target answer; nothing is lost{}.", median(&target.track)),
        ([one], _) if often(&rare) => {
            format!("Only hop {one} leaves some probes unanswered; later hops do not: it limits its answers, nothing is lost.")
        }
        ([one], _) => format!("Only hop {one} answers rarely; later hops do not: it limits its answers, nothing is lost."),
        ([], [one]) => format!("Hop {one} never answers, and what lies behind it does: it keeps silent, nothing is lost."),
        ([], many) => {
            format!("Hops {} never answer, and what lies behind them does: they keep silent, nothing is lost.", list(many))
        }
        (many, _) if often(many) => {
            format!(
                "Hops {} leave some probes unanswered, the target does not: they limit their answers, nothing is lost.",
                list(many)
            )
        }
        (many, _) => {
            format!("Hops {} answer rarely, the target does not: they limit their answers, nothing is lost.", list(many))
        }
    }
}

/// Ways that lose packets to the target, though those of the trace itself arrive: they take one way only.
fn path_loss(route: &Route) -> Option<String> {
    let measured = || route.paths.iter().filter(|path| path.track.sent() > 0);
    if route.losses_doubtful && measured().next().is_some() {
        let whom = if route.paths.len() == 1 { "The only path" } else { "Every path" };
        return Some(format!("{whom} misses some answers, which the target's own limit may explain; --protocol tcp tells loss."));
    }
    let lossy: Vec<(usize, &Path)> = (1..).zip(&route.paths).filter(|(_, path)| path.track.lost() > 0).collect();
    let words = |(nth, path): &(usize, &Path)| {
        let router = route.parting(path).map_or_else(String::new, |(ttl, router)| format!(" (through {router} at hop {ttl})"));
        format!("path {nth}{router} loses {}{}", share(path.track.loss()), few(&path.track))
    };
    let (first, more) = lossy.split_first()?;
    let said: Vec<String> = std::iter::once(first).chain(more.iter().take(MOST_PATHS_SAID - 1)).map(words).collect();
    let unsaid = lossy.len().saturating_sub(MOST_PATHS_SAID);
    let unsaid = if unsaid > 0 { format!(", and {unsaid} more lose some") } else { String::new() };
    let clean = measured().count() - lossy.len();
    let others = match clean {
        0 => String::new(),
        1 => "; the other path loses nothing".to_owned(),
        many => format!("; the other {many} paths lose nothing"),
    };
    let whom = if route.paths.len() == 1 { "On the only path".to_owned() } else { format!("Of {} paths", route.paths.len()) };
    Some(format!("{whom} to the target {}{unsaid}{others}.", said.join(", ")))
}

/// The first distance from which on every one that answers at all loses as much as the target, as far as chance lets tell.
fn beginning(route: &Route) -> Option<u8> {
    let target = route.target()?.track.loss();
    let alike = |track: &Track| track.lost() > 0 && track.loss().high >= target.low;
    let answering: Vec<_> = route.hops().filter(|(_, stop)| stop.track.answered() > 0).collect();
    answering.into_iter().rev().take_while(|(_, stop)| alike(&stop.track)).last().map(|(ttl, _)| ttl)
}

/// Whether the hop before loses less than the target, beyond what chance explains. Before the first hop there is none to compare with.
fn is_clean_before(route: &Route, begin: u8) -> bool {
    let Some(target) = route.target().map(|stop| stop.track.loss()) else { return false };
    let before = route.hops().filter(|(ttl, stop)| *ttl < begin && stop.track.answered() > 0).last();
    before.is_some_and(|(_, stop)| stop.track.loss().high < target.low)
}

fn unreached(route: &Route) -> String {
    if let Some(failure) = failure(route) {
        return failure;
    }
    if let Some((words, from)) = route.said {
        return format!("{from} turns the probes away: {words}.");
    }
    let last = route.last_answering();
    let tried = route.stop(last.saturating_add(1)).map_or(0, |stop| stop.track.sent());
    let whom = route.stop(last).and_then(|stop| stop.labels().first().cloned()).unwrap_or_default();
    match last {
        0 => "Nothing on the way has answered: the first router keeps silent, or nothing leaves this machine.".to_owned(),
        _ if tried < FEW => format!("The target has not answered yet; hop {last} ({whom}) is the last that does."),
        _ => format!(
            "Nothing answers beyond hop {last} ({whom}): something there or behind it drops the probes, or the target never answers."
        ),
    }
}

fn failure(route: &Route) -> Option<String> {
    route.failure.as_ref().map(|text| format!("The last round could not be finished: {text}."))
}

/// A share with its interval at 95 %, such as `12 % (8–17)`.
pub(super) fn share(share: Share) -> String {
    let percent = |share: f64| (share * 100.0).round();
    format!("{} % ({}–{})", percent(share.share), percent(share.low), percent(share.high))
}

/// A share that rests on one lost probe alone is told with what it is a share of.
fn few(track: &Track) -> String {
    match (track.lost(), track.sent()) {
        (1, 1) => ", a single probe so far".to_owned(),
        (1, sent) => format!(", one of {sent} probes so far"),
        _ => String::new(),
    }
}

fn median(track: &Track) -> String {
    track.median_us().map_or_else(String::new, |median| format!(", in {} ms (median)", super::columns::milliseconds(median)))
}

fn list(numbers: &[u8]) -> String {
    let texts: Vec<String> = numbers.iter().map(u8::to_string).collect();
    match texts.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => texts.concat(),
    }
}
