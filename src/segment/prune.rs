//! Procedures 1 and 2 of §3.4.2: which components of the tree are the regions.
//!
//! As published, on an explicit tree:
//!
//! ```text
//! repeat
//!   prune: from each leaf go up while each next node has one child; of these keep the node of lowest log₁₀PFA
//!          (on a tie the one nearer the leaf), join its neighbours
//!   merge: where all children of a node with two or more are leaves and its log₁₀PFA ≤ the least of theirs, remove them
//! until nothing changes
//! ```
//!
//! No pass rebuilds a tree here, because the outcome below a node depends only on what is below it. A subtree is **closed**
//! when the procedures shrink it to one node, its best:
//!
//! ```text
//! no child            closed, best = the node itself
//! one child           closed if the child is; best = the node if its log₁₀PFA < that of the child's best, else that
//! two or more         closed if all are and log₁₀PFA(node) ≤ the least of their bests'; then best = the node
//! ```
//!
//! A fork that fails once always fails: its children are leaves already and nothing below them can change. The
//! leaves that remain are the bests of the closed subtrees whose parent is not closed: from such a subtree's top down, the
//! first node that is the best of its own subtree. One pass up and one down, both without branches on what they find, which
//! no CPU can predict.
//!
//! **Chernoff's bound needs only pixels with U > C.** A node with a ≤ 1 has log₁₀PFA 0, and all its descendants' are ≤ 0:
//! it is never chosen over a node below 0, and merging at it removes only leaves at 0, whose pixels carry 0 either way.
//! Leaving such pixels out halves the tree and does not change the map; the tests hold this against the full tree.

use super::tree::Tree;
use crate::kernel::prefetch;

/// What is known of a node once its descendants have been seen.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Least log₁₀PFA of the children's bests; once the node has been seen, of its own best if it is closed. On the way
    /// down that of the region the node belongs to, 0 where none.
    log10_pfa: f64,
    /// Pixels of the component.
    pixels: u32,
    /// 0, 1, or 2 for more.
    children: u8,
    closed: bool,
    /// Closed, and its own best.
    is_best: bool,
    /// On the way down: no region holds the node, so one may start below.
    is_open: bool,
}

const FRESH: Node =
    Node { log10_pfa: f64::INFINITY, pixels: 1, children: 0, closed: true, is_best: false, is_open: true };

/// Least value of a map: far below anything meaningful, and its interpolation stays finite in f32.
const LOWEST: f64 = -1e38;

/// Scratch of the two passes.
#[derive(Debug, Default)]
pub(crate) struct Pruner {
    nodes: Vec<Node>,
}

impl Pruner {
    /// Room for trees of up to `pixels` pixels.
    pub(crate) fn with_capacity(pixels: usize) -> Self {
        Self { nodes: Vec::with_capacity(pixels) }
    }

    /// Writes the regions of `tree` to `map`, which holds zeros. `weigh(n, u)` is the log₁₀PFA, or log₁₀NFA, of a node of n
    /// pixels of at least u; `write` turns a region's into what its pixels get, and is called once for each.
    pub(crate) fn run(
        &mut self,
        tree: &Tree,
        weigh: impl Fn(u32, f32) -> f64,
        write: impl FnMut(f64) -> f64,
        map: &mut [f32],
    ) {
        self.ascend(tree, weigh);
        self.descend(tree, write, map);
    }

    fn ascend(&mut self, tree: &Tree, weigh: impl Fn(u32, f32) -> f64) {
        self.nodes.clear();
        self.nodes.resize(tree.len(), FRESH);
        let (parents, ahead) = (tree.parents(), tree.ahead());
        for (rank, &parent) in parents.iter().enumerate() {
            if let Some(&later) = parents.get(rank + ahead) {
                prefetch(&self.nodes, later as usize);
            }
            let parent = parent as usize;
            if tree.is_member(rank) {
                self.nodes[parent].pixels += 1;
                continue;
            }
            let node = &mut self.nodes[rank];
            let own = weigh(node.pixels, tree.value(rank));
            let is_fork = node.children > 1;
            node.closed &= !is_fork | (own <= node.log10_pfa);
            node.is_best = node.closed & (is_fork | (own < node.log10_pfa));
            node.log10_pfa = lesser(own, node.log10_pfa);
            let node = *node;
            // A root adds to itself what is not read any more.
            let parent = &mut self.nodes[parent];
            parent.log10_pfa = lesser(node.log10_pfa, parent.log10_pfa);
            parent.pixels = parent.pixels.wrapping_add(node.pixels);
            parent.children = (parent.children + 1).min(2);
            parent.closed &= node.closed;
        }
    }

