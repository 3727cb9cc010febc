//! The component tree (max-tree) of a map: its upper level sets' connected components, ordered by inclusion (§3.4.2).
//!
//! Pixels are visited from the highest value down; each joins the components of its visited neighbours and becomes their
//! top. A pixel is known by its **rank**, its place in that order, so every parent has a higher rank than its children and
//! all later passes are plain loops over ranks: children first upwards, parents first downwards. Neighbouring pixels of one
//! value are one node, represented by the highest rank among them.
//!
//! A union-find with path halving tells which component a pixel is in. There a new pixel hangs directly below the pixel that names
//! its component. In the tree it is the top; as the top of the union-find it would make every path longer.
//!
//! Only the given pixels take part. Pixels that are left out (outside a region of interest, or with values too low to matter) may
//! split the map into several components, so the result is a forest: one tree for each component.
//!
//! Consecutive ranks lie anywhere in the map, so on a map larger than the cache every visit would wait for memory. The next visits are
//! known in advance, so each pass that jumps prefetches some ranks ahead.

use super::sort::{PixelEntry, sort_descending};
use crate::kernel::prefetch;

const ABSENT: u32 = u32::MAX;
/// How many ranks ahead memory is prefetched: early enough to arrive in time, late enough not to be evicted before use.
const AHEAD: usize = 16;
/// Up to this number of pixels, everything lies in the second cache and prefetching has no use.
const NEAR: usize = 1 << 14;

/// Which pixels touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connectivity {
    /// Sharing an edge.
    Four,
    /// Sharing an edge or a corner.
    Eight,
}

/// A pixel in the union-find. Paths run over pixels, because neighbouring pixels are close in memory and neighbouring ranks are not.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// A pixel of the same component; the pixel itself if it names the component; `ABSENT` before the visit.
    up: u32,
    /// For the pixel that names a component: the rank of the component's top.
    top: u32,
}

/// A component tree, with the buffers to build the next one without allocating.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    entries: Vec<PixelEntry>,
    spare: Vec<PixelEntry>,
    /// The pixels of the map, framed by one absent pixel on every side.
    cells: Vec<Cell>,
    /// The parent of each rank; a root is its own.
    parent: Vec<u32>,
    /// Whether a rank is a further pixel of the node that its parent represents.
    is_member: Vec<bool>,
    stride: usize,
}

impl Tree {
    /// A tree with room for `pixels` pixels in a map of `height` × `width`.
    pub(crate) fn with_capacity(height: usize, width: usize) -> Self {
        let pixels = height * width;
        Self {
            entries: Vec::with_capacity(pixels),
            spare: Vec::with_capacity(pixels),
            cells: Vec::with_capacity((height + 2) * (width + 2)),
            parent: Vec::with_capacity(pixels),
            is_member: Vec::with_capacity(pixels),
            stride: 0,
        }
    }

    /// How many ranks ahead to prefetch; beyond the last rank if prefetching has no use.
    pub(crate) fn ahead(&self) -> usize {
        if self.entries.len() > NEAR { AHEAD } else { NEAR }
    }

    /// Orders the pixels of `map` (row-major, `width` columns, non-negative) for which `takes_part(pixel, value)`.
    pub(crate) fn order(&mut self, map: &[f32], width: usize, takes_part: impl Fn(usize, f32) -> bool) {
        self.order_by(map, width, PixelEntry::new, takes_part);
    }

    /// As [`order`](Self::order), for values that `entry` gives an order.
    pub(crate) fn order_by(
        &mut self,
        map: &[f32],
        width: usize,
        entry: impl Fn(f32, u32) -> PixelEntry,
        takes_part: impl Fn(usize, f32) -> bool,
    ) {
        let height = map.len() / width;
        self.stride = width + 2;
        self.entries.resize(map.len(), PixelEntry::default());
        // Which pixels take part is almost random. Every entry is written and some are kept, so no branch is needed.
        let mut kept = 0;
        for (y, row) in map.chunks_exact(width).enumerate() {
            let framed = (y + 1) * self.stride + 1;
            for (x, &value) in row.iter().enumerate() {
                self.entries[kept] = entry(value, (framed + x) as u32);
                kept += usize::from(takes_part(y * width + x, value));
            }
        }
        self.entries.truncate(kept);
        sort_descending(&mut self.entries, &mut self.spare);
        self.cells.clear();
        self.cells.resize((height + 2) * self.stride, Cell { up: ABSENT, top: ABSENT });
    }

