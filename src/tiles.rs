//! Frames that are much larger than the network's input: overlapping tiles go through the networks, and their maps are joined to one.
//!
//! ```text
//! frame ──resize──▶ 1920 × 1088 ──cut──▶ tiles of 448 × 448 ──networks──▶ a map of each tile ──join──▶ one map of the frame
//! ```
//!
//! Near its border a tile's map is not that of the frame: the network saw padding there in place of what lies beside the tile. So tiles
//! overlap, and of each tile only the cells count that are not nearer to the border of the tile than to that of its neighbour. At the border of the
//! frame there is no neighbour, and the tile counts up to it.
//!
//! Everything after the networks sees one map: the component trees, the number of tests and so ε and the rejection rate are those of the frame.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, s};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, latents::ScaleShape};

/// Overlap of neighbouring tiles unless something else is asked for, in pixels of the network's input.
pub const DEFAULT_OVERLAP: u32 = 128;
/// Largest width and height of a frame that is cut.
pub const MAX_SIDE: u32 = 65_536;
/// Most pixels of such a frame.
pub const MAX_PIXELS: u64 = 1 << 28;
/// Cells of the maps of a frame from which on they are kept at a part of the frame's size.
const MOST_CELLS: u64 = 1 << 22;
/// The smallest part. It is no coarser than the finest scale of the backbones in use.
const LARGEST_PART: u32 = 4;

/// How frames are cut: a package's `input.tiles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Columns of the frame that is cut: frames of other sizes are resized to it.
    pub width: u32,
    /// Rows of the frame that is cut.
    pub height: u32,
    /// Least pixels that neighbouring tiles share; at most half of a tile.
    pub overlap: u32,
}

impl Tiles {
    /// Width and height of the maps: the frame's, or a half or a quarter where it is large.
    pub fn map_size(&self) -> (u32, u32) {
        let part = self.map_part();
        (self.width.div_ceil(part), self.height.div_ceil(part))
    }

    fn map_part(&self) -> u32 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        [1, 2].into_iter().find(|part| pixels / u64::from(part * part) <= MOST_CELLS).unwrap_or(LARGEST_PART)
    }

    /// The shape of the frame's map, where tiles of this width and height have maps of this shape.
    pub fn joined(&self, (width, height): (u32, u32), shape: ScaleShape) -> ScaleShape {
        let cells = |frame: u32, tile: u32, cells: usize| frame as usize * cells / (tile as usize).max(1);
        ScaleShape {
            height: cells(self.height, height, shape.height),
            width: cells(self.width, width, shape.width),
            ..shape
        }
    }

    /// The first thing that is wrong with tiles of this width and height.
    pub(crate) fn problem(&self, (width, height): (u32, u32)) -> Option<String> {
        let Self { width: frame_width, height: frame_height, overlap } = *self;
        for (name, side, tile) in [("width", frame_width, width), ("height", frame_height, height)] {
            if side > tile && overlap > tile / 2 {
                let most = tile / 2;
                return Some(format!(
                    "overlap: {overlap} is more than half of the network's input, whose {name} is {tile}: at most {most}"
                ));
            }
            if !(tile..=MAX_SIDE).contains(&side) {
                return Some(format!("{name}: {side} is not within {tile} (the network's input) to {MAX_SIDE}"));
            }
        }
        let pixels = u64::from(frame_width) * u64::from(frame_height);
        if pixels > MAX_PIXELS {
            return Some(format!(
                "{frame_width}×{frame_height} are {pixels} pixels; at most {MAX_PIXELS} can be cut into tiles"
            ));
        }
        None
    }
}

/// The tiles of a frame along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    /// Pixels of the frame and of a tile.
    length: usize,
    tile: usize,
    /// First pixel of each tile, ascending.
    starts: Vec<usize>,
}

impl Side {
    /// Tiles at multiples of `step` that cover `length`. The overlap is at least `overlap`.
    fn new(length: usize, tile: usize, overlap: usize, step: usize) -> Self {
        let stride = (tile.saturating_sub(overlap) / step * step).max(step);
        let mut starts: Vec<usize> =
            (0..).map(|tile| tile * stride).take_while(|start| start + tile < length).collect();
        starts.push(length - tile);
        Self { length, tile, starts }
    }

