//! The number of processors that this process may use, from its cgroup and its affinity mask.
//!
//! The host's number is wrong in a container: with a quota of 2 on a 64-core host, 64 threads would be throttled most of the
//! time. The number is the smallest of the affinity mask and every CPU quota from the process's cgroup up to
//! the root (a parent's quota limits its children). Fractions are rounded up: a quota of 1.5 keeps two threads busy.
//!
//! cgroup v2 stores quota and period in `cpu.max`, v1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`; both may be mounted.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// Number of processors that this process may use, at least 1.
pub fn cpu_quota() -> usize {
    quota_under(Path::new("/")).unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// [`cpu_quota`] for a file system under `root`; `None` if the files do not limit the processors.
fn quota_under(root: &Path) -> Option<usize> {
    let affinity = affinity(root);
    let cgroup = cgroup_quota(root);
    [affinity, cgroup].into_iter().flatten().min().map(|count| count.max(1))
}

/// Number of processors in the calling thread's affinity mask.
fn affinity(root: &Path) -> Option<usize> {
    let status = ["proc/thread-self/status", "proc/self/status"]
        .iter()
        .find_map(|path| fs::read_to_string(root.join(path)).ok())?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut count = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    Some(count)
}

/// The smallest quota of the process's cgroups and their parents, rounded up.
fn cgroup_quota(root: &Path) -> Option<usize> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let mut smallest = None;
    for line in groups.lines() {
        // hierarchy:controllers:path; v2 is hierarchy 0 without controllers.
        let mut fields = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let unified = hierarchy == "0" && controllers.is_empty();
        if !unified && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        for (mounted, point) in mounts.lines().filter_map(|line| mount(line, unified)) {
            let quota = if unified { quota_v2 } else { quota_v1 };
            let found = folders(root, &point, &mounted, path).iter().filter_map(|folder| quota(folder)).min();
            smallest = [smallest, found].into_iter().flatten().min();
        }
    }
    smallest
}

/// The root and the mount point of a cgroup mount: of version 2, or of version 1 with the `cpu` controller.
fn mount(line: &str, unified: bool) -> Option<(String, String)> {
    // id parent device root point options… - type source super-options
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1).unwrap_or("");
    let wanted =
        if unified { kind == "cgroup2" } else { kind == "cgroup" && options.split(',').any(|option| option == "cpu") };
    let mut left = left.split(' ').skip(3);
    wanted.then_some(())?;
    Some((unescape(left.next()?), unescape(left.next()?)))
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// The folders of the process's cgroup and its parents inside a mount. The result is the mount point itself if the mount shows only a part
/// of the tree (`mounted`), or if the path is outside the mount (a container that sees its host's path).
fn folders(root: &Path, point: &str, mounted: &str, path: &str) -> Vec<PathBuf> {
    let point = root.join(point.trim_start_matches('/'));
    let inside = Path::new(path).strip_prefix(mounted).unwrap_or(Path::new(""));
    let inside: &Path = if inside.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        inside
    } else {
        Path::new("")
    };
    inside.ancestors().map(|ancestor| point.join(ancestor)).collect()
}

fn quota_v2(folder: &Path) -> Option<usize> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().ok());
    let quota = numbers.next()??;
    rounded_up(quota, numbers.next().flatten().unwrap_or(100_000))
}

fn quota_v1(folder: &Path) -> Option<usize> {
    // -1 means no quota.
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    rounded_up(read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
}

fn rounded_up(quota: u64, period: u64) -> Option<usize> {
    (quota > 0 && period > 0).then(|| quota.div_ceil(period) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn quota(files: &[(&str, &str)]) -> Option<usize> {
        quota_under(system(files).path())
    }

    #[test]
    fn version_2_rounds_up_and_takes_the_smallest_on_the_way_up() {
        let group = ("proc/self/cgroup", "0::/pod/app\n");
        let mounts = ("proc/self/mountinfo", V2);
        let own = |text| ("sys/fs/cgroup/pod/app/cpu.max", text);
        assert_eq!(quota(&[group, mounts, own("150000 100000\n")]), Some(2));
        assert_eq!(quota(&[group, mounts, own("50000 100000\n")]), Some(1));
        assert_eq!(quota(&[group, mounts, own("400000\n")]), Some(4));
        assert_eq!(quota(&[group, mounts, own("max 100000\n")]), None);
        assert_eq!(
            quota(&[group, mounts, own("max 100000\n"), ("sys/fs/cgroup/pod/cpu.max", "300000 100000")]),
            Some(3)
        );
        assert_eq!(
            quota(&[group, mounts, own("200000 100000\n"), ("sys/fs/cgroup/pod/cpu.max", "800000 100000")]),
            Some(2)
        );
    }

    #[test]
    fn version_1_reads_the_cpu_controller_only() {
        let files = |quota, controllers: &'static str| {
            let group: &str =
                if controllers == "cpu" { "4:memory:/x\n3:cpu,cpuacct:/job\n" } else { "4:memory:/job\n" };
            system(&[
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", V1),
                ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"),
            ])
        };
        assert_eq!(quota_under(files("250000\n", "cpu").path()), Some(3));
        assert_eq!(quota_under(files("-1\n", "cpu").path()), None);
        assert_eq!(quota_under(files("250000\n", "memory").path()), None);
    }

    #[test]
    fn a_container_that_sees_its_hosts_path_uses_the_mount_point() {
        let files = [("proc/self/mountinfo", V2), ("sys/fs/cgroup/cpu.max", "200000 100000\n")];
        assert_eq!(quota(&[("proc/self/cgroup", "0::/../../kubepods/pod1\n"), files[0], files[1]]), Some(2));
        let part = ("proc/self/mountinfo", "30 23 0:26 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(quota(&[("proc/self/cgroup", "0::/kubepods/pod1/app\n"), part, files[1]]), Some(2));
    }

    #[test]
    fn the_affinity_mask_counts_too() {
        let status = |list: &str| format!("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{list}\n");
        assert_eq!(quota(&[("proc/self/status", &status("0-3,8,10-11"))]), Some(7));
        assert_eq!(quota(&[("proc/self/status", &status("5"))]), Some(1));
        let limited = [
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/cpu.max", "1000000 100000\n"),
        ];
        assert_eq!(quota(&[("proc/self/status", &status("0-1")), limited[0], limited[1], limited[2]]), Some(2));
        assert_eq!(quota(&[("proc/self/status", &status("0-63")), limited[0], limited[1], limited[2]]), Some(10));
    }

    #[test]
    fn nothing_known_is_none_and_this_machine_has_at_least_one() {
        assert_eq!(quota(&[]), None);
        assert_eq!(quota(&[("proc/self/status", "Cpus_allowed_list:\tnonsense\n"), ("proc/self/cgroup", "?")]), None);
        let here = cpu_quota();
        assert!((1..=4096).contains(&here));
    }
}
