//! Finds a flow's blocks among a checkpoint's tensors and checks their names and shapes.
//!
//! A block is an `AllInOneBlock` of FrEIA. The names of its tensors end in `<number>.` and one of [`KNOWN`]. A flow consists of the
//! blocks with the same prefix before the number, in the order of the numbers: FrEIA's `GraphINN` stores its nodes in the order of
//! computation, from the coarsest scale to the finest. Between the stages there are modules without
//! parameters, whose numbers do not occur, and the upsampling with its fixed kernel.

use std::collections::{BTreeMap, BTreeSet};

use super::Checkpoint;
use crate::Reason;

/// Continuations of the names of a block's tensors, after its number.
const KNOWN: [&str; 7] = ["global_scale", "global_offset", "w_perm", "w_perm_inv", "w_0", "vk_householder", "subnet."];
/// Names of a block's two convolutions, used if the block's own names do not identify them.
const USUAL: [&str; 2] = ["subnet.0", "subnet.2"];
/// The upsampling's kernel.
pub(super) const UPSAMPLING: &str = "downsample_kernel";
/// Most names of one kind that a message lists.
const LISTED: usize = 6;

/// Names and shapes of one block.
#[derive(Debug)]
pub(super) struct Block {
    /// Prefix of its tensors' names, with a dot at the end.
    pub(super) name: String,
    pub(super) channels: usize,
    /// Hidden channels of the subnetwork.
    pub(super) hidden: usize,
    pub(super) kernel: usize,
    /// Prefixes of the names of the subnetwork's convolutions.
    pub(super) convolutions: [String; 2],
    /// Whether its mixing is learned: a matrix with reflections.
    pub(super) householder: bool,
}

/// A flow's blocks.
#[derive(Debug)]
pub(super) struct Chain {
    /// The prefix before the blocks' numbers.
    pub(super) prefix: String,
    pub(super) blocks: Vec<Block>,
    /// Names of upsampling kernels.
    pub(super) kernels: Vec<String>,
}

/// Problems with a flow's tensors.
#[derive(Debug, Default)]
struct Problems {
    missing: Vec<String>,
    shapes: Vec<String>,
    unexpected: Vec<String>,
}

impl Problems {
    fn result(&self) -> Result<(), Reason> {
        let kinds =
            [("missing", &self.missing), ("of the wrong shape", &self.shapes), ("unexpected", &self.unexpected)];
        let list = |(kind, names): (&str, &Vec<String>)| {
            let rest = names.len().saturating_sub(LISTED);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            (!names.is_empty()).then(|| format!("{kind}: {}{more}", names[..names.len() - rest].join(", ")))
        };
        let found: Vec<String> = kinds.into_iter().filter_map(list).collect();
        if found.is_empty() {
            return Ok(());
        }
        Err(format!("the flow does not consist of `AllInOneBlock`s as in U-Flow; {}", found.join("; ")).into())
    }
}

impl Chain {
    /// The checkpoint's flow, or the flow with this prefix.
    pub(super) fn find(checkpoint: &Checkpoint, wanted: Option<&str>) -> Result<Self, Reason> {
        let mut flows: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for name in checkpoint.tensors().map(|(name, _)| name).chain(checkpoint.others()) {
            if let Some((prefix, number)) = block_of(name) {
                flows.entry(prefix).or_default().insert(number);
            }
        }
        if let Some(wanted) = wanted {
            flows.retain(|prefix, _| prefix.trim_end_matches('.') == wanted.trim_end_matches('.'));
        }
        let mut found = flows.iter();
        let (prefix, numbers) = match (found.next(), found.next()) {
            (Some(flow), None) => flow,
            (None, _) => return Err(missing_flow(checkpoint, wanted).into()),
            _ => {
                let names: Vec<_> = flows.keys().map(|prefix| format!("`{prefix}`")).collect();
                return Err(format!(
                    "the checkpoint has several flows: {}; choose one with --prefix",
                    names.join(", ")
                )
                .into());
            }
        };
        let mut reader = Reader { checkpoint, used: BTreeSet::new(), problems: Problems::default() };
        let blocks: Vec<Block> = numbers.iter().map(|number| reader.block(format!("{prefix}{number}."))).collect();
        let kernels = reader.finish(prefix)?;
        Ok(Self { prefix: (*prefix).to_owned(), blocks, kernels })
    }

    /// Whether a tensor belongs to one of the flow's modules.
    pub(super) fn owns(&self, name: &str) -> bool {
        owned(&self.prefix, name).is_some()
    }

    /// The stages as runs of blocks of the same channels, coarsest first, for messages.
    pub(super) fn stages(&self) -> String {
        let runs = self.blocks.chunk_by(|a, b| a.channels == b.channels);
        let run = |run: &[Block]| format!("{} × {} channels", run.len(), run[0].channels);
        runs.map(run).collect::<Vec<_>>().join(", ")
    }
}

fn missing_flow(checkpoint: &Checkpoint, wanted: Option<&str>) -> String {
    match wanted {
        Some(wanted) => format!("no flow's names begin with `{wanted}`"),
        None => format!(
            "none of the {} tensors is named like a block of a flow (`<number>.global_scale` and so on)",
            checkpoint.len()
        ),
    }
}

/// The prefix before a block's number, and the number, if the name is a block's.
fn block_of(name: &str) -> Option<(&str, usize)> {
    let positions = KNOWN.iter().flat_map(|known| name.rmatch_indices(known)).map(|(at, _)| at);
    positions.filter_map(|at| numbered(name, at)).min_by_key(|(prefix, _)| prefix.len())
}

