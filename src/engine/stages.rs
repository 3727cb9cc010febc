//! What the pool's threads do with a frame, before and after the network.

use std::{sync::Arc, time::Instant};

use super::{
    Answer, Source,
    job::Job,
    memory::{decoding, segmenting},
    model::Tiled,
    pool::{Finish, Shop},
    worker::{PreparedFrame, Upstream},
};
use crate::{
    Result,
    frame::{Image, Picture, RawFrame},
    pipeline::{Detection, Evidence},
    segment::RegionOfInterest,
};

/// Frame → tensor, then into the queue of the model's backbone; or frame → tiles → energies → answer.
pub(super) fn prepare(job: Job, source: Source, upstream: Upstream, shop: &Shop) {
    let Some(mut job) = job.dequeued("before it was decoded") else { return };
    // Tiles do not come into the queue: no batch waits for them.
    let upstream = job.model.manifest().input.tiles.is_none().then_some(upstream);
    match made(&mut job, source, shop) {
        Ok((Made::Tensor(tensor), size)) => {
            if let Some(upstream) = upstream {
                upstream.enqueue(PreparedFrame { job: job.enqueued(), tensor, size });
            }
        }
        Ok((Made::Energies(Tiled { energies, latents, .. }), size)) => {
            finish(Finish { job: job.enqueued(), size, energies, latents }, shop);
        }
        Err(error) => {
            // Whoever waits for this frame to fill a batch waits no more.
            drop(upstream);
            job.finish(Err(error));
        }
    }
}

/// What becomes of a frame before it is segmented, or goes into the queue of a backbone.
enum Made {
    /// The network's input.
    Tensor(Vec<f32>),
    /// What the networks gave for its tiles.
    Energies(Tiled),
}

fn made(job: &mut Job, source: Source, shop: &Shop) -> Result<(Made, (u32, u32))> {
    // A region that cannot be used is refused before the network runs.
    let own_roi = job.roi.as_mut().map(|roi| shop.rois.get(roi)).transpose()?;
    let start = Instant::now();
    let model = Arc::clone(&job.model);
    let (_share, image, picture);
    let limits = &shop.limits;
    let input = &model.manifest().input;
    let mut frame = match &source {
        Source::Raw { pixels, width, height, stride, format } => {
            limits.check_pixels(*width, *height)?;
            let mut raw = RawFrame::new(pixels, *width, *height, *stride, *format)?;
            if let Some(bits) = job.significant_bits {
                raw = raw.with_significant_bits(bits)?;
            }
            _share = shop.memory.take(raw.made_bytes());
            picture = raw.picture(input.significant_bits, input.float_range)?;
            match &picture {
                Picture::Lent(frame) => model.watch_depth(frame.significant_bits(), || frame.peak()),
                Picture::Made(image) => {
                    job.timings.decode = job.was_in("decode", start);
                    model.watch_depth(image.frame().significant_bits().or(job.significant_bits), || image.peak());
                }
            }
            picture.frame()
        }
        Source::Encoded(bytes) => {
            _share = shop.memory.take(decoding(bytes));
            let options = model.manifest().input.read_options(*limits, job.significant_bits);
            image = Image::decode_with(bytes, "the encoded frame", &options)?;
            job.timings.decode = job.was_in("decode", start);
            model.watch_depth(image.frame().significant_bits().or(job.significant_bits), || image.peak());
            image.frame()
        }
        Source::Image(image) => image.frame(),
    };
    if let (Source::Image(_), Some(bits)) = (&source, job.significant_bits) {
        frame = frame.with_significant_bits(bits)?;
    }
    if matches!(source, Source::Image(_)) {
        model.watch_depth(frame.significant_bits(), || frame.peak());
    }
    let start = Instant::now();
    job.brightness = frame.brightness(model.manifest().input.significant_bits);
    let size = (frame.height(), frame.width());
    if let Some(roi) = own_roi.as_ref().or(job.rule.roi.as_ref().and_then(RegionOfInterest::mask)) {
        let (width, height) = model.manifest().input.map_size();
        roi.check_frame((size.0 as usize, size.1 as usize), (height as usize, width as usize))?;
    }
    if let Some(tiled) = model.tiled(&frame, job.wanted.latents) {
        let tiled = tiled?;
        job.timings.preprocess = tiled.times.preprocess.as_secs_f64() * 1e3;
        let both = job.was_in("network", start);
        job.timings.network = both - job.timings.preprocess;
        job.batch = 1;
        return Ok((Made::Energies(tiled), size));
    }
    let mut tensor = model.worker().buffer(model.manifest().input.len());
    model.preprocessors().with(|preprocessor| preprocessor.run(&frame, &mut tensor))?;
    job.timings.preprocess = job.was_in("preprocess", start);
    Ok((Made::Tensor(tensor), size))
}

/// Energies → answer.
pub(super) fn finish(finish: Finish, shop: &Shop) {
    let Finish { job, size, energies, latents } = finish;
    let Some(mut job) = job.dequeued("after the network") else { return };
    if let Some(roi) = job.roi.as_mut().map(|roi| shop.rois.get(roi)) {
        match roi {
            Ok(roi) => job.rule.roi = Some(RegionOfInterest::Mask(roi)),
            Err(error) => return job.finish(Err(error)),
        }
    }
    let _share = shop.memory.take(segmenting(size));
    let start = Instant::now();
    let model = Arc::clone(&job.model);
    let answer = model.post_processors().with(|post| {
        let evidence = Evidence::Copied { energies: &energies, latents: &latents };
        let found = post.run(evidence, size, &job.rule)?;
        let maps = post.maps();
        let wanted = job.wanted;
        job.timings.segmentation = job.was_in("segmentation", start);
        Ok(Answer {
            detection: Detection { timings_ms: job.timings, ..found },
            size,
            brightness: job.brightness,
            total_ms: job.total_ms(),
            batch: job.batch,
            stages: std::mem::take(&mut job.stages),
            mask: wanted.mask.then(|| post.mask().to_owned()),
            score_map: maps.filter(|_| wanted.score_map).map(|maps| maps.score.to_owned()),
            log10_nfa_map: maps.filter(|_| wanted.log10_nfa_map).map(|maps| maps.log10_nfa.to_owned()),
            latents: Vec::new(),
        })
    });
    job.finish(answer.map(|answer| Answer { latents, ..answer }));
}
