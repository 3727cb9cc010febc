//! Drift of a line: whether the frames of a model are still like its good images, by sequential tests with a stated run length.
//!
//! A [`Watch`] reads the lowest log₁₀NFA and the brightness of every frame, in order. It tells three changes apart:
//!
//! | kind | what changes | what it means |
//! |---|---|---|
//! | [`Shift`](Kind::Shift) | many frames have slightly low p-values, most frames are extreme, or all are darker or brighter | light, focus, position |
//! | [`Calm`](Kind::Calm) | p-values are too high, or too equal | the camera repeats a picture, a covered lens, easier pictures |
//! | [`Defects`](Kind::Defects) | extreme frames are more frequent than before | more defects |
//!
//! A frame is extreme where its p-value is at most the given share, or the smallest that the good images can tell.
//!
//! # The tests
//! Each test is an e-detector of Shiryaev–Roberts form (Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential
//! change detection", 2022), with bets e_i of several strengths i:
//!
//! ```text
//! R_i ← (R_i + 1)·e_i,   M = Σ_i w_i·R_i with Σ_i w_i = 1,   alarm where share·M ≥ N
//! ```
//!
//! Where the mean of every bet, given the frames before it, is at most 1, M less the number of frames is a supermartingale. So n frames
//! have at most n·share/N false alarms on average. The shares of the tests add up to 1: all together have at most one in N frames.
//!
//! # Why the mean of a bet is 1
//! The distributions of log₁₀NFA and of brightness are not known; the values of n good images are. Let a new good image be exchangeable with them. Then the
//! masses of the n + 1 gaps between the values are Dirichlet(1, …, 1), whatever the distribution is. So the probability of each gap for the
//! next frame, given the gaps of the frames before it, is known. It is that of Pólya's urn:
//!
//! ```text
//! P(gap j | frames so far) = (1 + frames in gap j) / (n + 1 + frames)
//! ```
//!
//! A bet divides the mass of a density over a frame's bin of gaps by this probability. Its mean is exactly 1, with 20 good images as with
//! 2000; few images give little evidence, not more false alarms. Equal values are ordered at random, by numbers with a fixed seed.
//!
//! - `shift` and `calm` bet on the bin of frames that are not extreme. A Dirichlet distribution without some gaps is one again. So
//!   defects do not disturb these tests as far as they are extreme, however many there are.
//! - `light` bets on the bin of a frame's brightness, towards both ends, and on the frames that are not extreme: defects change the brightness.
//!   A network's evidence hardly depends on the light, so p-values alone do not tell it. The package has the brightness of its good images.
//! - `start` does the same for a difference that was there from the first frame, which the other tests learn.
//! - `majority` bets that more than half of the frames are extreme. It compares with no other frame.
//! - `defects` cannot take its null from good images, which say nothing of defects. It compares the line with its own past: under a constant
//!   rate, the place of a frame among all frames so far is uniform. It learns the rate from every frame before the change.
//!
//! A shift makes frames extreme, too. Where `shift` has much evidence, or most of the last frames are extreme, an alarm of `calm` or `defects`
//! is one of a shift.
//!
//! # After an alarm
//! The alarm stays raised, and the tests go on from zero. What was learned since the change began is forgotten, and nothing is learned
//! while an alarm is raised. A further alarm of a raised kind is not told. An alarm is over when no test finds the change again in
//! [`QUIET`] frames, or in ten times as many frames as it took to find if that is more; or when it is [cleared](Watch::clear).
//!
//! # What is not covered
//! Frames that depend on each other, such as many pictures of one part, have more false alarms. So has a line whose good parts differ from
//! the good images from the start; such an alarm is right, and new good images end it. Daylight is a change of the light.

mod bets;
mod detector;
mod extremes;
mod panel;
mod reference;
mod start;
mod watch;

pub use detector::{FRAMES_TOLD, Telling};
pub use watch::{Alarm, Evidence, FEWEST_IMAGES, Kind, News, Options, QUIET, SHORTEST_RUN, Watch};

#[cfg(test)]
mod tests;