/// The same, for a name whose ending begins at `at`.
fn numbered(name: &str, at: usize) -> Option<(&str, usize)> {
    let known = KNOWN.iter().any(|known| match known.ends_with('.') {
        true => name[at..].starts_with(known),
        false => &name[at..] == *known,
    });
    let before = name[..at].strip_suffix('.').filter(|_| known)?;
    let start = before.rfind('.').map_or(0, |dot| dot + 1);
    Some((&name[..start], before[start..].parse().ok()?))
}

struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    used: BTreeSet<String>,
    problems: Problems,
}

impl Reader<'_> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.checkpoint.shape(name)
    }

    /// One block. A number that cannot be determined is 0 and recorded as a problem.
    fn block(&mut self, name: String) -> Block {
        let channels = match (self.shape(&format!("{name}global_scale")), self.shape(&format!("{name}global_offset"))) {
            (Some(shape), _) | (None, Some(shape)) => shape.iter().product(),
            _ => 0,
        };
        let convolutions = self.convolutions(&name);
        let weight = self.shape(&format!("{}.weight", convolutions[0]));
        let &[hidden, _, kernel, _] = weight.unwrap_or_default() else {
            return self.unreadable(name, channels, convolutions);
        };
        let householder = self.shape(&format!("{name}vk_householder")).is_some();
        let block = Block { name, channels, hidden, kernel, convolutions, householder };
        self.check(&block);
        block
    }

    fn unreadable(&mut self, name: String, channels: usize, convolutions: [String; 2]) -> Block {
        let block = Block { name, channels, hidden: 0, kernel: 0, convolutions, householder: false };
        self.check(&block);
        block
    }

    /// The stems of the subnetwork's convolutions: the names with a weight of four dimensions.
    fn convolutions(&self, name: &str) -> [String; 2] {
        let start = format!("{name}subnet.");
        let names = self.checkpoint.tensors_from(&start).take_while(|(name, _)| name.starts_with(&start));
        let stems = names.filter_map(|(name, shape)| {
            let stem = name.strip_suffix(".weight")?;
            (shape.len() == 4).then(|| stem.to_owned())
        });
        let mut stems: Vec<String> = stems.collect();
        let number = |stem: &String| stem.rsplit('.').next().and_then(|number| number.parse::<usize>().ok());
        stems.sort_by_key(number);
        <[String; 2]>::try_from(stems).unwrap_or_else(|_| USUAL.map(|usual| format!("{name}{usual}")))
    }

    fn check(&mut self, block: &Block) {
        let Block { name, channels, hidden, kernel, convolutions: [first, second], householder } = block;
        let (c, h, k) = (*channels, *hidden, *kernel);
        let (passive, active) = (c - c / 2, c / 2);
        self.expect(&format!("{name}global_scale"), &[1, c, 1, 1]);
        self.expect(&format!("{name}global_offset"), &[1, c, 1, 1]);
        self.expect(&format!("{first}.weight"), &[h, passive, k, k]);
        self.expect(&format!("{first}.bias"), &[h]);
        self.expect(&format!("{second}.weight"), &[2 * active, h, k, k]);
        self.expect(&format!("{second}.bias"), &[2 * active]);
        if *householder {
            let reflections = self.shape(&format!("{name}vk_householder")).and_then(|shape| shape.first()).copied();
            self.expect(&format!("{name}vk_householder"), &[reflections.unwrap_or(0), c]);
            self.expect(&format!("{name}w_0"), &[c, c]);
        } else {
            self.expect(&format!("{name}w_perm"), &[c, c, 1, 1]);
            self.expect(&format!("{name}w_perm_inv"), &[c, c, 1, 1]);
        }
    }

    /// Records a problem unless the tensor has this shape; 0 stands for an unknown number.
    fn expect(&mut self, name: &str, wanted: &[usize]) {
        let found = self.shape(name).map(<[usize]>::to_vec);
        let other = self.checkpoint.describe_other(name);
        match (found, other) {
            (Some(found), _) if fits(&found, wanted) => {}
            (Some(found), _) => self.problems.shapes.push(format!("`{name}` ({found:?} for {wanted:?})")),
            (None, Some(what)) => self.problems.shapes.push(format!("`{name}` ({what} for a tensor)")),
            (None, None) => self.problems.missing.push(format!("`{name}`")),
        }
        self.used.insert(name.to_owned());
    }

    /// Names with the flow's prefix that no block uses are unexpected, except the upsampling's.
    fn finish(mut self, prefix: &str) -> Result<Vec<String>, Reason> {
        let mut kernels = Vec::new();
        for name in self.checkpoint.tensors().map(|(name, _)| name).chain(self.checkpoint.others()) {
            let Some(rest) = owned(prefix, name) else { continue };
            if rest == UPSAMPLING && self.checkpoint.shape(name).is_some() {
                kernels.push(name.to_owned());
            } else if !self.used.contains(name) {
                self.problems.unexpected.push(format!("`{name}`"));
            }
        }
        self.problems.result()?;
        Ok(kernels)
    }
}

/// The part of a name after prefix and number.
fn owned<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    number.parse::<usize>().ok().map(|_| rest)
}

fn fits(found: &[usize], wanted: &[usize]) -> bool {
    found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| found == wanted && *found > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_by_the_ends_of_their_names() {
        let cases = [
            ("model.flow.module_list.12.global_scale", Some(("model.flow.module_list.", 12))),
            ("3.w_perm", Some(("", 3))),
            ("flow.0.subnet.2.weight", Some(("flow.", 0))),
            ("net.7.subnet.net.0.weight", Some(("net.", 7))),
            ("a.b.global_scale", None),
            ("global_scale", None),
            ("model.layer1.0.conv1.weight", None),
            ("flow.5.downsample_kernel", None),
            ("flow.5.w_perm_extra", None),
        ];
        for (name, expected) in cases {
            assert_eq!(block_of(name), expected, "{name}");
        }
    }
}
