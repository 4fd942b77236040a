//! Measuring in turns: a machine that is busy with something else for a while is so for both.

use std::fmt;

use anyhow::Result;

/// What was measured and its floor, round for round.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// What was measured.
    pub ours: Vec<f64>,
    /// The floor.
    pub floor: Vec<f64>,
}

/// A median, and between what the rounds lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Pairs {
    /// Measures both in turns, so often each.
    ///
    /// # Errors
    /// When one cannot be measured.
    pub async fn in_turns(
        rounds: usize,
        mut ours: impl AsyncFnMut() -> Result<f64>,
        mut floor: impl AsyncFnMut() -> Result<f64>,
    ) -> Result<Self> {
        let mut pairs = Self::default();
        for _ in 0..rounds {
            pairs.ours.push(ours().await?);
            pairs.floor.push(floor().await?);
        }
        Ok(pairs)
    }

    /// Ours by the floor's, round for round.
    #[must_use]
    pub fn ratio(&self) -> Spread {
        let ratios = self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor);
        Spread::of(&ratios.collect::<Vec<_>>())
    }
}

impl Spread {
    /// Of these.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { median: median(values), low, high }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = self;
        // A ratio far below 1 needs its digits too.
        let digits = if median.abs() < 0.095 { 3 } else { 2 };
        write!(f, "{median:.digits$} ({low:.digits$}–{high:.digits$})")
    }
}

/// The one in the middle; not a number where there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which such a share of them lies.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list, clamped to it"
    )]
    let at = (share * last as f64).round() as usize;
    sorted[at.min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        let values = [5.0, 1.0, 3.0];
        assert_eq!(Spread::of(&values), Spread { median: 3.0, low: 1.0, high: 5.0 });
        assert_eq!(quantile(&values, 1.0), 5.0);
        assert!(median(&[]).is_nan());
    }

    #[tokio::test]
    async fn both_are_measured_in_turns() {
        let order = std::cell::RefCell::new(String::new());
        let ours = async || {
            order.borrow_mut().push('a');
            Ok(2.0)
        };
        let floor = async || {
            order.borrow_mut().push('b');
            Ok(4.0)
        };
        let pairs = Pairs::in_turns(3, ours, floor).await.unwrap();
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!(pairs.ratio(), Spread { median: 0.5, low: 0.5, high: 0.5 });
    }
}
