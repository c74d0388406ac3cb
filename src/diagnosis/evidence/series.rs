use super::{Evidence, Seen};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Echo, EchoStatistics, Exchange, ExtraKind, ReplyKind};
use std::net::IpAddr;

/// Requests that follow each other faster than this meet the limits that hosts and routers set to ICMP, so that their loss alone
/// proves nothing: the strictest that are common answer ten to twenty a second.
pub(crate) const CALM_INTERVAL_MS: u64 = 50;

/// Where the parameters do not tell the interval.
const DEFAULT_INTERVAL_MS: u64 = 200;

/// A body of so many bytes fills a queue on the way: more than the first window of a connection, ten segments, some times over.
const OWN_LOAD_BYTES: u64 = 100_000;

/// Payload from which on an echo request does not fit a usual packet: 1500 bytes less the headers of IP (20) and ICMP (8).
const FRAGMENTED_FROM_BYTES: u32 = 1_473;

/// So many cases out of so many, and the observations that show them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share<'a> {
    pub(crate) cases: u32,
    pub(crate) of: u32,
    pub(crate) ids: Vec<&'a ObservationId>,
}

impl<'a> Share<'a> {
    pub(crate) fn add(&mut self, cases: u32, of: u32, id: &'a ObservationId) {
        self.cases += cases;
        self.of += of;
        self.ids.push(id);
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.of += other.of;
        self.ids.extend(other.ids);
        self
    }

    /// The 95 % confidence interval of the share (Wilson's score interval), from 0 to 1.
    pub(crate) fn interval(&self) -> (f64, f64) {
        /// The normal distribution's quantile of 97.5 %.
        const Z: f64 = 1.959_964;
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (n, p) = (f64::from(self.of), f64::from(self.cases) / f64::from(self.of));
        let scale = 1.0 / (1.0 + Z * Z / n);
        let centre = (p + Z * Z / (2.0 * n)) * scale;
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() * scale;
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }

    /// One case says nothing; several do where the lower end of the interval is above the bound.
    pub(crate) fn exceeds(&self, bound: f64) -> bool {
        self.cases >= 2 && self.interval().0 > bound
    }

    /// The lower end of the 95 % interval by which it is larger than the other one (Newcombe's hybrid score interval); below zero where
    /// chance explains the difference.
    pub(crate) fn least_above(&self, other: &Share<'_>) -> f64 {
        let (high, low) = (self.percent() / 100.0, other.percent() / 100.0);
        high - low - (high - self.interval().0).hypot(other.interval().1 - low)
    }

    pub(crate) fn percent(&self) -> f64 {
        if self.of == 0 { 0.0 } else { 100.0 * f64::from(self.cases) / f64::from(self.of) }
    }

    /// `17 % (12 of 70; 95 % interval 10 to 28 %)`.
    pub(crate) fn words(&self) -> String {
        let (low, high) = self.interval();
        let (percent, low, high) = (self.percent(), low * 100.0, high * 100.0);
        format!("{percent:.0} % ({} of {}; 95 % interval {low:.0} to {high:.0} %)", self.cases, self.of)
    }
}

/// The requests are too large for one packet.
pub(crate) fn is_fragmented(echo: &Echo) -> bool {
    echo.size_bytes >= FRAGMENTED_FROM_BYTES && !echo.dont_fragment
}

fn is_calm(echo: &Seen<'_, Echo>) -> bool {
    interval_ms(echo) >= CALM_INTERVAL_MS
}

fn interval_ms(echo: &Seen<'_, Echo>) -> u64 {
    let interval_ms = echo.outcome.parameters.get("interval_ms").and_then(serde_json::Value::as_u64);
    interval_ms.unwrap_or(DEFAULT_INTERVAL_MS)
}

/// When the requests went out, since the run began, in microseconds.
fn span(echo: &Seen<'_, Echo>) -> (u64, u64) {
    (echo.at_us, echo.at_us + u64::from(echo.fact.sent) * interval_ms(echo) * 1_000)
}

