//! Groups of agents are asked in waves, so that what goes wrong goes wrong for few.

use netsonde_contract::api::fleet::DeliveryState;

/// What follows once a wave has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Somebody of it is still at work, or was not reached yet.
    Wait,
    /// The next wave's turn.
    Go,
    /// More of it failed than the order bears.
    Stop,
}

/// Which wave the agent at each place of `count` is in: so many of the first as `sizes` says, and so on; all others come last.
pub(crate) fn assign(sizes: &[u32], count: usize) -> Vec<u32> {
    let mut waves = Vec::with_capacity(count);
    for (wave, size) in (0..).zip(sizes) {
        waves.extend(std::iter::repeat_n(wave, (*size as usize).min(count - waves.len())));
    }
    let last = waves.last().map_or(0, |wave| wave + 1);
    waves.resize(count, last);
    waves
}

/// Judges a wave by how many of its agents are in each state. Whatever did not end in a bundle failed, but for what was cancelled.
pub(super) fn judge(states: impl IntoIterator<Item = (DeliveryState, u64)>, stop_at_failed_percent: Option<u8>) -> Next {
    let (mut all, mut failed) = (0, 0);
    for (state, count) in states {
        if !state.is_final() {
            return Next::Wait;
        }
        all += count;
        if !matches!(state, DeliveryState::Uploaded | DeliveryState::Cancelled) {
            failed += count;
        }
    }
    match stop_at_failed_percent {
        Some(most) if failed * 100 > u64::from(most) * all => Next::Stop,
        _ => Next::Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeliveryState as State;

    #[test]
    fn everybody_has_a_wave_and_the_rest_come_last() {
        assert_eq!(assign(&[1, 2], 6), [0, 1, 1, 2, 2, 2]);
        assert_eq!(assign(&[], 2), [0, 0]);
        assert_eq!(assign(&[5, 9], 3), [0, 0, 0]);
        assert_eq!(assign(&[0, 1], 2), [1, 2], "an empty wave is none");
    }

    #[test]
    fn a_wave_is_waited_for_and_too_many_failures_stop_the_next() {
        assert_eq!(judge([(State::Uploaded, 9), (State::Running, 1)], Some(0)), Next::Wait);
        assert_eq!(judge([(State::Uploaded, 8), (State::Failed, 2)], Some(20)), Next::Go);
        assert_eq!(judge([(State::Uploaded, 7), (State::Failed, 2), (State::Refused, 1)], Some(20)), Next::Stop);
        assert_eq!(judge([(State::Failed, 10)], None), Next::Go);
        assert_eq!(judge([(State::Cancelled, 1)], Some(0)), Next::Go);
    }
}
