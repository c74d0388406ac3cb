//! What a traceroute knows beyond addresses and times: headers as routers quote them, label stacks, paths side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopName {
    /// The address that has the names.
    pub address: IpAddr,
    /// From its PTR record.
    pub name: String,
}

/// An address's line of the file that the user gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopOrigin {
    /// The address.
    pub address: IpAddr,
    /// The longest prefix that holds the address, in bits.
    pub prefix_length: u8,
    /// The autonomous system's number.
    pub asn: u32,
    /// What the file calls the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One entry of an MPLS label stack (RFC 3032 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MplsLabel {
    /// 20 bits.
    pub label: u32,
    /// 3 bits (RFC 5462).
    pub traffic_class: u8,
    /// It is the last label of the stack (RFC 3032 section 2.1).
    pub bottom_of_stack: bool,
    /// Its TTL (RFC 3032 section 2.1).
    pub ttl: u8,
}

/// The probe's headers as a router got them, by its quote. What stands in `Changed` was rewritten on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quoted {
    /// TTL or hop limit on arrival: 1 where every router before counted it down by one.
    pub ttl: u8,
    /// On arrival.
    pub dscp: u8,
    /// On arrival: 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced.
    pub ecn: u8,
    /// The DSCP that was sent, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp_sent: Option<u8>,
    /// The ECN field that was sent, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn_sent: Option<u8>,
    /// The quoted source, where it is another than the one sent from: a translator that does not translate its errors back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The source port, where it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<Changed>,
    /// The destination port, where it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<Changed>,
    /// The IPv4 identification (Dublin traceroute's mark of a translator), or the identifier of an echo request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identification: Option<Changed>,
    /// Checksum of the transport header: a translator has to change it with addresses and ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Changed>,
}

impl Quoted {
    /// Addresses, ports, identification or checksum are not as they were sent.
    pub fn is_rewritten(&self) -> bool {
        let fields = [self.source_port, self.destination_port, self.identification, self.checksum];
        self.source.is_some() || fields.iter().any(Option::is_some)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// What was sent.
    pub sent: u16,
    /// What the quoted packet had.
    pub quoted: u16,
}

/// A share with its Wilson score interval at 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// From 0 to 1.
    pub share: f64,
    /// The lower end of the 95 % interval, 0 to 1.
    pub low: f64,
    /// The upper end of the 95 % interval, 0 to 1.
    pub high: f64,
}

impl Share {
    /// Of `hits` among `of` (Wilson 1927); all is possible where nothing was tried.
    pub fn of(hits: u32, of: u32) -> Self {
        /// The standard normal's quantile for a two-sided interval at 95 %.
        const Z: f64 = 1.959_964;
        if of == 0 {
            return Self { share: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, p) = (f64::from(of), f64::from(hits) / f64::from(of));
        let spread = Z * Z / n;
        let centre = (p + spread / 2.0) / (1.0 + spread);
        let half = Z / (1.0 + spread) * (p * (1.0 - p) / n + spread / (4.0 * n)).sqrt();
        Self { share: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }
}

/// One router asked at two rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateTest {
    /// What the slow probes showed.
    pub slow: RateShare,
    /// What the fast probes showed.
    pub fast: RateShare,
    /// What the two together mean.
    pub verdict: RateVerdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateShare {
    /// Between two probes.
    pub gap_us: u64,
    /// Probes sent at this rate.
    pub sent: u32,
    /// Probes answered at this rate.
    pub answered: u32,
    /// The share answered.
    pub answers: Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateVerdict {
    /// It answers a smaller share of quick questions, beyond what chance explains: it limits its answers.
    RateLimited,
    /// It misses questions at both rates alike.
    Loss,
    /// It answers all at both rates.
    AnswersAll,
    /// The intervals do not tell.
    Unclear,
}

/// Another router at the same distance for the same flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteChange {
    /// The distance, from 1.
    pub ttl: u8,
    /// In which round the new one answered first, from 0.
    pub round: u8,
    /// Who had answered before.
    pub before: IpAddr,
    /// Who answered afterwards.
    pub after: IpAddr,
}

/// How the replies are told to their probes, and what that keeps constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceIds {
    /// One flow; a field that routers do not hash tells the probes apart (Paris traceroute).
    Paris,
    /// As Paris, and the IPv4 identification tells the probes too, so that a translator is seen (Dublin traceroute).
    Dublin,
    /// Each probe is a flow of its own.
    Classic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceClock {
    /// From the probe's way out of the kernel to the reply's way in.
    KernelRxTx,
    /// From the program's call to the reply's way into the kernel.
    KernelRx,
    /// From the program's call to the program's wake-up: too long by what the scheduler takes.
    Process,
}

/// What a trace without raw sockets does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceLacks {
    /// The probe's headers as routers got them: rewriting and marking on the way stay unseen.
    QuotedHeaders,
    /// One flow for all probes: routers that share load may show several paths as one, and paths are not looked for.
    ConstantFlow,
    /// Replies to the same probe after the first.
    Duplicates,
}

/// All paths that flows to the target take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Multipath {
    /// Percent of certainty, at each router, that no way out of it was missed, if it spreads flows evenly; parallel routers that all lead
    /// to the same next one count as one there.
    pub confidence: u8,
    /// The stopping rule was met everywhere; else a bound or the deadline ended the search.
    pub complete: bool,
    /// Flows that were tried.
    pub flows: u16,
    /// Sent in the search.
    pub probes: u32,
    /// The paths that were found, each with what was measured on it.
    pub paths: Vec<TracePath>,
}

