//! A search for better settings of a fit, without a defective image: backbone, input size, strides and noise.
//!
//! ```text
//! good images → three quarters: candidates are fitted to them, one after the other, from the best settings so far
//!             → a quarter, set aside: the same synthetic defects for every candidate → scores → AUROC → choice
//! ```
//!
//! - **Candidates** (`settings`) change one setting of the best so far: the settings as given first, then the size of the input, the strides,
//!   the noise, the backbone. What the user has set is held and not searched ([`Held`]).
//! - **Defects** are those of [`limits`](crate::limits), of every kind at two contrasts, one on an image. Their sizes are chosen where the first
//!   candidate's detection rises. Every candidate sees the same defects on the same images, which no candidate was trained on.
//! - **Choice** (`choice`): other settings replace the best so far only if their AUROC is higher beyond chance, by DeLong's paired test. The
//!   order of settings by synthetic defects is not always their order by real ones (`benches/auto.md`), so the largest AUROC alone does not win.
//! - **Record** (`record`): what was judged is kept after each candidate. A search that was ended goes on from there and comes to the same choice.
//! - **Features** are kept beside the record, and candidates of the same features share them.

mod choice;
mod judge;
mod record;
mod report;
mod run;
mod settings;
#[cfg(test)]
mod tests;

pub use judge::Judged;
pub use report::{Outcome, Row, Searched};
pub use run::{FEWEST_IMAGES, SearchEvent, SearchOptions, search};
pub use settings::{Held, Network, Settings};