/// When data of the exchange was on its way.
fn body_span(exchange: &Seen<'_, Exchange>) -> (u64, u64) {
    let phases = &exchange.phases;
    let before = [phases.resolve_us, phases.connect_us, phases.tls_us, phases.first_byte_us];
    let begin = exchange.at_us + before.into_iter().flatten().sum::<u64>();
    (begin, begin + phases.body_us.unwrap_or_default())
}

fn overlaps(echo: &Seen<'_, Echo>, exchange: &Seen<'_, Exchange>) -> bool {
    let (pings, body) = (span(echo), body_span(exchange));
    pings.0 < body.1 && body.0 < pings.1
}

/// All but the first requests went out while data was on its way.
fn lies_within(echo: &Seen<'_, Echo>, exchange: &Seen<'_, Exchange>) -> bool {
    let (pings, body) = (span(echo), body_span(exchange));
    overlaps(echo, exchange) && pings.1 <= body.1 && (pings.0 + pings.1) / 2 >= body.0
}

impl<'a> Evidence<'a> {
    /// Series of small requests of which some were answered, and whose loss is the network's: none that the system cut short.
    pub(crate) fn answered_series(&self, address: IpAddr) -> impl Iterator<Item = &Seen<'a, Echo>> {
        let whole = |echo: &&Seen<'a, Echo>| {
            // What this machine itself interrupted has still asked and heard what it says.
            let ended = echo.fact.failure.as_ref().is_none_or(|failure| failure.code == FailureCode::Interrupted);
            ended && !echo.replies.is_empty() && echo.fact.errors.is_empty() && !is_fragmented(echo.fact)
        };
        self.echoes_of(address).filter(whole)
    }

    fn lost_of<'s>(series: impl Iterator<Item = &'s Seen<'a, Echo>>) -> Share<'a>
    where
        'a: 's,
    {
        let mut share = Share::default();
        for echo in series {
            let statistics = statistics(echo.fact);
            let answered = u32::try_from(echo.replies.len()).unwrap_or(u32::MAX);
            // What came late was delayed, and what the own socket dropped had arrived.
            let lost = echo.sent.saturating_sub(answered).saturating_sub(statistics.late + statistics.dropped_here);
            share.add(lost, echo.sent, echo.id);
        }
        share
    }

    /// Requests without a reply, of series slow enough that no limit on ICMP explains them.
    pub(crate) fn lost_calmly(&self, address: IpAddr) -> Share<'a> {
        Self::lost_of(self.answered_series(address).filter(|echo| is_calm(echo)))
    }

    /// What was lost of the pings of each pace, in milliseconds from one to the next, the slowest first.
    pub(crate) fn lost_by_pace(&self, address: IpAddr) -> Vec<(u64, Share<'a>)> {
        let mut paces: Vec<u64> = self.answered_series(address).map(interval_ms).collect();
        paces.sort_unstable();
        paces.dedup();
        let at = |pace: u64| Self::lost_of(self.answered_series(address).filter(|echo| interval_ms(echo) == pace));
        paces.into_iter().rev().map(|pace| (pace, at(pace))).collect()
    }

    /// Round trips of pings to the address of an exchange, in microseconds, while its body came.
    pub(crate) fn round_trips_during(&self, exchange: &Seen<'_, Exchange>) -> Vec<u64> {
        let Some(address) = exchange.address else { return Vec::new() };
        let within = |echo: &&Seen<'a, Echo>| lies_within(echo, exchange);
        self.answered_series(address.ip())
            .filter(within)
            .flat_map(|echo| echo.fact.replies.iter().map(|reply| reply.rtt_us))
            .collect()
    }

    /// Calm pings that were lost while netsonde itself moved data to or from the address, which may be its own doing, and those of
    /// other times.
    pub(crate) fn lost_beside_own_load(&self, address: IpAddr) -> (Share<'a>, Share<'a>) {
        let own = |echo: &&Seen<'a, Echo>| {
            let large = |exchange: &&Seen<'a, Exchange>| exchange.body_bytes >= OWN_LOAD_BYTES && overlaps(echo, exchange);
            self.exchanges.iter().any(|exchange| large(&exchange))
        };
        let calm = || self.answered_series(address).filter(|echo| is_calm(echo));
        (Self::lost_of(calm().filter(|echo| own(echo))), Self::lost_of(calm().filter(|echo| !own(echo))))
    }

    /// Pings, probes and connections that went out while netsonde itself moved much data: what they waited for may be its own doing.
    pub(crate) fn beside_own_load(&self) -> Vec<&'a ObservationId> {
        let large = |exchange: &&Seen<'a, Exchange>| exchange.body_bytes >= OWN_LOAD_BYTES && exchange.proxy.is_none();
        let loads: Vec<(u64, u64)> = self.exchanges.iter().filter(large).map(body_span).collect();
        let meets = |(from, to): (u64, u64)| loads.iter().any(|load| from < load.1 && load.0 <= to);
        let pings = self.echoes.iter().filter(|echo| meets(span(echo))).map(|echo| echo.id);
        let hops = self.hops.iter().filter(|hop| meets((hop.at_us, hop.at_us))).map(|hop| hop.id);
        let of_attempt = |attempt: &&super::Attempt<'a>| meets((attempt.at_us, attempt.at_us + attempt.took_us));
        pings.chain(hops).chain(self.attempts().iter().filter(of_attempt).map(|attempt| attempt.id)).collect()
    }

    /// The same of series that send fast.
    pub(crate) fn lost_in_bursts(&self, address: IpAddr) -> Share<'a> {
        Self::lost_of(self.answered_series(address).filter(|echo| !is_calm(echo)))
    }

    /// Probes of traces that the target itself should have answered, and did not.
    pub(crate) fn lost_at_target(&self, address: IpAddr) -> Share<'a> {
        let mut share = Share::default();
        for hop in self.hops_of(address) {
            let arrived = |reply: &netsonde_contract::observation::HopReply| reply.kind == ReplyKind::Arrived;
            if hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref()).any(arrived) {
                let lost = hop.fact.probes.iter().filter(|probe| probe.reply.is_none()).count();
                let sent = u32::try_from(hop.fact.probes.len()).unwrap_or(u32::MAX);
                share.add(u32::try_from(lost).unwrap_or(u32::MAX), sent, hop.id);
            }
        }
        share
    }

    /// A figure of the statistics of each answered series, out of its replies.
    pub(crate) fn of_replies(&self, address: IpAddr, figure: fn(&EchoStatistics) -> u32) -> Share<'a> {
        let mut share = Share::default();
        for echo in self.answered_series(address) {
            let replies = u32::try_from(echo.replies.len()).unwrap_or(u32::MAX);
            share.add(figure(&statistics(echo.fact)).min(replies), replies, echo.id);
        }
        share
    }
}

