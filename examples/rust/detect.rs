//! Prints a verdict for each image: `cargo run --release --example detect -- PACKAGE IMAGE…`

use uflow::{
    frame::{Image, Limits},
    package::Package,
    pipeline::Detector,
    runtime::{Runtime, SessionOptions},
    segment::DecisionOptions,
};

fn main() -> uflow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(package) = arguments.next() else {
        eprintln!("usage: detect PACKAGE IMAGE…");
        std::process::exit(2);
    };
    let runtime = Runtime::load(None)?;
    let mut detector = Detector::open(&runtime, &Package::open(package)?, &SessionOptions::default())?;
    for path in arguments {
        let image = Image::open(&path, &Limits::default())?;
        let detection = detector.detect(&image.frame(), &DecisionOptions::default())?;
        println!("{path}: anomalous {}, score {:.4}", detection.anomalous, detection.score);
        for region in &detection.regions {
            println!("  {} pixels at {:?}, log10 NFA {:.1}", region.area, region.bbox, region.log10_nfa_min);
        }
    }
    Ok(())
}
