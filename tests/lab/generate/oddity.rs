use super::plot::{Plot, Set, at, rules};
use crate::dice::Dice;
use crate::scenario::Link;

/// What is odd about many networks, and hurts nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A router hides all before it behind its own address.
    Hidden,
    /// A router never says that a packet's time is up.
    SilentHop,
    /// A router answers at the kernel's default rate.
    RateLimited,
    /// A link takes less than usual, and its routers say so.
    SmallMtu,
    /// A router drops all ICMP but what IPv6 cannot do without.
    IcmpFiltered,
    /// The server drops pings.
    PingDropped,
    /// Two parallel routers share the flows.
    Twin,
    /// The way is long, and no two packets take the same time.
    Delay,
}

use Oddity::{Delay, Hidden, IcmpFiltered, PingDropped, RateLimited, SilentHop, SmallMtu, Twin};

/// All of them, those that shape the chain first: the rest is placed around them.
const ODDITIES: [Oddity; 8] = [Twin, Delay, Hidden, SilentHop, RateLimited, SmallMtu, IcmpFiltered, PingDropped];

/// How often each is there, where nothing speaks against it.
const CHANCE: f64 = 0.22;

/// Draws the oddities of a network and puts them there.
pub(super) fn draw(plot: &mut Plot, without: &[Oddity], dice: &mut Dice) -> Vec<Oddity> {
    let mut drawn = Vec::new();
    for oddity in ODDITIES {
        // The dice fall for each, so that what one network cannot have does not change another's.
        let falls = dice.falls(CHANCE);
        if falls && !without.contains(&oddity) && fits(plot, oddity) {
            put(plot, oddity, dice);
            drawn.push(oddity);
        }
    }
    drawn
}

fn fits(plot: &Plot, oddity: Oddity) -> bool {
    match oddity {
        Twin => plot.routers() >= 3,
        Delay => true,
        // These two ask a host alone by nothing but pings.
        PingDropped => plot.with_port || !matches!(plot.set, Set::Latency | Set::Vpn),
        // Without a port a filtered path shows nothing at all.
        IcmpFiltered => plot.routers() >= 1 && !is_narrow(plot) && (!plot.set.is_of_ways() || plot.with_port),
        Hidden | SilentHop | RateLimited | SmallMtu => plot.routers() >= 1,
    }
}

/// A link is narrow, which somebody must be able to say.
fn is_narrow(plot: &Plot) -> bool {
    plot.scenario.link.iter().any(|link| link.mtu.is_some())
}

fn put(plot: &mut Plot, oddity: Oddity, dice: &mut Dice) {
    let (notices, made): (&[&str], _) = match oddity {
        Twin => return put_twin(plot, dice),
        Delay => return put_delay(plot, dice),
        Hidden => {
            let router = plot.router(1, dice);
            let next = plot.node(router + 1);
            (&["path.rewritten"], rules(plot.node(router), format!("hide oifname \"to-{next}\" masquerade")))
        }
        SilentHop => {
            let drops = "output icmp type time-exceeded drop\noutput icmpv6 type time-exceeded drop";
            let router = plot.router(1, dice);
            plot.mute.push(router);
            (&[], rules(plot.node(router), drops))
        }
        RateLimited => {
            let sysctl = ["net.ipv4.icmp_ratelimit=1000", "net.ipv6.icmp.ratelimit=1000"].map(str::to_owned).to_vec();
            let mut fault = at(plot.node(plot.router(1, dice)));
            fault.sysctl = sysctl;
            (&["path.icmp_rate_limited"], fault)
        }
        SmallMtu => return put_small_mtu(plot, dice),
        IcmpFiltered => {
            let drops = "forward meta l4proto icmp drop\n\
                         forward icmpv6 type { echo-request, echo-reply, destination-unreachable, time-exceeded } drop\n\
                         output meta l4proto icmp drop\n\
                         output icmpv6 type { destination-unreachable, time-exceeded } drop";
            let router = plot.router(1, dice);
            // What those behind it say goes no further than to it.
            plot.mute.extend(router..=plot.routers());
            (&["path.icmp_unsupported"], rules(plot.node(router), drops))
        }
        PingDropped => {
            let drops = "input icmp type echo-request drop\ninput icmpv6 type echo-request drop";
            (&["path.icmp_unsupported"], rules("s".into(), drops))
        }
    };
    plot.scenario.true_notices.extend(notices.iter().map(|notice| (*notice).to_owned()));
    plot.scenario.oddity.push(made);
}

/// The link before the router that shares the flows must be a cable: see `Network::add_twin`.
fn put_twin(plot: &mut Plot, dice: &mut Dice) {
    let twin = u8::try_from(dice.whole(2, plot.routers().into())).unwrap_or(2);
    plot.twin = Some(twin);
    plot.scenario.twin = Some(plot.node(twin));
    plot.cable(twin - 2, dice.whole(1, 1_000));
}

fn put_delay(plot: &mut Plot, dice: &mut Dice) {
    let link = plot.link(0, dice);
    let mut cable = plot.cable(link, dice.whole(1, 1_000));
    cable.delay_ms = dice.between(2.0, 60.0);
    // Jitter that nobody would feel.
    cable.jitter_ms = dice.between(0.0, (cable.delay_ms / 2.0).min(7.0));
    if cable.jitter_ms >= 5.0 {
        plot.scenario.true_notices.push("path.jitter".into());
    }
    plot.scenario.cable.push(cable);
}

/// Not the client's own link, of which it knows itself.
fn put_small_mtu(plot: &mut Plot, dice: &mut Dice) {
    let link = plot.link(1, dice);
    let between = plot.ends(link);
    let mtu = Some(u32::try_from(dice.whole(1_300, 1_492)).unwrap_or(1_400));
    match plot.scenario.link.iter_mut().find(|link| link.between == between) {
        Some(link) => link.mtu = mtu,
        None => plot.scenario.link.push(Link { between, cable: false, mtu, seed: 1 }),
    }
    plot.scenario.true_notices.push("path.mtu_lowered".into());
}