/// What the series says of itself; of one that was stored without statistics, what its replies tell.
fn statistics(echo: &Echo) -> EchoStatistics {
    let count = |kind| u32::try_from(echo.extra.iter().filter(|extra| extra.kind == kind).count()).unwrap_or(u32::MAX);
    let counted =
        || EchoStatistics { duplicates: count(ExtraKind::Duplicate), late: count(ExtraKind::Late), ..EchoStatistics::default() };
    echo.statistics.as_deref().copied().unwrap_or_else(counted)
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn the_interval_is_wilsons() {
        let share = Share { cases: 2, of: 10, ids: Vec::new() };
        let (low, high) = share.interval();
        assert!((low - 0.0567).abs() < 0.001 && (high - 0.5098).abs() < 0.001, "{low} {high}");
    }

    #[test]
    fn a_difference_that_chance_explains_is_none() {
        let share = |cases, of| Share { cases, of, ids: Vec::new() };
        assert!(share(15, 20).least_above(&share(0, 22)) > 0.4);
        assert!(share(4, 20).least_above(&share(0, 6)) < 0.0);
        assert!(share(0, 20).least_above(&share(0, 22)) < 0.0);
    }

    #[test]
    fn one_case_of_ten_says_nothing() {
        assert!(!Share { cases: 1, of: 10, ids: Vec::new() }.exceeds(0.01));
        assert!(Share { cases: 2, of: 20, ids: Vec::new() }.exceeds(0.01));
        assert!(!Share { cases: 2, of: 200, ids: Vec::new() }.exceeds(0.01));
        assert_eq!(Share::default().interval(), (0.0, 1.0));
    }
}
