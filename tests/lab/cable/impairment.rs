use super::super::scenario::Family;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a cable does to the packets that it carries, one direction or both. Neighbour discovery (ARP, ICMPv6 133 to 137) always passes
/// at once, so that a fault stays the same and does not turn into an unreachable neighbour after half a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impairment {
    /// The nodes at the cable's ends, the one nearer to the client first.
    pub between: [String; 2],
    #[serde(default)]
    pub direction: Direction,
    /// Only packets of this family are lost, doubled, overtaken or changed.
    #[serde(default)]
    pub family: Option<Family>,
    /// Only this share of the flows is, 0 to 1, chosen by a hash of addresses, protocol and ports: always the same flows.
    #[serde(default = "all")]
    pub flows: f64,
    #[serde(default)]
    pub delay_ms: f64,
    /// Added to the delay or taken from it, evenly distributed; alone it never lets packets overtake each other.
    #[serde(default)]
    pub jitter_ms: f64,
    /// The share of packets that is lost, 0 to 1.
    #[serde(default)]
    pub loss: f64,
    /// How likely the next packet is lost after a lost one, 0 to 1; as likely as any where it is 0.
    #[serde(default)]
    pub burst: f64,
    /// The share of packets that arrives twice.
    #[serde(default)]
    pub duplicate: f64,
    /// The share of packets that goes without the delay, and so overtakes others.
    #[serde(default)]
    pub reorder: f64,
    /// The share of packets of which one byte behind the IP header changes.
    #[serde(default)]
    pub corrupt: f64,
    /// What is lost, doubled, overtaken and changed falls evenly: of so many packets of one kind that follow each other as the share's
    /// inverse says, exactly one, so that a sample of them always shows it. A kind is a protocol, an identifier of pings, a distance, and of
    /// connections whether a packet begins one or brings something.
    #[serde(default)]
    pub evenly: bool,
    /// How long packets wait at most in a queue that fills and empties as time goes by: a quarter of each period nothing waits, then it
    /// grows, then it falls.
    #[serde(default)]
    pub queue_ms: f64,
    /// How long the queue takes to fill and empty once.
    #[serde(default)]
    pub period_ms: f64,
    /// Kilobits a second; 0 for no limit.
    #[serde(default)]
    pub rate_kbit: u64,
    /// Kilobytes that may wait for the rate; more is dropped. 0 for no limit.
    #[serde(default)]
    pub queue_kb: u64,
    /// Nothing is carried.
    #[serde(default)]
    pub down: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    #[default]
    Both,
    /// Away from the client.
    There,
    /// Towards the client.
    Back,
}

impl Impairment {
    /// One that changes nothing yet.
    pub(crate) fn none(between: [String; 2]) -> Self {
        Self {
            between,
            direction: Direction::Both,
            family: None,
            flows: all(),
            delay_ms: 0.0,
            jitter_ms: 0.0,
            loss: 0.0,
            burst: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            evenly: false,
            queue_ms: 0.0,
            period_ms: 0.0,
            rate_kbit: 0,
            queue_kb: 0,
            down: false,
        }
    }

    /// The shares of packets to which something happens by dice.
    pub(crate) fn shares(&self) -> [f64; 4] {
        [self.loss, self.duplicate, self.reorder, self.corrupt]
    }

    /// How long a packet takes one way at the most, a limited rate aside.
    pub(crate) fn longest(&self) -> Duration {
        let ms = self.delay_ms.max(0.0) + self.jitter_ms.max(0.0) + self.queue_ms.max(0.0);
        // A longer one than any is refused where the file is read.
        Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or(Duration::MAX / 4)
    }

    /// How long a packet waits in the queue that comes at this time, in milliseconds.
    pub(super) fn wait_ms(&self, now_ms: f64) -> f64 {
        /// The part of each period in which the queue is empty.
        const EMPTY: f64 = 0.25;
        if self.queue_ms <= 0.0 || self.period_ms <= 0.0 {
            return 0.0;
        }
        let filled = ((now_ms / self.period_ms).fract() - EMPTY).max(0.0) / (1.0 - EMPTY);
        self.queue_ms * (1.0 - (2.0 * filled - 1.0).abs())
    }

    pub(super) fn concerns(&self, there: bool) -> bool {
        match self.direction {
            Direction::Both => true,
            Direction::There => there,
            Direction::Back => !there,
        }
    }
}

fn all() -> f64 {
    1.0
}
