//! Figures of the process itself, by the names that Prometheus' own clients give them, and of the build.
//!
//! They come from `/proc` when they are asked for; on other systems than Linux there are none but the build's.

use prometheus::{IntGaugeVec, Opts};

use crate::{COMMIT, Error, Result, VERSION, engine::Engine};

/// Registers them with the engine's figures; where they are registered already nothing changes.
///
/// # Errors
/// Figures that are not well-formed.
pub(super) fn register(engine: &Engine) -> Result<()> {
    let failed = |error: prometheus::Error| Error::Internal(format!("a metric cannot be registered: {error}"));
    let opts = Opts::new("uflow_build_info", "1; its labels say what runs here.");
    let build = IntGaugeVec::new(opts, &["version", "commit", "onnxruntime", "device"]).map_err(failed)?;
    let device = engine.options().session.device.to_string();
    build.with_label_values(&[VERSION, COMMIT, engine.runtime().version(), &device]).set(1);
    let registry = engine.metrics().registry();
    let mut collectors: Vec<Box<dyn prometheus::core::Collector>> = vec![Box::new(build)];
    #[cfg(target_os = "linux")]
    collectors.push(Box::new(linux::Process::new().map_err(failed)?));
    for collector in collectors {
        match registry.register(collector) {
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs,
        sync::{Mutex, PoisonError},
    };

    use prometheus::{
        Counter, Gauge,
        core::{Collector, Desc},
        proto::MetricFamily,
    };

    type Read = fn() -> Option<f64>;

    /// Read anew at each scrape; a figure that cannot be read is left out.
    pub(super) struct Process {
        cpu_seconds: Counter,
        gauges: [(Gauge, Read); 5],
        /// Scrapes take turns.
        turn: Mutex<()>,
    }

    impl Process {
        pub(super) fn new() -> prometheus::Result<Self> {
            let cpu_seconds = Counter::new("process_cpu_seconds_total", "Time of processors used, in seconds.")?;
            let gauges: [(Gauge, Read); 5] = [
                (Gauge::new("process_resident_memory_bytes", "Memory in use, in bytes.")?, resident_bytes),
                (Gauge::new("process_open_fds", "Open file descriptors.")?, open_descriptors),
                (Gauge::new("process_max_fds", "Most file descriptors that may be open.")?, most_descriptors),
                (Gauge::new("process_threads", "Threads.")?, threads),
                (Gauge::new("process_start_time_seconds", "When it was started, in seconds since 1970.")?, started),
            ];
            Ok(Self { cpu_seconds, gauges, turn: Mutex::default() })
        }
    }

    impl Collector for Process {
        fn desc(&self) -> Vec<&Desc> {
            self.cpu_seconds.desc().into_iter().chain(self.gauges.iter().flat_map(|(gauge, _)| gauge.desc())).collect()
        }

        fn collect(&self) -> Vec<MetricFamily> {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let mut families = Vec::new();
            if let Some(seconds) = stat().and_then(|stat| cpu_seconds(&stat)) {
                self.cpu_seconds.reset();
                self.cpu_seconds.inc_by(seconds);
                families.extend(self.cpu_seconds.collect());
            }
            for (gauge, read) in &self.gauges {
                if let Some(value) = read() {
                    gauge.set(value);
                    families.extend(gauge.collect());
                }
            }
            families
        }
    }

    fn ticks() -> f64 {
        rustix::param::clock_ticks_per_second() as f64
    }

    fn stat() -> Option<String> {
        fs::read_to_string("/proc/self/stat").ok()
    }

    /// A field of `/proc/<pid>/stat` by its number in proc(5), from 3 on. The second, the name, may hold anything, `)` too.
    fn field(stat: &str, number: usize) -> Option<f64> {
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number - 3)?.parse().ok()
    }

    /// utime and stime.
    fn cpu_seconds(stat: &str) -> Option<f64> {
        Some((field(stat, 14)? + field(stat, 15)?) / ticks())
    }

    fn started() -> Option<f64> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(boot + field(&stat()?, 22)? / ticks())
    }

    fn resident_bytes() -> Option<f64> {
        Some(status("VmRSS:")? * 1024.0)
    }

    fn threads() -> Option<f64> {
        status("Threads:")
    }

    /// A number of `/proc/self/status`.
    fn status(name: &str) -> Option<f64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Without the one that this itself opens.
    fn open_descriptors() -> Option<f64> {
        Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
    }

    fn most_descriptors() -> Option<f64> {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        match soft.split_ascii_whitespace().next()? {
            "unlimited" => Some(f64::INFINITY),
            number => number.parse().ok(),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn fields_are_counted_from_the_end_of_the_name() {
            let stat = "42 (a ) 7 (b) S 1 42 42 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 4 0 777 1 2";
            assert_eq!(cpu_seconds(stat), Some(300.0 / ticks()));
            assert_eq!((field(stat, 20), field(stat, 22), field(stat, 99)), (Some(4.0), Some(777.0), None));
        }

        #[test]
        fn this_process_has_every_figure() {
            let process = Process::new().unwrap();
            let families = process.collect();
            assert_eq!(families.len(), process.desc().len());
            assert!(resident_bytes().unwrap() > 1e6 && threads().unwrap() >= 1.0 && open_descriptors().unwrap() >= 3.0);
            let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
                - started().unwrap();
            assert!((-5.0..86_400.0).contains(&age), "{age}");
        }
    }
}
