//! Images that look defective, by what a model says that did not see them.

use super::{
    finding::{Finding, Kind},
    robust::Usual,
};

/// Robust deviations of log₁₀NFA below the median beyond which an image is named, and the deviation's floor in decades.
const FAR: f64 = 5.0;
const FLOOR: f64 = 0.3;

/// The strongest evidence against an image, by a model that did not see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The lowest log₁₀NFA.
    pub log10_nfa: f32,
    /// Where it is, as parts of width and height: x, y.
    pub place: [f32; 2],
}

impl From<(f32, [f32; 2])> for Evidence {
    fn from((log10_nfa, place): (f32, [f32; 2])) -> Self {
        Self { log10_nfa, place }
    }
}

/// Images whose evidence is far below the others'. `None` stands for an image that was not measured or has no evidence at all.
pub(super) fn findings(evidence: &[Option<Evidence>]) -> Vec<Finding> {
    let values = || evidence.iter().flatten().map(|evidence| f64::from(evidence.log10_nfa));
    let highest = values().fold(f64::NEG_INFINITY, f64::max);
    let usual = Usual::of(values(), FLOOR);
    let distance = FAR * usual.deviation;
    let limit = usual.median - distance;
    let of = |(image, evidence): (usize, &Option<Evidence>)| {
        let Evidence { log10_nfa, place } = (*evidence)?;
        let figure = f64::from(log10_nfa);
        (figure < limit).then(|| Finding {
            kind: Kind::Defective,
            image,
            figure,
            unit: "lowest log10 NFA",
            usual: [limit, highest],
            resembles: None,
            place: Some(place),
            strength: (usual.median - figure) / distance,
        })
    };
    evidence.iter().enumerate().filter_map(of).collect()
}

/// The images by their evidence, the strongest first; those without any are left out.
pub fn ranking(evidence: &[Option<Evidence>]) -> Vec<usize> {
    let mut order: Vec<(usize, f32)> =
        evidence.iter().enumerate().filter_map(|(image, evidence)| Some((image, (*evidence)?.log10_nfa))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    order.into_iter().map(|(image, _)| image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(values: impl IntoIterator<Item = f32>) -> Vec<Option<Evidence>> {
        values.into_iter().map(|log10_nfa| Some(Evidence { log10_nfa, place: [0.5, 0.25] })).collect()
    }

    #[test]
    fn images_far_below_the_others_are_named_with_their_place() {
        // As good images are by the definition of NFA: k of n have at most k/n.
        let mut all = evidence((1..=60).map(|k| (k as f32 / 60.0).log10()));
        assert_eq!(findings(&all), [], "one decade for each tenth of the images is usual");
        all.extend(evidence([-4.0, -9.0]));
        all.push(None);
        let found = findings(&all);
        assert_eq!(found.iter().map(|finding| finding.image).collect::<Vec<_>>(), [60, 61]);
        assert_eq!((found[0].place, found[1].figure), (Some([0.5, 0.25]), -9.0));
        assert_eq!(ranking(&all)[..3], [61, 60, 0]);
        assert_eq!(ranking(&all).len(), 62);
    }

    #[test]
    fn without_evidence_nothing_is_named() {
        assert_eq!(findings(&[]), []);
        assert_eq!(findings(&[None, None]), []);
        assert_eq!(ranking(&[None]), [0; 0]);
    }
}
