//! Times over time in one line of text.

/// Drawn at a time that was not measured, and at one where it failed.
const NOTHING: char = '·';
const FAILED: char = '×';
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One measurement of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A good one, with its value in any unit.
    Value(u64),
    Failed,
    Nothing,
}

/// A line of at most `width` characters, the oldest first. Where there are more points each character stands for several: it shows a
/// failure if there was one among them, else their largest value. The lowest step is the least value, the highest the largest.
pub fn line(points: &[Point], width: usize) -> String {
    let per_character = points.len().div_ceil(width.max(1)).max(1);
    let values = || points.iter().filter_map(|point| if let Point::Value(value) = point { Some(*value) } else { None });
    let (least, most) = (values().min().unwrap_or_default(), values().max().unwrap_or_default());
    let range = u128::from(most - least).max(1);
    let step = |value: u64| {
        let place = u128::from(value - least) * (STEPS.len() as u128 - 1) / range;
        usize::try_from(place).ok().and_then(|place| STEPS.get(place)).copied().unwrap_or(NOTHING)
    };
    let character = |some: &[Point]| {
        if some.contains(&Point::Failed) {
            return FAILED;
        }
        some.iter()
            .filter_map(|point| if let Point::Value(value) = point { Some(*value) } else { None })
            .max()
            .map_or(NOTHING, step)
    };
    points.chunks(per_character).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::Point::{Failed, Nothing, Value};
    use super::*;

    #[test]
    fn a_failure_is_seen_however_many_measurements_share_a_character() {
        assert_eq!(line(&[Value(10), Value(20), Failed, Nothing], 10), "▁█×·");
        let mut day = vec![Value(5); 1_440];
        day[700] = Failed;
        let drawn = line(&day, 60);
        assert_eq!((drawn.chars().count(), drawn.matches('×').count()), (60, 1));
    }

    #[test]
    fn nothing_and_extremes_are_drawn() {
        assert_eq!(line(&[], 10), "");
        assert_eq!(line(&[Value(0), Value(u64::MAX)], 10), "▁█");
        assert_eq!(line(&[Nothing, Value(7)], 0), "▁");
    }
}
