//! The study: which defects go on which images, round after round. It depends on an [`Observer`] alone, so that it can be tested on
//! answers whose truth is known.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    design,
    kind::{Defect, DefectKind},
    pod::Hit,
    scene::Scene,
    shape,
};
use crate::{Error, Result};

/// Smallest size of a defect in pixels of the source frame.
const SMALLEST: f64 = 2.0;
/// Largest size as a part of the images' shorter side (their median).
const LARGEST_SHARE: f64 = 0.5;
/// Steps of the sequence of places across and down: the two-dimensional golden ratio (Roberts, 2018), which covers a square evenly.
const PLACE_STEPS: [f64; 2] = [0.754_877_666_246_692_8, 0.569_840_290_998_053_3];
/// Fewest good images of a study: a foreign patch needs another image, and the share of good images flagged some to be a share of.
pub const FEWEST_IMAGES: usize = 8;
/// Fewest defects of one kind and contrast.
const FEWEST_DEFECTS: usize = 20;

/// What a study tries.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyOptions {
    /// Kinds of defects.
    pub kinds: Vec<DefectKind>,
    /// Contrasts, as parts of the part's own.
    pub contrasts: Vec<f64>,
    /// Defects of each kind at each contrast.
    pub defects: usize,
    /// Most defects of zero contrast, and most pieces of other images at their own place.
    pub controls: usize,
    /// Seed of all random choices.
    pub seed: u64,
}

impl Default for StudyOptions {
    /// All kinds at a quarter, a half and all of the part's own contrast: 2,100 defects, and 200 for each of both controls.
    fn default() -> Self {
        Self { kinds: DefectKind::ALL.to_vec(), contrasts: vec![0.25, 0.5, 1.0], defects: 100, controls: 200, seed: 0 }
    }
}

impl StudyOptions {
    /// Checks that every option is in its range.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the option.
    pub fn check(&self) -> Result<()> {
        if self.kinds.is_empty() {
            return Err(Error::parameter("kinds", "at least one kind of defect is needed"));
        }
        if self.contrasts.is_empty() || self.contrasts.iter().any(|contrast| !(*contrast > 0.0 && *contrast <= 1.0)) {
            return Err(Error::parameter("contrasts", "must be numbers above 0, at most 1"));
        }
        if self.defects < FEWEST_DEFECTS {
            let reason = format!(
                "{} defects of each kind and contrast tell too little; give {FEWEST_DEFECTS} or more",
                self.defects
            );
            return Err(Error::parameter("defects", reason));
        }
        Ok(())
    }

    /// Images that the model looks at, of so many good ones.
    pub fn looks(&self, images: usize) -> usize {
        images + 2 * self.controls.min(images) + self.kinds.len() * self.contrasts.len() * self.defects
    }
}

/// What a model says of an image with a defect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Whether the image is anomalous.
    pub flagged: bool,
    /// Whether it is, and one of its regions touches the defect.
    pub found: bool,
    /// The image's score, −log₁₀NFA of its most unusual region.
    pub score: f32,
    /// The defect's centre, as parts of the frame's width and height.
    pub centre: [f64; 2],
    /// Root mean square of what the defect changes, in gray levels of 255.
    pub change: f64,
    /// Mean brightness of the surface there, 0 to 1.
    pub light: f64,
    /// Mean step of brightness between neighbouring pixels there, in parts of white.
    pub edges: f64,
}

/// A model and its good images.
pub trait Observer {
    /// What the good images have in common.
    fn scene(&self) -> &Scene;

    /// Which good images the model flags as they are, in order.
    ///
    /// # Errors
    /// Images that cannot be read any more, a model that fails.
    fn flagged(&mut self) -> Result<Vec<bool>>;

    /// What the model says of each defect, one on an image, in order.
    ///
    /// # Errors
    /// As [`flagged`](Self::flagged).
    fn observe(&mut self, defects: &[Defect]) -> Result<Vec<Observed>>;
}

/// A defect and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The defect.
    pub defect: Defect,
    /// What the model says.
    pub observed: Observed,
}

impl Trial {
    pub(super) fn hit(&self) -> Hit {
        Hit { ln_size: self.defect.size.ln(), found: self.observed.found }
    }
}

/// The defects of one kind at one contrast.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Their kind.
    pub kind: DefectKind,
    /// Their contrast.
    pub contrast: f64,
    /// The defects.
    pub trials: Vec<Trial>,
}

/// All that a study saw.
#[derive(Clone, Debug)]
pub struct Study {
    /// Which good images the model flags as they are.
    pub good: Vec<bool>,
    /// Defects of zero contrast, on as many of these images, from the first.
    pub control: Vec<Trial>,
    /// Pieces of other good images at their own place ([`Defect::in_place`]), likewise: what is found of them are their seams, where parts
    /// lie alike.
    pub seams: Vec<Trial>,
    /// The smallest and the largest size that the study may try.
    pub range: [f64; 2],
    /// The defects by kind and contrast.
    pub cells: Vec<Cell>,
}

/// Deals defects to images: the next image that is large enough carries the next defect.
struct Dealer<'a> {
    sizes: &'a [(usize, usize)],
    next: usize,
    random: ChaCha8Rng,
}

