//! Data sets, metrics, and the commands that report them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../backbones/mod.rs"]
mod backbones;
mod cli;
mod datasets;
mod layouts;
mod masks;
mod metrics;
mod touching;

use uflow::segment::Region;

/// A region that fills its box.
fn region([x, y, width, height]: [u32; 4], log10_nfa_min: f32) -> Region {
    let (right, bottom) = (x + width, y + height);
    Region {
        bbox: [x, y, width, height],
        area: width * height,
        centroid: [f64::from(x + right) / 2.0, f64::from(y + bottom) / 2.0],
        log10_nfa_min,
        p_value: Some(0.01),
        score_max: 0.9,
        scale: 0,
        outline: vec![vec![[x, y], [right, y], [right, bottom], [x, bottom]]],
    }
}
