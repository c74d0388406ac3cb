//! What counts of answers allow to say, and no more.

use netsonde_contract::observation::{RateShare, RateVerdict, Share};

/// More ways out of one router than this are not looked for: nobody's hardware spreads wider over paths of one cost.
pub(super) const MAX_WAYS: usize = 64;
/// A share of answers whose interval stays below this is one of real misses.
const NEARLY_ALL: f64 = 0.98;

/// [`Share::of`].
pub(super) fn share(hits: u32, of: u32) -> Share {
    Share::of(hits, of)
}

/// What the same router's answers at two rates say of it.
pub(super) fn verdict(slow: &RateShare, fast: &RateShare) -> RateVerdict {
    if fast.answers.high < slow.answers.low {
        RateVerdict::RateLimited
    } else if slow.sent > 0 && slow.answered == slow.sent && fast.answered == fast.sent {
        RateVerdict::AnswersAll
    } else if slow.answers.high < NEARLY_ALL && fast.answers.high < NEARLY_ALL {
        RateVerdict::Loss
    } else {
        RateVerdict::Unclear
    }
}

/// How many flows have to pass a router, and meet `found` ways out and no other, until there is no further one with this certainty:
/// the smallest n at which all of `found` + 1 evenly used ways would have been met with it (Augustin, Friedman, Teixeira 2007; Veitch
/// et al. 2009).
pub(super) fn flows_needed(found: usize, confidence: u8) -> usize {
    /// Beyond what any permitted certainty takes of [`MAX_WAYS`].
    const MOST: usize = 2_000;
    let ways = found.clamp(1, MAX_WAYS) + 1;
    let risk = 1.0 - f64::from(confidence) / 100.0;
    // By the number of ways met, its chance after so many flows thrown evenly at all of them.
    let mut met = vec![0.0_f64; ways + 1];
    met[0] = 1.0;
    for flows in 1..MOST {
        for count in (1..=ways).rev() {
            let again = met[count] * count as f64 / ways as f64;
            met[count] = again + met[count - 1] * (ways - count + 1) as f64 / ways as f64;
        }
        met[0] = 0.0;
        if 1.0 - met[ways] <= risk {
            return flows;
        }
    }
    MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stopping_rule_gives_the_published_numbers() {
        let at_95: Vec<usize> = (1..=16).map(|found| flows_needed(found, 95)).collect();
        assert_eq!(at_95, [6, 11, 16, 21, 27, 33, 38, 44, 51, 57, 63, 70, 76, 83, 90, 96]);
        let at_99: Vec<usize> = (1..=5).map(|found| flows_needed(found, 99)).collect();
        assert_eq!(at_99, [8, 15, 21, 28, 36]);
    }

    #[test]
    fn an_interval_holds_its_share_and_narrows() {
        let (few, many) = (share(8, 10), share(80, 100));
        assert!((few.low - 0.490).abs() < 0.001 && (few.high - 0.943).abs() < 0.001, "{few:?}");
        assert!(many.low > few.low && many.high < few.high);
        assert_eq!(share(0, 0), Share { share: 0.0, low: 0.0, high: 1.0 });
        assert!(share(10, 10).high <= 1.0 && share(0, 10).low >= 0.0);
    }

    #[test]
    fn a_limit_is_told_from_loss_and_chance_from_both() {
        let at = |sent, answered| RateShare { gap_us: 1, sent, answered, answers: share(answered, sent) };
        for (slow, fast, verdict_is) in [
            (at(10, 10), at(50, 7), RateVerdict::RateLimited),
            (at(10, 5), at(50, 24), RateVerdict::Loss),
            (at(10, 10), at(50, 50), RateVerdict::AnswersAll),
            (at(10, 9), at(50, 48), RateVerdict::Unclear),
            (at(0, 0), at(0, 0), RateVerdict::Unclear),
        ] {
            assert_eq!(verdict(&slow, &fast), verdict_is, "{slow:?} {fast:?}");
        }
    }
}
