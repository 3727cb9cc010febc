//! The page of `uflow check`: doubtful images with their pictures, the place of the strongest evidence marked.

use std::path::{Path, PathBuf};

use image::{RgbImage, imageops};

use super::{Figure, Machine, Note, Report, Tile, gallery::shrunk};
use crate::{
    Result,
    frame::{Image, ReadOptions},
    render,
    screen::{Finding, Kind},
    train::fit::{Checked, Ranked},
};

/// Longest side of a picture.
const LONGEST: u32 = 360;
/// Pictures of one kind; the rest is in the table.
const MOST_PICTURES: usize = 24;
/// Half the side of the mark, as a part of the picture's longer side.
const MARK: f32 = 0.07;
/// Pixels between two pictures side by side, and their colour.
const GAP: u32 = 6;
const BETWEEN: [u8; 3] = [0x7f, 0x8a, 0x96];
/// Images in the list of the most unusual.
const MOST_UNUSUAL: usize = 10;

/// What the page shows.
#[derive(Debug)]
pub struct Screened<'a> {
    /// The folder that was looked at.
    pub folder: &'a Path,
    /// The files in it. What was found names them as text, which cannot hold every name.
    pub files: &'a [PathBuf],
    /// What was found.
    pub checked: &'a Checked,
    /// Files and images that are left out, one sentence each.
    pub left_out: Vec<String>,
    /// How the images are read.
    pub read: ReadOptions,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Screened<'_> {
    /// The file that a finding calls so.
    fn file<'a>(&'a self, named: &'a str) -> &'a Path {
        self.files.iter().find(|file| file.display().to_string() == named).map_or(Path::new(named), PathBuf::as_path)
    }
}

/// Makes the page; reads the named images again.
///
/// # Errors
/// An image that can no longer be read.
pub fn screen_page(screened: &Screened<'_>) -> Result<Report> {
    let Screened { folder, checked, left_out, seconds, .. } = screened;
    let (images, doubtful) = (checked.images.len(), checked.doubtful().len());
    let mut notes = Vec::new();
    if !checked.notes.is_empty() || !left_out.is_empty() {
        notes.push(Note {
            title: "The set as a whole".to_owned(),
            facts: checked
                .notes
                .iter()
                .map(|note| ("note".to_owned(), note.clone()))
                .chain(left_out.iter().map(|text| ("left out".to_owned(), text.clone())))
                .collect(),
            ..Note::default()
        });
    }
    let mut rest = checked.findings.as_slice();
    while let Some(first) = rest.first() {
        let (of_kind, others) = rest.split_at(rest.iter().take_while(|finding| finding.kind == first.kind).count());
        notes.push(note(screened, first.kind, of_kind)?);
        rest = others;
    }
    notes.push(ranking(screened)?);
    let tile =
        |value: usize, name: &str| Tile { value: value.to_string(), name: name.to_owned(), meaning: String::new() };
    Ok(Report {
        title: "Are the training images good?".to_owned(),
        lead: match doubtful {
            0 => format!("None of the {images} images in {} is doubtful.", folder.display()),
            _ => format!(
                "{doubtful} of the {images} images in {} are doubtful. Look at each, and leave out what is not good: a model learns everything \
                 that it is given as normal.",
                folder.display()
            ),
        },
        tiles: vec![tile(images, "images judged"), tile(doubtful, "doubtful images"), tile(left_out.len(), "remarks on files")],
        machine: Machine::here(),
        engine: Vec::new(),
        models: Vec::new(),
        notes,
        seconds: *seconds,
        closing: "Every image is compared with the set itself. An image that is named is not proven bad, and one that is not named is not proven good."
            .to_owned(),
    })
}

/// The section of one kind.
fn note(screened: &Screened<'_>, kind: Kind, findings: &[Finding]) -> Result<Note> {
    let images = &screened.checked.images;
    let (shown, others) = findings.split_at(findings.len().min(MOST_PICTURES));
    let head = (!others.is_empty()).then(|| vec!["more images".to_owned(), "figure".to_owned()]);
    let table = others.iter().map(|finding| vec![images[finding.image].clone(), finding.reason(images)]);
    let table = head.into_iter().chain(table).collect();
    let pictures = shown.iter().map(|finding| figure(screened, finding)).collect::<Result<_>>()?;
    Ok(Note {
        title: format!("Looks {} ({})", kind.words(), findings.len()),
        text: kind.advice().to_owned(),
        pictures,
        table,
        ..Note::default()
    })
}

