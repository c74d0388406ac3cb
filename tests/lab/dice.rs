/// Random numbers that are the same for the same seed (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to, and not including, 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn falls(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.next() < chance
    }

    /// From `from` up to `to`, rounded to hundredths, as a person would write it down.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        ((from + (to - from) * self.next()) * 100.0).round() / 100.0
    }

    /// From `from` to `to`, both included.
    pub(crate) fn whole(&mut self, from: u64, to: u64) -> u64 {
        from + (self.next() * (to - from + 1) as f64) as u64
    }

    /// One of these; none of nothing.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get((self.next() * of.len() as f64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut dice = Dice::new(5);
        let drawn: Vec<u64> = (0..200).map(|_| dice.whole(2, 4)).collect();
        assert!([2, 3, 4].iter().all(|number| drawn.contains(number)) && drawn.iter().all(|number| (2..=4).contains(number)));
        assert!((0..200).all(|_| (0.1..=0.3).contains(&dice.between(0.1, 0.3))));
        assert_eq!(dice.pick::<u8>(&[]), None);
    }
}