    /// The cells of the frame's map that a tile gives, where a cell is `cell` pixels long.
    fn given(&self, tile: usize, cell: usize) -> Range<usize> {
        let border = |next: usize| {
            let shared = self.starts[next - 1] + self.tile - self.starts[next];
            self.starts[next] / cell + shared / cell / 2
        };
        let from = if tile == 0 { 0 } else { border(tile) };
        let to = if tile + 1 == self.starts.len() { self.length / cell } else { border(tile + 1) };
        from..to
    }
}

/// The tiles of a frame: where each lies, and which cells of the frame's maps it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    rows: Side,
    columns: Side,
}

impl Tiling {
    /// Tiles of this (height, width), for a network with these maps, finest first.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a frame or a tile that does not consist of whole cells of the coarsest scale, with the nearest sizes that do.
    pub fn new(tiles: &Tiles, (height, width): (u32, u32), shapes: &[ScaleShape]) -> Result<Self> {
        if let Some(reason) = tiles.problem((width, height)) {
            return Err(Error::parameter("tiles", reason));
        }
        let (Some(finest), Some(coarsest)) = (shapes.first(), shapes.last()) else {
            return Err(Error::parameter("tiles", "the network has no scale"));
        };
        if tiles.map_part() as usize * finest.width > width as usize {
            let reason = format!(
                "the maps of a frame of {}×{} would be coarser than the finest scale",
                tiles.width, tiles.height
            );
            return Err(Error::parameter("tiles", reason));
        }
        let side = |name: &str, frame: u32, tile: u32, cells: usize| -> Result<Side> {
            let (frame, tile) = (frame as usize, tile as usize);
            let step = tile / cells.max(1);
            if step == 0 || step * cells != tile {
                let reason = format!(
                    "the network's input has a {name} of {tile}, which {cells} cells of the coarsest scale do not divide"
                );
                return Err(Error::parameter("input_size", reason));
            }
            if !frame.is_multiple_of(step) {
                let (below, above) = (frame / step * step, frame.div_ceil(step) * step);
                let reason = format!(
                    "a {name} of {frame} is no multiple of {step}, the coarsest scale's stride: {below} and {above} are the nearest"
                );
                return Err(Error::parameter("tiles", reason));
            }
            Ok(Side::new(frame, tile, tiles.overlap as usize, step))
        };
        Ok(Self {
            rows: side("height", tiles.height, height, coarsest.height)?,
            columns: side("width", tiles.width, width, coarsest.width)?,
        })
    }

    /// How many tiles there are.
    pub fn len(&self) -> usize {
        self.rows.starts.len() * self.columns.starts.len()
    }

    /// Never: a frame has at least one tile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row and column of a tile's first pixel. Tiles are numbered row by row.
    pub fn origin(&self, tile: usize) -> (usize, usize) {
        let columns = self.columns.starts.len();
        (self.rows.starts[tile / columns], self.columns.starts[tile % columns])
    }

    /// Copies a tile's cells into the frame's map.
    pub fn place(&self, tile: usize, map: ArrayView2<'_, f32>, joined: &mut ArrayViewMut2<'_, f32>) {
        let columns = self.columns.starts.len();
        let part = |side: &Side, tile: usize, cells: usize| {
            let cell = side.tile / cells;
            let given = side.given(tile, cell);
            let start = side.starts[tile] / cell;
            (given.clone(), given.start - start..given.end - start)
        };
        let (rows, from_rows) = part(&self.rows, tile / columns, map.nrows());
        let (columns, from_columns) = part(&self.columns, tile % columns, map.ncols());
        joined.slice_mut(s![rows, columns]).assign(&map.slice(s![from_rows, from_columns]));
    }
}