/// The most unusual images, with pictures.
fn ranking(screened: &Screened<'_>) -> Result<Note> {
    let figure = |ranked: &Ranked| {
        let path = screened.file(&ranked.image);
        let mut picture = read(path, screened)?;
        mark(&mut picture, ranked.place);
        Ok(Figure { picture, title: name(path), text: format!("lowest log₁₀ NFA {:.2}", ranked.log10_nfa) })
    };
    Ok(Note {
        title: "The most unusual images".to_owned(),
        text: "By the strongest evidence of a defect, measured by models that did not see the image. They are listed whether they are named above \
               or not: in every set some images are the most unusual."
            .to_owned(),
        pictures: screened.checked.ranking.iter().take(MOST_UNUSUAL).map(figure).collect::<Result<_>>()?,
        ..Note::default()
    })
}

fn read(path: &Path, screened: &Screened<'_>) -> Result<RgbImage> {
    let image = Image::open_with(path, &screened.read)?;
    Ok(shrunk(render::rgb(&image.frame()), LONGEST))
}

/// The file's name without its folder.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The picture of a finding: with a mark, or beside the image that it resembles.
fn figure(screened: &Screened<'_>, finding: &Finding) -> Result<Figure> {
    let path = |image: usize| screened.file(&screened.checked.images[image]);
    let mut picture = read(path(finding.image), screened)?;
    if let Some(place) = finding.place {
        mark(&mut picture, place);
    }
    if let Some(other) = finding.resembles {
        picture = side_by_side(&read(path(other), screened)?, &picture);
    }
    let title = match finding.resembles {
        Some(other) => format!("{} and {}", name(path(other)), name(path(finding.image))),
        None => name(path(finding.image)),
    };
    Ok(Figure { picture, title, text: finding.reason(&[]) })
}

/// A square around a place, within the picture.
fn mark(picture: &mut RgbImage, place: [f32; 2]) {
    let (width, height) = picture.dimensions();
    let half = (MARK * width.max(height) as f32).max(4.0);
    let side = |at: f32, size: u32| {
        let middle = at * size as f32;
        [middle - half, middle + half].map(|value| value.clamp(0.0, size as f32).round() as u32)
    };
    let ([left, right], [top, bottom]) = (side(place[0], width), side(place[1], height));
    let ring = vec![[left, top], [right, top], [right, bottom], [left, bottom]];
    render::draw_outlines(picture, &[vec![ring]], render::OUTLINE);
}

fn side_by_side(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let (width, height) = (left.width() + GAP + right.width(), left.height().max(right.height()));
    let mut both = RgbImage::from_pixel(width, height, image::Rgb(BETWEEN));
    imageops::replace(&mut both, left, 0, 0);
    imageops::replace(&mut both, right, i64::from(left.width() + GAP), 0);
    both
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn the_mark_surrounds_the_place_and_stays_inside() {
        for place in [[0.5, 0.5], [0.0, 1.0], [0.99, 0.01]] {
            let mut picture = RgbImage::from_pixel(200, 100, Rgb([90; 3]));
            mark(&mut picture, place);
            let marked: Vec<(u32, u32)> = picture
                .enumerate_pixels()
                .filter(|(.., pixel)| pixel.0 == render::OUTLINE)
                .map(|(x, y, _)| (x, y))
                .collect();
            let (x, y) = (place[0] * 200.0, place[1] * 100.0);
            assert!(!marked.is_empty());
            assert!(
                marked.iter().all(|at| (at.0 as f32 - x).abs() < 18.0 && (at.1 as f32 - y).abs() < 18.0),
                "{place:?}"
            );
        }
    }

    #[test]
    fn two_pictures_stand_side_by_side() {
        let both = side_by_side(&RgbImage::from_pixel(10, 8, Rgb([1; 3])), &RgbImage::from_pixel(5, 12, Rgb([2; 3])));
        assert_eq!(both.dimensions(), (21, 12));
        assert_eq!([(9, 7), (12, 3), (16, 0), (20, 11)].map(|(x, y)| both.get_pixel(x, y).0[0]), [1, 0x7f, 2, 2]);
        assert_eq!(shrunk(RgbImage::new(2000, 500), LONGEST).dimensions(), (360, 90));
    }
}
