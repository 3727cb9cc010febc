//! Damaged image files: an image or an error that names the file, never a panic and never much memory.

use std::path::Path;

use proptest::prelude::*;
use uflow::Error;
use uflow::frame::{Image, Limits};

fn files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frame");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.extension().unwrap() != "bin").map(|path| std::fs::read(path).unwrap()).collect()
}

const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_bytes: 1 << 24 };

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    match Image::decode(bytes, "belt/frame 7.img", &LIMITS) {
        Ok(image) => {
            prop_assert!(u64::from(image.width()) * u64::from(image.height()) <= LIMITS.max_pixels);
            prop_assert_eq!(image.frame().rows().len(), image.height() as usize);
        }
        Err(error @ (Error::Decode { .. } | Error::Limit { .. })) => {
            prop_assert!(error.to_string().starts_with("belt/frame 7.img: "), "{}", error);
        }
        Err(error) => prop_assert!(false, "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn cut_off(file in prop::sample::select(files()), part in 0.0..1.0_f64) {
        check(&file[..(file.len() as f64 * part) as usize])?;
    }

    #[test]
    fn bytes_changed(
        mut file in prop::sample::select(files()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (index, value) in changes {
            let at = index.index(file.len());
            file[at] = value;
        }
        check(&file)?;
    }

    /// Headers are where sizes stand.
    #[test]
    fn header_changed(
        mut file in prop::sample::select(files()),
        changes in prop::collection::vec((0_usize..64, any::<u8>()), 1..4),
    ) {
        for (at, value) in changes {
            let at = at.min(file.len() - 1);
            file[at] = value;
        }
        check(&file)?;
    }

    #[test]
    fn parts_moved(
        file in prop::sample::select(files()),
        (from, to, length) in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_usize..64),
    ) {
        let (from, to) = (from.index(file.len()), to.index(file.len()));
        let part = file[from..(from + length).min(file.len())].to_vec();
        let mut moved = file[..to].to_vec();
        moved.extend(part);
        moved.extend(&file[to..]);
        check(&moved)?;
    }
}
