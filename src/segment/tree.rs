//! The component tree (max-tree) of a map: its upper level sets' connected components, ordered by inclusion (§3.4.2).
//!
//! Pixels are visited from the highest value down; each joins the components of its visited neighbours and becomes their
//! top (union-find with path halving). A pixel is named by its **rank**, its place in that order, so every parent has a
//! higher rank than its children and all later passes are plain loops over ranks: children first upwards, parents first
//! downwards. Neighbouring pixels of one value are one node, represented by the highest rank among them.
//!
//! Only the pixels handed in take part. Those left out (a region of interest, values too low to matter) may cut the map
//! into several components, so the result is a forest, one tree per component of what takes part.

use super::sort::{Entry, sort_descending};

const ABSENT: u32 = u32::MAX;

/// Which pixels touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connectivity {
    /// Sharing an edge.
    Four,
    /// Sharing an edge or a corner.
    Eight,
}

/// A pixel in the union-find. Paths run over pixels, whose neighbours lie close in memory, as those of ranks do not.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// A pixel of the same component that was visited later, itself for the latest; `ABSENT` before the visit.
    up: u32,
    rank: u32,
}

/// A component tree, with the buffers to build the next one without allocating.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    entries: Vec<Entry>,
    spare: Vec<Entry>,
    /// The pixels of the map, framed by one absent pixel on every side.
    cells: Vec<Cell>,
    /// The parent of each rank; a root is its own.
    parent: Vec<u32>,
    /// Which ranks are further pixels of the node that their parent represents.
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

    /// Orders the pixels of `map` (row-major, `width` columns, non-negative) for which `takes_part(pixel, value)`.
    pub(crate) fn order(&mut self, map: &[f32], width: usize, takes_part: impl Fn(usize, f32) -> bool) {
        let height = map.len() / width;
        self.stride = width + 2;
        self.entries.clear();
        for (y, row) in map.chunks_exact(width).enumerate() {
            let framed = (y + 1) * self.stride + 1;
            for (x, &value) in row.iter().enumerate() {
                if takes_part(y * width + x, value) {
                    self.entries.push(Entry::new(value, (framed + x) as u32));
                }
            }
        }
        sort_descending(&mut self.entries, &mut self.spare);
        self.cells.clear();
        self.cells.resize((height + 2) * self.stride, Cell { up: ABSENT, rank: ABSENT });
    }

    /// Visits the ordered pixels from the highest down, calling `joined(value, components)` with each one's value and the
    /// number of distinct components that it joined. Leaves `parent` linking every pixel to the one that absorbed it.
    pub(crate) fn join(&mut self, connectivity: Connectivity, mut joined: impl FnMut(f32, u32)) {
        let stride = self.stride;
        let around = [stride, 1, stride - 1, stride + 1];
        let directions = if connectivity == Connectivity::Four { 2 } else { 4 };
        self.parent.clear();
        for (rank, entry) in self.entries.iter().enumerate() {
            let pixel = entry.pixel();
            let rank = rank as u32;
            self.cells[pixel] = Cell { up: pixel as u32, rank };
            self.parent.push(rank);
            let mut components = 0;
            for offset in &around[..directions] {
                for neighbour in [pixel - offset, pixel + offset] {
                    if self.cells[neighbour].up == ABSENT {
                        continue;
                    }
                    let top = find(&mut self.cells, neighbour);
                    if top != pixel {
                        self.cells[top].up = pixel as u32;
                        self.parent[self.cells[top].rank as usize] = rank;
                        components += 1;
                    }
                }
            }
            joined(entry.value(), components);
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

    /// After `build`: the node that a rank belongs to (`Link::Member`), or what a node's own parent is.
    pub(crate) fn link(&self, rank: usize) -> Link {
        let parent = self.parent[rank] as usize;
        if parent == rank {
            Link::Root
        } else if self.is_member[rank] {
            Link::Member(parent)
        } else {
            Link::Child(parent)
        }
    }
}

/// What a rank is in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Represents a node without parent.
    Root,
    /// Represents a node whose parent is the node of this rank.
    Child(usize),
    /// One more pixel of the node of this rank.
    Member(usize),
}

/// The top of the component of a visited pixel, halving the path to it.
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
