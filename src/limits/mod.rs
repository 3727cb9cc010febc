//! How small a defect may be and still be found: synthetic defects of known size, contrast and kind on good images, judged by a model at its
//! own decision.
//!
//! ```text
//! good images → Scene → study: Defect → paint → Detector → found or missed → Pod (a90/95) and places → LimitsReport
//! ```
//!
//! - **Defects** ([`DefectKind`]) are drawn by `paint`, which also says how the pasting itself is kept from being found.
//! - **Contrast** is a part of the part's own contrast C, the difference between its light and its dark places (95% and 5% of all pixels of
//!   the good images). A scratch of contrast 1 on a dark place is as light as the part's light places. Full scale would not compare
//!   products: half of it is more than all that a dark part has. Where a defect replaces the surface (missing, shifted and foreign texture),
//!   contrast 1 replaces all of it. The report gives gray levels too.
//! - **Size** is the largest extent in pixels of the source frame.
//! - **Found** means that the image is anomalous and a region shares at least one pixel with the defect, as in evaluation. An image that is
//!   flagged for another reason does not count.
//! - **One defect an image**: a second one would be found more easily, because regions are shown once the image is anomalous.
//! - **Sizes** are chosen in rounds (`design`): over the whole range first, then where detection rises.
//! - **a90/95**, the term of non-destructive testing, is computed as in MIL-HDBK-1823A with a wider bound (`pod`).
//! - **Control**: defects of contrast 0 go through the same steps, and the same images are judged as they are.

mod design;
mod kind;
mod observer;
mod paint;
mod pair;
mod pixels;
mod places;
mod pod;
mod report;
mod scene;
mod shape;
mod study;
#[cfg(test)]
mod tests;

pub use kind::{Defect, DefectKind};
pub use observer::{FileObserver, GoodImage};
pub use pair::{PairedStudy, pair};
pub use places::{Factor, PlaceMap, Surroundings};
pub use pod::{Hit, Outcome, Pod, PodPoint};
pub use report::{ControlReport, Example, KindReport, LimitsReport, SizeBin, StudiedImages};
pub use scene::{ImageFacts, Picture, Scene};
pub use study::{Cell, FEWEST_IMAGES, Observed, Observer, Study, StudyOptions, Trial, study};
