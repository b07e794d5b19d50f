//! Chances that repeat themselves: what a story draws by lot.

/// SplitMix64.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Less than this; 0 of nothing.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// As often as that in a hundred.
    pub fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }

    /// One of these.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let number = self.below(u64::try_from(all.len()).expect("small"));
        &all[usize::try_from(number).expect("small")]
    }
}