impl Multipath {
    /// The path whose loss is certain and worse than that of every other, beyond what chance explains.
    pub fn lossiest(&self) -> Option<&TracePath> {
        let known = || self.paths.iter().filter_map(|path| Some((path, path.loss?)));
        let (worst, loss) = known().max_by(|(_, one), (_, other)| one.share.total_cmp(&other.share))?;
        let stands_out = known().all(|(path, other)| std::ptr::eq(path, worst) || other.high < loss.low);
        (stands_out && loss.low > 0.0 && self.paths.len() > 1).then_some(worst)
    }

    /// Tells no loss that the target's own limit may have made: whoever answers with ICMP errors may send few of them (RFC 1812 section
    /// 4.3.2.8), as Linux does, one a second to each asker. A limit spares no path, so that where one had all of its answers the others'
    /// misses are lost; where each misses some, the counts move to [`TracePath::doubtful`]. Counts that stand there already are weighed
    /// again.
    pub fn doubt_losses(&mut self) {
        for path in &mut self.paths {
            if let Some(doubtful) = path.doubtful.take() {
                path.sent = path.sent.saturating_add(doubtful.sent);
                path.answered = path.answered.saturating_add(doubtful.answered);
                path.loss = Some(Share::of(path.sent.saturating_sub(path.answered), path.sent));
            }
        }
        if self.paths.iter().any(|path| path.sent > 0 && path.answered >= path.sent) {
            return;
        }
        for path in self.paths.iter_mut().filter(|path| path.sent > 0) {
            path.doubtful = Some(PathAnswers { sent: path.sent, answered: path.answered });
            (path.sent, path.answered, path.loss) = (0, 0, None);
        }
    }
}

/// Probes along one path and their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathAnswers {
    /// Probes sent to the target along the path.
    pub sent: u32,
    /// Those that were answered.
    pub answered: u32,
}

/// One path and how it fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TracePath {
    /// A flow that takes it, from 0.
    pub flow: u16,
    /// How many of the flows take it.
    pub flows: u16,
    /// By distance, from 1; none where nothing answered.
    pub hops: Vec<Option<IpAddr>>,
    /// Probes sent to the target along this path. With UDP the first ones of the search are among them, where the target answered all of
    /// a path's, and all or none of this one's.
    pub sent: u32,
    /// Probes of this path that were answered.
    pub answered: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Share>,
    /// Counts that tell no loss, as the target's own limit on its answers would look the same; then none are in `sent` and `answered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful: Option<PathAnswers>,
    /// Round-trip times on this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttSpread>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RttSpread {
    /// The smallest, in microseconds.
    pub min_us: u64,
    /// The middle value, in microseconds.
    pub median_us: u64,
    /// The largest, in microseconds.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(counts: &[(u32, u32)]) -> Multipath {
        let path = |(sent, answered): &(u32, u32)| TracePath {
            flow: 0,
            flows: 1,
            hops: Vec::new(),
            sent: *sent,
            answered: *answered,
            loss: Some(Share::of(sent - answered, *sent)),
            doubtful: None,
            rtt: None,
        };
        Multipath { confidence: 95, complete: true, flows: 6, probes: 12, paths: counts.iter().map(path).collect() }
    }

    #[test]
    fn what_a_limit_of_the_target_may_have_made_is_no_loss() {
        let mut alone = found(&[(20, 19)]);
        alone.doubt_losses();
        let path = &alone.paths[0];
        assert_eq!((path.sent, path.loss, path.doubtful), (0, None, Some(PathAnswers { sent: 20, answered: 19 })));
        // The same holds where it is weighed twice.
        alone.doubt_losses();
        assert_eq!(alone.paths[0].doubtful, Some(PathAnswers { sent: 20, answered: 19 }));
        assert!(alone.lossiest().is_none());
    }

    #[test]
    fn a_path_that_has_all_of_its_answers_shows_that_nothing_limits() {
        let mut two = found(&[(20, 20), (20, 8)]);
        two.doubt_losses();
        assert!(two.paths.iter().all(|path| path.doubtful.is_none()));
        assert_eq!(two.lossiest().map(|path| path.answered), Some(8));
    }
}