    /// Turns each node's log₁₀PFA into what is written of the region it belongs to, 0 where none.
    fn descend(&mut self, tree: &Tree, mut write: impl FnMut(f64) -> f64, map: &mut [f32]) {
        let (parents, ahead) = (tree.parents(), tree.ahead());
        for (rank, &parent) in parents.iter().enumerate().rev() {
            if let Some(later) = rank.checked_sub(ahead) {
                prefetch(&self.nodes, parents[later] as usize);
                prefetch(map, tree.pixel(later));
            }
            let above = self.nodes[parent as usize];
            let is_open = above.is_open | (parent as usize == rank);
            let node = &mut self.nodes[rank];
            let own = if node.is_best & is_open { write(node.log10_pfa) } else { 0.0 };
            node.log10_pfa = if is_open { own } else { above.log10_pfa };
            node.is_open = is_open & !node.is_best;
            map[tree.pixel(rank)] = node.log10_pfa.max(LOWEST) as f32;
        }
    }
}

/// `f64::min` of two numbers, without its care for NaN: this is where one node waits for the one before.
fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[cfg(test)]
#[path = "../../tests/segment/oracle.rs"]
mod oracle;

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    fn run(map: &Array2<f32>, log10_tail: impl Fn(f32) -> f64) -> Array2<f32> {
        let mut tree = Tree::default();
        tree.build(map.as_slice().unwrap(), map.ncols(), |_, _| true);
        let mut out = Array2::zeros(map.dim());
        Pruner::default().run(&tree, |n, u| f64::from(n) * log10_tail(u), |value| value, out.as_slice_mut().unwrap());
        out
    }

    /// With −level as a pixel's log₁₀PFA, 2 pixels at level 3 tie with 3 at level 2 and 6 at level 1.
    fn linear(u: f32) -> f64 {
        -f64::from(u)
    }

    #[test]
    fn a_tie_on_a_branch_keeps_the_node_nearer_the_leaf() {
        assert_eq!(run(&array![[2.0, 1.0]], linear), array![[-2.0, 0.0]]);
        assert_eq!(run(&array![[1.0, 3.0, 3.0, 2.0, 1.0, 1.0]], linear), array![[0.0, -6.0, -6.0, 0.0, 0.0, 0.0]]);
    }

    #[test]
    fn a_tie_at_a_fork_merges() {
        // Three pixels at level 1 tie with the peak of 3; the other peak is less.
        assert_eq!(run(&array![[3.0, 1.0, 2.0]], linear), array![[-3.0, -3.0, -3.0]]);
        assert_eq!(run(&array![[4.0, 1.0, 2.0]], linear), array![[-4.0, 0.0, -2.0]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn ties_match_the_oracle(
            (width, values) in (1..7_usize, 1..7_usize).prop_flat_map(|(height, width)| {
                (Just(width), prop::collection::vec((0..9_u8).prop_map(f32::from), height * width))
            })
        ) {
            let map = Array2::from_shape_vec((values.len() / width, width), values).unwrap();
            let everywhere = vec![true; map.len()];
            prop_assert_eq!(run(&map, linear), oracle::log10_pfa(&map, &everywhere, linear));
            let stepped = |u: f32| -f64::from((u / 2.0).floor());
            prop_assert_eq!(run(&map, stepped), oracle::log10_pfa(&map, &everywhere, stepped));
        }
    }
}
