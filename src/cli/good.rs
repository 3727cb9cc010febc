//! Good images for the commands that measure on them: which can be used, and which are left out.

use std::path::{Path, PathBuf};

use super::{Context, progress::Progress};
use crate::{
    Error, Result,
    frame::ReadOptions,
    train::{Control, fit::Survey},
};

/// Refuses what is not a folder.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let reason = "is not a folder; --good takes a folder of good images";
    if path.is_dir() { Ok(()) } else { Err(Error::data(path, reason)) }
}

/// The images that can be measured on, at least so many; see [`survey`].
pub(super) fn usable(images: &[PathBuf], least: usize, read: &ReadOptions, context: &Context) -> Result<Vec<PathBuf>> {
    Ok(survey(images, least, read, context)?.images)
}

/// Looks at good images, of which at least so many must be usable. Files that cannot be read and images that are left out are named on
/// standard error.
pub(super) fn survey(images: &[PathBuf], least: usize, read: &ReadOptions, context: &Context) -> Result<Survey> {
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
    Ok(survey)
}
