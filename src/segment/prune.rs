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
//! A fork that cannot be merged once can never be merged: its children are leaves already, and nothing below them changes. The
//! leaves that remain are the bests of the closed subtrees whose parent is not closed. From the top of such a subtree down,
//! that is the first node that is the best of its own subtree. One pass goes up and one down. Neither branches on the data,
//! because no CPU could predict such branches.
//!
//! **Chernoff's bound needs only pixels with U > C.** A node with a ≤ 1 has log₁₀PFA 0, and its descendants have at most 0. A node
//! below 0 is always chosen before it, and a merge at it removes only leaves at 0, whose pixels have 0 in any case. Without such
//! pixels the tree is half as large and the map is the same; the tests compare it with that of the full tree.

use super::tree::Tree;
use crate::kernel::prefetch;

/// What is known about a node after its descendants were visited.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Least log₁₀PFA of the children's bests. After the visit of a closed node: log₁₀PFA of its own best. On the way down:
    /// log₁₀PFA of the region that the node belongs to, 0 if it belongs to no region.
    log10_pfa: f64,
    /// Pixels of the component.
    pixels: u32,
    /// 0, 1, or 2 for more.
    children: u8,
    closed: bool,
    /// Whether the node is closed and its own best.
    is_best: bool,
    /// On the way down: no region holds the node, so one may start below.
    is_open: bool,
}

const FRESH: Node =
    Node { log10_pfa: f64::INFINITY, pixels: 1, children: 0, closed: true, is_best: false, is_open: true };

/// Least value of a map. It is far below every meaningful value, and interpolation between such values stays finite in f32.
const LOWEST: f64 = -1e38;

/// Scratch of the two passes.
#[derive(Debug, Default)]
pub(crate) struct Pruner {
    nodes: Vec<Node>,
}

impl Pruner {
    /// Makes room for trees of up to `pixels` pixels.
    pub(crate) fn with_capacity(pixels: usize) -> Self {
        Self { nodes: Vec::with_capacity(pixels) }
    }

    /// Writes the regions of `tree` to `map`, which holds zeros. `weigh(n, u)` is the log₁₀PFA or log₁₀NFA of a node of n pixels
    /// of at least u. `write` turns the value of a region into the value of its pixels; it is called once for each region.
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
            // A root adds to its own entry, which is not read after this.
            let parent = &mut self.nodes[parent];
            parent.log10_pfa = lesser(node.log10_pfa, parent.log10_pfa);
            parent.pixels = parent.pixels.wrapping_add(node.pixels);
            parent.children = (parent.children + 1).min(2);
            parent.closed &= node.closed;
        }
    }

    /// Turns each node's log₁₀PFA into the value of the region that the node belongs to; 0 if it belongs to no region.
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

/// `f64::min` without its treatment of NaN. Each node waits for this result of the node before, so it must be fast.
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
