use super::{Told, subject};
use jiff::Timestamp;
use netsonde_contract::history::{Changed, Sample, Series, Verdict};
use serde::{Deserialize, Serialize};

/// Load balancing has several usual paths and servers several usual certificates; more than this many are not told apart from new ones.
const MOST_KNOWN: usize = 16;
/// Something new is told once it was seen so often in a row: a router that did not answer once makes no new path.
const CONFIRMED: u32 = 2;
/// Before these many days to its end a certificate is told of.
const EXPIRY_DAYS: [u16; 4] = [30, 14, 7, 1];
/// The usual round-trip time is the median of this many good measurements …
const BASELINE: usize = 60;
/// … once there are this many.
const BASELINE_LEAST: usize = 20;
/// The present one is the median of the last few, so that one slow answer is no news.
const RECENT: usize = 5;
/// Below this nobody feels a difference.
const LEAST_AWAY_US: u64 = 2_000;

/// What is known of a check beside its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct News {
    #[serde(default)]
    paths: Known,
    #[serde(default)]
    chains: Known,
    /// The certificate's end and the fewest days to it that were told of.
    #[serde(default)]
    expiry: Option<(Timestamp, u16)>,
    /// Usual times, the oldest first.
    #[serde(default)]
    usual: Vec<u64>,
    #[serde(default)]
    recent: Vec<u64>,
    /// The times are away from the usual ones, which stand still until they are back …
    #[serde(default)]
    away: bool,
    /// … or there are as many of these as make up the usual time, which they are from then on.
    #[serde(default)]
    unusual: Vec<u64>,
}

/// Digests seen before, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    digests: Vec<String>,
    candidate: Option<(String, u32, Timestamp)>,
}

impl News {
    pub(super) fn observe(&mut self, sample: &Sample, series: &Series) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(path) = &sample.path
            && let Some(began) = self.paths.is_new(path, sample.at)
        {
            let sentence = format!("the path of {} is one that was not seen before, since {began}", subject(series));
            told.push(Told { began, what: Changed::NewPath, sentence });
        }
        if let Some(chain) = &sample.chain
            && let Some(began) = self.chains.is_new(chain, sample.at)
        {
            let sentence = format!("{} shows certificates that were not seen before, since {began}", subject(series));
            told.push(Told { began, what: Changed::NewChain, sentence });
        }
        told.extend(self.expiry(sample, series));
        told.extend(self.rtt(sample, series));
        told
    }

    fn expiry(&mut self, sample: &Sample, series: &Series) -> Option<Told> {
        let expires = sample.expires?;
        let left = expires.duration_since(sample.at);
        let step = EXPIRY_DAYS.into_iter().filter(|days| left.as_secs() <= i64::from(*days) * 86_400).min()?;
        if self.expiry.is_some_and(|(of, days)| of == expires && days <= step) {
            return None;
        }
        self.expiry = Some((expires, step));
        let days = left.as_secs().div_euclid(86_400);
        let when = if days < 0 { "has ended".to_owned() } else { format!("ends in {days} days") };
        let sentence = format!("the certificate of {} {when}: {expires}", subject(series));
        Some(Told { began: sample.at, what: Changed::Expiry { days: step }, sentence })
    }

    fn rtt(&mut self, sample: &Sample, series: &Series) -> Option<Told> {
        let rtt = sample.rtt_us.filter(|_| sample.verdict == Verdict::Good)?;
        push(&mut self.recent, rtt, RECENT);
        if self.usual.len() < BASELINE_LEAST {
            push(&mut self.usual, rtt, BASELINE);
            return None;
        }
        let (usual, present) = (median(&self.usual), median(&self.recent));
        let deviation = median(&self.usual.iter().map(|one| one.abs_diff(usual)).collect::<Vec<_>>());
        let bound = (deviation * 6).max(usual / 2).max(LEAST_AWAY_US);
        // Half the bound leads back, so that a time at the bound does not flap.
        let away = usual.abs_diff(present) > if self.away { bound / 2 } else { bound };
        if away {
            push(&mut self.unusual, rtt, BASELINE);
        } else {
            self.unusual.clear();
            push(&mut self.usual, rtt, BASELINE);
        }
        if self.unusual.len() == BASELINE {
            // It was told when it began, and is no news any more.
            (self.usual, self.away) = (std::mem::take(&mut self.unusual), false);
            return None;
        }
        if away == self.away {
            return None;
        }
        self.away = away;
        let way = if present > usual { "longer" } else { "shorter" };
        let words = if away { format!("takes {way} than usual") } else { "takes as long as usual again".to_owned() };
        let sentence = format!(
            "{} {words}: {} (the median of the last {RECENT}), usually {} (of {} before)",
            subject(series),
            milliseconds(present),
            milliseconds(usual),
            self.usual.len()
        );
        Some(Told { began: sample.at, what: Changed::Rtt { usual_us: usual, now_us: present }, sentence })
    }
}

impl Known {
    /// When this was first seen, if it is new and now certain. The very first is no news.
    fn is_new(&mut self, digest: &str, now: Timestamp) -> Option<Timestamp> {
        if let Some(place) = self.digests.iter().position(|known| known == digest) {
            let known = self.digests.remove(place);
            self.digests.push(known);
            self.candidate = None;
            return None;
        }
        let (count, began) = match self.candidate.take() {
            Some((candidate, count, began)) if candidate == digest => (count + 1, began),
            _ => (1, now),
        };
        if count < CONFIRMED && !self.digests.is_empty() {
            self.candidate = Some((digest.to_owned(), count, began));
            return None;
        }
        let first = self.digests.is_empty();
        push(&mut self.digests, digest.to_owned(), MOST_KNOWN);
        (!first).then_some(began)
    }
}

fn push<T>(list: &mut Vec<T>, item: T, most: usize) {
    list.push(item);
    if list.len() > most {
        list.remove(0);
    }
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
