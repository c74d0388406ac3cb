//! The line that a limit draws: it lets through what its tokens allow, which come at its rate and are saved for a while where less is sent
//! (RFC 2697 section 3; Flach et al., "An Internet-Wide Analysis of Traffic Policing", 2016). What has come by any moment never lies above
//! that line, and comes back to it whenever the sender catches up.

/// Tenths of a second: in fewer there is no line to see.
const LEAST_SLICES: usize = 20;

/// So often, and in both the first and the last third of the time, what has come is as much as the limit allows.
const LEAST_TOUCHES: usize = 8;

/// Clearly more than the rate: so many times.
const AT_ONCE: f64 = 1.5;

/// Bytes a second of the line that the bytes of each tenth of a second stay below; none where there is no such line. A tenth of a second's
/// worth is allowed above it, because a burst may fall on either side of where the slices are cut.
pub(super) fn rate(slices: &[u64]) -> Option<u64> {
    // The last slice is cut by the end.
    let whole = slices.get(..slices.len().checked_sub(1)?).filter(|whole| whole.len() >= LEAST_SLICES)?;
    let sums: Vec<f64> = whole
        .iter()
        .scan(0, |sum, bytes| {
            *sum += bytes;
            Some(*sum as f64)
        })
        .collect();
    let (first_third, last_third) = (1..=whole.len() / 3, whole.len() * 2 / 3..whole.len());
    let lines = first_third.flat_map(|from| last_third.clone().map(move |to| (from, to)));
    let touched = lines.filter_map(|(from, to)| touches(&sums, from, to)).max_by_key(|(touches, _)| *touches);
    touched.filter(|(touches, _)| *touches >= LEAST_TOUCHES).map(|(_, slope)| (slope * 10.0) as u64)
}

/// How often the sums come near to the line through two of them, and how steep it is; none where one lies above it.
fn touches(sums: &[f64], from: usize, to: usize) -> Option<(usize, f64)> {
    let (first, last) = (sums.get(from)?, sums.get(to)?);
    let slope = (last - first) / (to - from) as f64;
    let line = |at: usize| first + slope * (at - from) as f64;
    let later = || sums.iter().enumerate().skip(from);
    if slope <= 0.0 || later().any(|(at, sum)| *sum > line(at) + slope) {
        return None;
    }
    Some((later().filter(|(at, sum)| **sum >= line(*at) - slope).count(), slope))
}

/// How often clearly more than the rate, in bytes a second, came right behind a pause: what nothing queued, for a queue lets through its rate
/// and no more, whatever it had to wait for.
pub(super) fn at_once(slices: &[u64], rate: u64) -> usize {
    let whole = slices.get(..slices.len().saturating_sub(1)).unwrap_or_default();
    whole.windows(2).filter(|pair| pair[0] == 0 && pair[1] as f64 * 10.0 >= rate as f64 * AT_ONCE).count()
}

#[cfg(test)]
mod tests {
    use super::{at_once, rate};

    /// Segments that came each tenth of a second from a limit of 256,000 bytes a second a fraction of a millisecond away: at first the
    /// sender waits for its timer time and again, then it goes on below the limit, and at last spends what was saved meanwhile.
    const NEAR: [u64; 44] = [
        2, 0, 37, 0, 31, 0, 13, 21, 10, 21, 20, 10, 20, 10, 21, 18, 9, 18, 18, 19, 9, 18, 18, 18, 16, 16, 16, 17, 16, 16, 16, 17,
        82, 0, 46, 0, 36, 0, 39, 0, 13, 9, 0, 25,
    ];

    #[test]
    fn what_a_limit_lets_through_lies_below_its_line_and_comes_back_to_it() {
        let slices = NEAR.map(|segments| segments * 1_428);
        let rate = rate(&slices).unwrap();
        assert!((240_000..280_000).contains(&rate), "{rate}");
        assert_eq!(at_once(&slices, rate), 5);
    }

    #[test]
    fn what_grows_faster_all_the_time_or_ends_early_has_no_line() {
        let growing: Vec<u64> = (0..40).map(|at| at * at * 100).collect();
        assert_eq!(rate(&growing), None);
        assert_eq!(rate(&[25_000; 15]), None);
        assert_eq!(rate(&[0; 40]), None);
        assert_eq!(rate(&[25_000; 40]), Some(250_000));
    }

    #[test]
    fn a_queue_is_as_fast_behind_a_pause_as_ever() {
        assert_eq!(at_once(&[25_000, 0, 25_000, 0, 0, 25_000, 25_000], 250_000), 0);
    }
}