    /// Visits the ordered pixels from the highest down, calling `joined(key, components)` with each one's key and the
    /// number of distinct components that it joined. Leaves `parent` linking every pixel to the one that absorbed it.
    pub(crate) fn join(&mut self, connectivity: Connectivity, mut joined: impl FnMut(u32, u32)) {
        let stride = self.stride;
        let around = [stride, 1, stride - 1, stride + 1];
        let directions = if connectivity == Connectivity::Four { 2 } else { 4 };
        let ahead = self.ahead();
        self.parent.clear();
        for (rank, entry) in self.entries.iter().enumerate() {
            if let Some(later) = self.entries.get(rank + ahead) {
                for pixel in [later.pixel() - stride, later.pixel(), later.pixel() + stride] {
                    prefetch(&self.cells, pixel);
                }
            }
            let pixel = entry.pixel();
            let rank = rank as u32;
            self.parent.push(rank);
            let mut name = pixel;
            let mut components = 0;
            for offset in &around[..directions] {
                for neighbour in [pixel - offset, pixel + offset] {
                    if self.cells[neighbour].up == ABSENT {
                        continue;
                    }
                    let found = find(&mut self.cells, neighbour);
                    if found == name {
                        continue;
                    }
                    self.parent[self.cells[found].top as usize] = rank;
                    if name == pixel {
                        name = found;
                    } else {
                        self.cells[found].up = name as u32;
                    }
                    components += 1;
                }
            }
            self.cells[pixel].up = name as u32;
            self.cells[name].top = rank;
            joined(entry.key(), components);
        }
    }

    /// Builds the tree of the 4-connected components of the pixels of `map` that take part.
    pub(crate) fn build(&mut self, map: &[f32], width: usize, takes_part: impl Fn(usize, f32) -> bool) {
        self.order(map, width, takes_part);
        self.join(Connectivity::Four, |_, _| {});
        self.is_member.clear();
        self.is_member.resize(self.entries.len(), false);
        // Ranks of one value are consecutive: `last` is the highest of those that share the current rank's.
        let mut last = 0;
        for rank in (0..self.entries.len()).rev() {
            if self.entries.get(rank + 1).is_none_or(|next| next.key() != self.entries[rank].key()) {
                last = rank;
            }
            let mut parent = self.parent[rank] as usize;
            if self.is_member[parent] {
                parent = self.parent[parent] as usize;
                self.parent[rank] = parent as u32;
            }
            self.is_member[rank] = parent != rank && parent <= last;
        }
    }

    /// Number of pixels that take part.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value of a rank's pixel.
    pub(crate) fn value(&self, rank: usize) -> f32 {
        self.entries[rank].value()
    }

    /// The pixel of a rank, as its index in the map handed to `build`.
    pub(crate) fn pixel(&self, rank: usize) -> usize {
        let framed = self.entries[rank].pixel();
        framed - self.stride - 1 - 2 * (framed / self.stride - 1)
    }

    /// After `join`: for each rank, the rank of the pixel that absorbed it; the top has its own. After `build`: for a rank that represents
    /// a node, the rank of the node's parent, or its own if there is no parent; for every other rank, the rank that represents its node.
    pub(crate) fn parents(&self) -> &[u32] {
        &self.parent
    }

    /// After `build`: whether this is one more pixel of a node that another rank represents.
    pub(crate) fn is_member(&self, rank: usize) -> bool {
        self.is_member[rank]
    }
}

/// The pixel that names the component of a visited pixel, halving the path to it.
fn find(cells: &mut [Cell], pixel: usize) -> usize {
    let mut at = pixel;
    loop {
        let up = cells[at].up as usize;
        let next = cells[up].up;
        if next as usize == up {
            return up;
        }
        cells[at].up = next;
        at = next as usize;
    }
}
