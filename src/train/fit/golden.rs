//! Good images that the package keeps as golden frames.

use std::path::PathBuf;

use prost::bytes::Bytes;

use super::{Fitted, Fitter};
use crate::{
    Error, Result,
    frame::{Frame, Image, Limits},
    package::{Golden, Machine, golden_picture},
    pipeline::{Detector, golden_frames},
    runtime::Network,
    segment::Roi,
};

impl Fitter {
    /// Keeps a good frame that a golden frame may be made of. Twice as many as are wanted are kept, because some may be too near to the threshold.
    pub(super) fn keep_golden(&mut self, frame: &Frame<'_>, name: &str) -> Result<()> {
        if self.golden.len() < 2 * self.options.golden && self.golden_refused.is_none() {
            match golden_picture(frame, self.input()) {
                Ok(picture) => self.golden.push((name.to_owned(), picture.into())),
                // Frames that are cut may be too large. The others are as large.
                Err(error @ Error::Limit { .. }) => self.golden_refused = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same, of files that were looked at before: some from all over the list, in its order. A file that cannot be read any more is passed over.
    pub(super) fn keep_golden_files(&mut self, images: &[PathBuf], limits: &Limits) {
        let (most, count, read) = (self.options.golden, images.len(), self.input().read_options(*limits, None));
        let mut chosen: Vec<usize> = Vec::new();
        for index in (0..most).flat_map(|part| [part * count / most, part * count / most + 1]) {
            if index < count && !chosen.contains(&index) {
                chosen.push(index);
            }
        }
        // First those that are far apart, then their neighbours.
        chosen.sort_by_key(|index| (!(0..most).any(|part| part * count / most == *index), *index));
        for index in chosen {
            let name = images[index].display().to_string();
            let kept =
                Image::open_with(&images[index], &read).and_then(|image| self.keep_golden(&image.frame(), &name));
            if let Err(error) = kept {
                tracing::debug!(image = %name, %error, "no golden frame");
            }
        }
    }

    /// Measures the golden frames of a model, by the detector that its package will have. A model without golden frames is complete, so a failure is
    /// only noted.
    pub(super) fn set_golden(&self, fitted: &mut Fitted) {
        if self.options.golden == 0 {
            return;
        }
        let found = self.measure_golden(fitted);
        let too_large = self.golden_refused.clone().filter(|_| self.golden.is_empty());
        let nothing = || Some(too_large.unwrap_or_else(|| "each image is too near to the threshold".to_owned()));
        let (golden, note) = match found {
            Ok(Some(found)) => (Some(found), None),
            Ok(None) => (None, nothing()),
            Err(error) => (None, Some(error.to_string())),
        };
        let advice = "put some into the package with `uflow package golden PKG IMAGE...`";
        fitted.golden_note = note.map(|why| format!("the package has no golden frames: {why}; {advice}"));
        let (golden, pictures) = golden.unzip();
        (fitted.manifest.golden, fitted.golden) = (golden, pictures.unwrap_or_default());
    }

    fn measure_golden(&self, fitted: &Fitted) -> Result<Option<(Golden, Vec<Bytes>)>> {
        let (manifest, session) = (&fitted.manifest, self.backbone.options());
        let network = Network::load(&self.runtime, self.backbone.clone(), &fitted.flow, &manifest.shapes(), session)?;
        let roi = fitted.roi.as_deref().map(|png| Roi::decode(png, "the region of interest", &Limits::default()));
        let roi = roi.transpose()?.map(Into::into);
        let mut detector = Detector::on(manifest.clone().into(), Box::new(network), roi)?;
        let made = Machine::here(&self.runtime, session);
        let pictures: Vec<Bytes> = self.golden.iter().map(|(_, picture)| picture.clone()).collect();
        golden_frames(&mut detector, &pictures, self.options.golden, made)
    }
}
