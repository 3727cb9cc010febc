//! Good images for the commands that measure on them: which can be used, and which are left out.

use std::path::PathBuf;

use super::{Context, progress::Progress};
use crate::{
    Result,
    frame::ReadOptions,
    train::{Control, fit::Survey},
};

/// The images that can be measured on, at least so many. Files that cannot be read and images that are left out are named on
/// standard error.
pub(super) fn usable(images: &[PathBuf], least: usize, read: &ReadOptions, context: &Context) -> Result<Vec<PathBuf>> {
    let progress = Progress::new(context.json);
    let survey = Survey::of(images, read, &mut |done, all| {
        progress.at("checking files", done, all);
        Control::Continue
    });
    progress.finish();
    let survey = survey?;
    for (path, error) in &survey.unreadable {
        eprintln!("uflow: skipped {}: {error}", path.display());
    }
    survey.warnings().iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    survey.check_at_least(least)?;
    Ok(survey.images)
}
