//! The segmentation as the paper words it: a flood fill at every level, an explicit tree, literal prune and merge.

use ndarray::Array2;

struct Node {
    pixels: Vec<usize>,
    log10_pfa: f64,
    parent: Option<usize>,
    children: Vec<usize>,
    alive: bool,
}

/// log₁₀PFA on the regions of `map`, 0 elsewhere; `inside` says which pixels take part, `log10_tail(u)` is one pixel's
/// log₁₀ P(U ≥ u).
pub(crate) fn log10_pfa(map: &Array2<f32>, inside: &[bool], log10_tail: impl Fn(f32) -> f64) -> Array2<f32> {
    let mut nodes = tree(map, inside, log10_tail);
    loop {
        let pruned = prune(&mut nodes);
        let merged = merge(&mut nodes);
        if !pruned && !merged {
            break;
        }
    }
    prune(&mut nodes);
    let mut out = Array2::zeros(map.dim());
    for node in nodes.iter().filter(|node| node.alive && node.children.is_empty()) {
        for &pixel in &node.pixels {
            out[[pixel / map.ncols(), pixel % map.ncols()]] = node.log10_pfa as f32;
        }
    }
    out
}

fn tree(map: &Array2<f32>, inside: &[bool], log10_tail: impl Fn(f32) -> f64) -> Vec<Node> {
    let width = map.ncols();
    let values: Vec<f32> = map.iter().copied().collect();
    let mut levels: Vec<f32> = values.iter().zip(inside).filter(|(_, inside)| **inside).map(|(u, _)| *u).collect();
    levels.sort_by(f32::total_cmp);
    levels.dedup();
    let mut nodes: Vec<Node> = Vec::new();
    let mut smallest_node_of: Vec<Option<usize>> = vec![None; values.len()];
    for level in levels {
        let is_in = |pixel: usize| inside[pixel] && values[pixel] >= level;
        let mut seen = vec![false; values.len()];
        for start in 0..values.len() {
            if seen[start] || !is_in(start) {
                continue;
            }
            let pixels = flood(start, width, values.len(), &mut seen, is_in);
            if pixels.iter().all(|&pixel| values[pixel] > level) {
                continue;
            }
            let parent = smallest_node_of[start];
            let index = nodes.len();
            if let Some(parent) = parent {
                nodes[parent].children.push(index);
            }
            for &pixel in &pixels {
                smallest_node_of[pixel] = Some(index);
            }
            let log10_pfa = pixels.len() as f64 * log10_tail(level);
            nodes.push(Node { pixels, log10_pfa, parent, children: Vec::new(), alive: true });
        }
    }
    nodes
}

fn flood(start: usize, width: usize, len: usize, seen: &mut [bool], is_in: impl Fn(usize) -> bool) -> Vec<usize> {
    seen[start] = true;
    let mut pixels = vec![start];
    let mut next = 0;
    while next < pixels.len() {
        let pixel = pixels[next];
        next += 1;
        let column = pixel % width;
        let neighbours = [
            (column > 0).then(|| pixel - 1),
            (column + 1 < width).then(|| pixel + 1),
            (pixel >= width).then(|| pixel - width),
            (pixel + width < len).then(|| pixel + width),
        ];
        for neighbour in neighbours.into_iter().flatten() {
            if !seen[neighbour] && is_in(neighbour) {
                seen[neighbour] = true;
                pixels.push(neighbour);
            }
        }
    }
    pixels
}

fn prune(nodes: &mut [Node]) -> bool {
    let mut changed = false;
    for leaf in 0..nodes.len() {
        if !nodes[leaf].alive || !nodes[leaf].children.is_empty() {
            continue;
        }
        let mut branch = vec![leaf];
        while let Some(parent) = nodes[branch[branch.len() - 1]].parent.filter(|&up| nodes[up].children.len() == 1) {
            branch.push(parent);
        }
        if branch.len() == 1 {
            continue;
        }
        changed = true;
        let mut kept = leaf;
        for &node in &branch {
            if nodes[node].log10_pfa < nodes[kept].log10_pfa {
                kept = node;
            }
        }
        let top = branch[branch.len() - 1];
        let above = nodes[top].parent;
        for &node in &branch {
            nodes[node].alive = node == kept;
        }
        nodes[kept].parent = above;
        nodes[kept].children.clear();
        if let Some(above) = above {
            nodes[above].children.retain(|&child| child != top);
            nodes[above].children.push(kept);
        }
    }
    changed
}

fn merge(nodes: &mut [Node]) -> bool {
    let mut changed = false;
    for node in 0..nodes.len() {
        let children = nodes[node].children.clone();
        let leaves = children.iter().all(|&child| nodes[child].children.is_empty());
        if !nodes[node].alive || children.len() < 2 || !leaves {
            continue;
        }
        let least = children.iter().map(|&child| nodes[child].log10_pfa).fold(f64::INFINITY, f64::min);
        if nodes[node].log10_pfa <= least {
            for child in children {
                nodes[child].alive = false;
            }
            nodes[node].children.clear();
            changed = true;
        }
    }
    changed
}
