//! Figures of the process, by Prometheus' own collector, and of the build. On other systems than Linux only those of the build.

use prometheus::{IntGaugeVec, Opts};

use crate::{COMMIT, Error, Reason, Result, VERSION, engine::Engine};

/// Registers them beside the engine's figures; where they are registered already nothing changes.
///
/// # Errors
/// Figures that are not well-formed.
pub(super) fn register(engine: &Engine) -> Result<()> {
    let failed = |error: prometheus::Error| Error::internal(Reason::because("a metric cannot be registered", error));
    let opts = Opts::new("uflow_build_info", "1; the labels say what runs here.");
    let build = IntGaugeVec::new(opts, &["version", "commit", "onnxruntime", "device"]).map_err(failed)?;
    let device = engine.options().session.device.to_string();
    build.with_label_values(&[VERSION, COMMIT, engine.runtime().version(), &device]).set(1);
    let collectors: [Box<dyn prometheus::core::Collector>; _] = [
        Box::new(build),
        #[cfg(target_os = "linux")]
        Box::new(prometheus::process_collector::ProcessCollector::for_self()),
    ];
    for collector in collectors {
        match engine.metrics().registry().register(collector) {
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}
