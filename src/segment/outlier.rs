//! A good image that stands apart from all others.
//!
//! At a small reject rate the threshold is set by the few most unusual good images. If one of them is not good, or is another product, the
//! threshold hides every defect that is less unusual. So whoever gives good images is told of one that stands apart.
//!
//! log₁₀NFA is the logarithm of an expected number, so on good images its tail is about exponential: one decade for a tenth of the
//! images. The gap between the two lowest of many such values is then exponential too, of mean 1/ln 10, and exceeds [`FAR`] decades in 3 of
//! 100 fits.

/// Decades between an outlier and the next image.
const FAR: f32 = 1.5;

/// The most unusual of some good images, where it stands apart from the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlier {
    /// Its place among the images.
    pub index: usize,
    /// Its lowest log₁₀NFA.
    pub log10_nfa: f32,
    /// That of the next image.
    pub next: f32,
}

impl Outlier {
    /// From the lowest log₁₀NFA of each good image, `None` for an image without any evidence.
    pub fn of(lowest: &[Option<f32>]) -> Option<Self> {
        let mut evident: Vec<(usize, f32)> =
            lowest.iter().enumerate().filter_map(|(index, lowest)| Some((index, (*lowest)?))).collect();
        evident.sort_by(|a, b| a.1.total_cmp(&b.1));
        let [(index, log10_nfa), (_, next), ..] = evident[..] else { return None };
        (log10_nfa < next - FAR).then_some(Self { index, log10_nfa, next })
    }

    /// What to tell the user, who knows the image by this name.
    pub fn warning(&self, name: &str) -> String {
        let Self { log10_nfa, next, .. } = self;
        format!(
            "good image {name} is far more unusual than all others (log10 NFA {log10_nfa:.1}, the next {next:.1}) and may set the \
             threshold: look at it; if it is not good, remove it and repeat this command"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_that_stands_apart_is_named() {
        let lowest = [Some(-0.4), Some(-1.35), None, Some(-4.9), Some(-1.0)];
        let outlier = Outlier::of(&lowest).unwrap();
        assert_eq!(outlier, Outlier { index: 3, log10_nfa: -4.9, next: -1.35 });
        assert!(outlier.warning("b.png").contains("b.png") && outlier.warning("").contains("-4.9, the next -1.4"));
    }

    #[test]
    fn images_that_are_alike_have_no_outlier() {
        assert_eq!(Outlier::of(&[Some(-2.8), Some(-1.4), Some(-1.0)]), None);
        assert_eq!(Outlier::of(&[Some(-4.9), Some(-4.8), Some(-1.0)]), None, "two of a kind");
        assert_eq!(Outlier::of(&[Some(-4.9), None]), None, "nothing to compare with");
        assert_eq!(Outlier::of(&[]), None);
    }
}
