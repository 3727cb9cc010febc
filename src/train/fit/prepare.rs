//! What depends on the size of the network's input: the preprocessor, how frames are cut, the cache; and the features of a frame.

use ndarray::{Array3, Array4, ArrayView3, Axis};

use super::{CachedImage, FitOptions, Fitter, TileOptions, augment::Version, input};
use crate::{
    Error, Reason, Result,
    flow::Architecture,
    frame::Frame,
    preprocess::{Preprocess, Preprocessor},
    runtime::Backbone,
    segment::{RegionOfInterest, Segmenter},
    tiles::{Tiles, Tiling},
    train::{FeatureCache, TrainOptions},
};

impl Fitter {
    /// Gives the network's input the shape of images of this width and height, or cuts them into tiles, where the options name no size and the
    /// backbone leaves it open. A frame that is refused or left out decides nothing: the next frame then may.
    pub(super) fn shape_input(&mut self, image: (u32, u32)) -> Result<()> {
        if !self.shapes_input || !self.cache.is_empty() {
            return Ok(());
        }
        let meta = self.backbone.meta();
        let (size, tiles) = match self.options.tiles {
            None => (input::shaped(meta, f64::from(image.0) / f64::from(image.1)), None),
            Some(TileOptions { overlap, .. }) => {
                let [height, width] = meta.input_size.map(|side| side as u32);
                let insisted = if self.backbone.takes_any_size() { None } else { Some((width, height)) };
                let (size, tiles) = input::tiled(meta, image, overlap, self.options.input_size.or(insisted));
                (size, Some(tiles))
            }
        };
        if (size, tiles) != ((self.input().width, self.input().height), self.input().tiles) {
            let Prepared { preprocessor, tiling, cache } = prepare(&self.backbone, &self.options, size, tiles)?;
            (self.preprocessor, self.tiling, self.cache) = (preprocessor, tiling, cache);
            self.tensor.resize(self.input().len(), 0.0);
        }
        Ok(())
    }

    /// Adds a good frame that is preprocessed already, 3 × H × W.
    pub(super) fn push_tensor(&mut self, tensor: &[f32], cached: CachedImage) -> Result<()> {
        let (input, backbone) = (*self.preprocessor.input(), &self.backbone);
        let versions = self.options.augmentation.versions().iter();
        self.cache.push_all(versions.map(|version| features(backbone, &input, tensor, *version)))?;
        self.images.push(cached);
        Ok(())
    }

    /// Adds a good frame that is cut into tiles.
    pub(super) fn push_tiles(&mut self, frame: &Frame<'_>, cached: CachedImage) -> Result<()> {
        let Self { preprocessor, tiling: Some(tiling), tensor, backbone, cache, options, .. } = self else {
            return Err(Error::internal("frames of this model are not cut into tiles"));
        };
        preprocessor.check(frame)?;
        let input = *preprocessor.input();
        let versions = options.augmentation.versions();
        let each = (0..tiling.len()).flat_map(|tile| versions.iter().map(move |version| (tile, version)));
        let mut made = None;
        let of_each = each.map(|(tile, version)| {
            if made != Some(tile) {
                preprocessor.part(frame, tiling.origin(tile), tensor)?;
                made = Some(tile);
            }
            features(backbone, &input, tensor, *version)
        });
        cache.push_all(of_each)?;
        self.images.push(cached);
        Ok(())
    }
}

/// The features of one version of the network's input, a map (C, H, W) per scale.
fn features(backbone: &Backbone, input: &Preprocess, tensor: &[f32], version: Version) -> Result<Vec<Array3<f32>>> {
    let (height, width) = (input.height as usize, input.width as usize);
    let image = ArrayView3::from_shape((3, height, width), tensor).map_err(|e| Error::frame(Reason::of(e)))?;
    let changed: Array4<f32> = version.of(image, input).insert_axis(Axis(0));
    let maps = backbone.features(changed.view())?;
    Ok(maps.iter().map(|map| map.index_axis(Axis(0), 0).to_owned()).collect())
}

/// What depends on the size of the network's input.
pub(super) struct Prepared {
    pub(super) preprocessor: Preprocessor,
    pub(super) tiling: Option<Tiling>,
    pub(super) cache: FeatureCache,
}

/// Checks that a flow, its statistics and the region of interest fit an input of this width and height, and the frames that are cut.
pub(super) fn prepare(
    backbone: &Backbone,
    options: &FitOptions,
    (width, height): (u32, u32),
    tiles: Option<Tiles>,
) -> Result<Prepared> {
    let meta = backbone.meta();
    let preprocess = Preprocess {
        mean: meta.mean,
        std: meta.std,
        tiles,
        resize: meta.resize,
        significant_bits: options.significant_bits,
        float_range: options.float_range,
        ..Preprocess::imagenet(width, height)
    };
    let preprocessor = Preprocessor::new(preprocess)?;
    let shapes = backbone.feature_shapes(height as usize, width as usize)?;
    let TrainOptions { steps, kernels, topology, .. } = &options.training;
    let architecture = Architecture::connected(shapes.clone(), *steps, kernels.clone(), *topology)?;
    let tiling = tiles.map(|tiles| Tiling::new(&tiles, (height, width), &shapes)).transpose()?;
    let roi = options.detection.roi.as_ref().and_then(RegionOfInterest::mask);
    let joined = |shape| tiles.map_or(shape, |tiles| tiles.joined((width, height), shape));
    let latents: Vec<_> = architecture.latents().into_iter().map(joined).collect();
    let (map_width, map_height) = preprocess.map_size();
    Segmenter::new(&latents, map_height as usize, map_width as usize)?.set_roi(roi.map(|roi| &**roi))?;
    let cache = FeatureCache::new(&shapes, options.memory)?.with_tiles(tiling.as_ref().map_or(1, Tiling::len));
    Ok(Prepared { preprocessor, tiling, cache })
}