/// The nearest length to `length` of whole cells of `step` pixels that is at least `least`.
pub fn nearest(length: u32, step: u32, least: u32) -> u32 {
    let step = step.max(1);
    ((length + step / 2) / step * step).max(least)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Each cell comes from exactly one tile, from its own place in it, and not from near the border that the tile has inside the frame.
        #[test]
        fn a_map_that_is_cut_and_joined_is_itself(
            (step, tile_cells) in (1..5_usize, 2..8_usize), extra in (0..30_usize, 0..30_usize), overlap in 0..8_usize, finer in 1..4_usize,
        ) {
            let (step, finer) = (step << finer, 1 << finer);
            let tile = tile_cells * step;
            let overlap = (overlap * step).min(tile / 2);
            let (height, width) = (tile + extra.0 * step, tile + extra.1 * step);
            let tiles = Tiles { width: width as u32, height: height as u32, overlap: overlap as u32 };
            let coarsest = ScaleShape { channels: 1, height: tile_cells, width: tile_cells };
            let fine = ScaleShape { channels: 1, height: finer * tile_cells, width: finer * tile_cells };
            let tiling = Tiling::new(&tiles, (tile as u32, tile as u32), &[fine, coarsest]).unwrap();
            for shape in [fine, coarsest] {
                let cell = tile / shape.height;
                let whole = tiles.joined((tile as u32, tile as u32), shape);
                prop_assert_eq!((whole.height, whole.width), (height / cell, width / cell));
                let map = Array2::from_shape_fn((whole.height, whole.width), |(y, x)| (y * whole.width + x) as f32);
                let mut joined = Array2::from_elem(map.dim(), -1.0);
                let mut given = 0;
                for tile in 0..tiling.len() {
                    let (y, x) = tiling.origin(tile);
                    prop_assert!(y % step == 0 && x % step == 0);
                    let (y, x) = (y / cell, x / cell);
                    let part = map.slice(s![y..y + shape.height, x..x + shape.width]);
                    let before = joined.clone();
                    tiling.place(tile, part, &mut joined.view_mut());
                    given += joined.iter().zip(&before).filter(|(now, before)| now != before).count();
                    for ((row, column), _) in joined.indexed_iter().filter(|&((r, c), now)| before[(r, c)] != *now) {
                        for (at, start, cells, whole) in [(row, y, shape.height, whole.height), (column, x, shape.width, whole.width)] {
                            let margin = overlap / 2 / cell;
                            prop_assert!(start == 0 || at >= start + margin);
                            prop_assert!(start + cells == whole || at + margin < start + cells);
                        }
                    }
                }
                prop_assert_eq!(&joined, &map);
                prop_assert_eq!(given, map.len());
            }
        }
    }

    #[test]
    fn what_does_not_fit_names_the_sizes_that_do() {
        let shapes = [ScaleShape { channels: 4, height: 7, width: 7 }];
        let of = |width, height, overlap| Tiling::new(&Tiles { width, height, overlap }, (448, 448), &shapes);
        assert_eq!(of(1920, 1088, 128).unwrap().len(), 6 * 3);
        assert_eq!(of(448, 448, 128).unwrap().len(), 1);
        let text = of(1920, 1080, 128).unwrap_err().to_string();
        assert!(text.contains("a height of 1080 is no multiple of 64") && text.contains("1024 and 1088"), "{text}");
        assert!(of(1920, 400, 128).unwrap_err().to_string().contains("height: 400 is not within 448"));
        assert!(of(1920, 1088, 300).unwrap_err().to_string().contains("at most 224"));
        assert!(of(65_536, 65_536, 128).unwrap_err().to_string().contains("at most 268435456"));
        let odd = Tiling::new(&Tiles { width: 1000, height: 1000, overlap: 0 }, (450, 450), &shapes);
        assert!(odd.unwrap_err().to_string().contains("7 cells of the coarsest scale do not divide"));
    }

    #[test]
    fn maps_of_large_frames_are_a_part_of_their_size() {
        let of = |width, height| Tiles { width, height, overlap: 0 }.map_size();
        assert_eq!((of(1920, 1088), of(2048, 2048)), ((1920, 1088), (2048, 2048)));
        assert_eq!((of(8192, 8192), of(12_288, 1024)), ((2048, 2048), (6144, 512)));
    }

    #[test]
    fn the_nearest_length_has_whole_cells() {
        assert_eq!((nearest(1080, 64, 448), nearest(1056, 64, 448), nearest(100, 64, 448)), (1088, 1088, 448));
    }
}
