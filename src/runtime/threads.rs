//! The number of processors that this process may use.

use std::thread;

/// Processors that this process may use, at least 1: the affinity mask and the CPU quotas of its cgroups, fractions rounded down.
///
/// The host's number is wrong in a container: with a quota of 2 on a host of 64 cores, 64 threads would be throttled for most of
/// every period.
pub fn cpu_quota() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