impl Dealer<'_> {
    fn defect(&mut self, kind: DefectKind, contrast: f64, size: f64, place: [f64; 2]) -> Result<Defect> {
        let count = self.sizes.len();
        let image =
            (0..count).map(|step| (self.next + step) % count).find(|&image| shape::fits(kind, size, self.sizes[image]));
        let image = image.ok_or_else(|| {
            let reason = format!("no image is large enough for a {} of {size:.0} pixels", kind.words());
            Error::parameter("good", reason)
        })?;
        self.next = image + 1;
        let (donor, seed) = ((image + 1) % count, self.random.random());
        Ok(Defect { kind, contrast, size, place, image, donor, in_place: false, seed })
    }
}

/// Place number `index` of an even sequence that starts at `from`.
fn place(from: [f64; 2], index: usize) -> [f64; 2] {
    [0, 1].map(|axis| (from[axis] + (index as f64 + 0.5) * PLACE_STEPS[axis]).fract())
}

/// Runs a study. `progress` gets the number of images that the model has looked at.
///
/// # Errors
/// Options outside their range, fewer than [`FEWEST_IMAGES`] images or images too small for a defect, and what the observer returns.
pub fn study(options: &StudyOptions, observer: &mut dyn Observer, progress: &mut dyn FnMut(usize)) -> Result<Study> {
    options.check()?;
    let (sizes, side) = (observer.scene().sizes.clone(), observer.scene().shorter_side());
    if sizes.len() < FEWEST_IMAGES {
        let reason = format!("{} good images are too few; at least {FEWEST_IMAGES} are needed", sizes.len());
        return Err(Error::parameter("good", reason));
    }
    let range = [SMALLEST, observer.scene().largest_with_place(&options.kinds, LARGEST_SHARE * side)];
    if range[1] < 4.0 * range[0] {
        let reason = format!(
            "images of {side} pixels, or the region of interest in them, are too small to put defects on: the largest that has a place is {:.0} pixels",
            range[1]
        );
        return Err(Error::parameter("good", reason));
    }
    let good = observer.flagged()?;
    let mut done = good.len();
    progress(done);
    let mut dealer = Dealer { sizes: &sizes, next: 0, random: ChaCha8Rng::seed_from_u64(options.seed) };
    let mut look = |defects: Vec<Defect>| -> Result<Vec<Trial>> {
        let observed = observer.observe(&defects)?;
        done += defects.len();
        progress(done);
        Ok(defects.into_iter().zip(observed).map(|(defect, observed)| Trial { defect, observed }).collect())
    };
    let control = look(controls(options, &sizes, range, &mut dealer.random))?;
    let mut seams = {
        let only = StudyOptions { kinds: vec![DefectKind::ForeignPatch], ..options.clone() };
        // Random numbers of their own.
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(1);
        controls(&only, &sizes, range, &mut random)
    };
    seams.iter_mut().for_each(|defect| (defect.contrast, defect.in_place) = (1.0, true));
    let seams = look(seams)?;
    let mut cells: Vec<Cell> = (options.kinds.iter())
        .flat_map(|&kind| options.contrasts.iter().map(move |&contrast| Cell { kind, contrast, trials: Vec::new() }))
        .collect();
    let starts: Vec<[f64; 2]> = cells.iter().map(|_| [dealer.random.random(), dealer.random.random()]).collect();
    for round in 0..design::ROUND_COUNT {
        let mut defects = Vec::new();
        let mut counts = Vec::new();
        for (cell, &start) in cells.iter().zip(&starts) {
            let hits: Vec<Hit> = cell.trials.iter().map(Trial::hit).collect();
            let sizes = design::ln_sizes(round, options.defects, range.map(f64::ln), &hits);
            counts.push(sizes.len());
            for (index, ln_size) in sizes.into_iter().enumerate() {
                let place = place(start, hits.len() + index);
                defects.push(dealer.defect(cell.kind, cell.contrast, ln_size.exp(), place)?);
            }
        }
        let mut trials = look(defects)?.into_iter();
        for (cell, count) in cells.iter_mut().zip(counts) {
            cell.trials.extend(trials.by_ref().take(count));
        }
    }
    Ok(Study { good, control, seams, range, cells })
}

/// Defects of zero contrast: every kind and size, one on each of the first images.
fn controls(options: &StudyOptions, sizes: &[(usize, usize)], range: [f64; 2], random: &mut ChaCha8Rng) -> Vec<Defect> {
    let count = options.controls.min(sizes.len());
    let start = [random.random(), random.random()];
    (0..count)
        .map(|image| {
            let kind = options.kinds[image % options.kinds.len()];
            let share = ((image / options.kinds.len()) as f64 * 0.618_034).fract();
            let mut size = range[0] * (range[1] / range[0]).powf(share);
            while size > range[0] && !shape::fits(kind, size, sizes[image]) {
                size = (0.8 * size).max(range[0]);
            }
            let (place, donor) = (place(start, image), (image + 1) % sizes.len());
            Defect { kind, contrast: 0.0, size, place, image, donor, in_place: false, seed: random.random() }
        })
        .collect()
}
