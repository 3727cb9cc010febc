//! Brightness, sharpness and size of each image against the set's own.
//!
//! Every limit is a number of robust deviations from the set's median, so that a product that varies by nature is not named. A least
//! difference comes on top: in a set of the same light to the last digit, a hundredth of it is many deviations.

use super::{
    finding::{Finding, Kind},
    look::Look,
    robust::Usual,
};

/// Deviations beyond which the sharpness is named.
const BLURRED: f64 = 5.0;
/// Least fall of the sharpness, in dB.
const LEAST_BLUR: f64 = 3.0;
/// Floor of the sharpness's deviation, in dB.
const SHARPNESS_FLOOR: f64 = 0.5;
/// Deviations beyond which the level is named.
const LEVEL: f64 = 5.0;
/// Least difference of the level, in stops (factors of 2).
const LEAST_STOPS: f64 = 0.5;
/// Floor of the level's deviation, in stops.
const LEVEL_FLOOR: f64 = 0.05;
/// Deviations of the saturated part beyond which it is named, and the deviation's floor: together at least a twentieth of the pixels.
const SATURATED: f64 = 8.0;
const SATURATED_FLOOR: f64 = 0.05 / SATURATED;
/// Part of the images that must have one size before another size is named.
const ONE_SIZE: f64 = 0.9;
/// Deviations of shape and number of pixels beyond which they are named, and the deviation's floor in ln: together at least a factor of 1.5.
const SHAPE: f64 = 8.0;
const SHAPE_FLOOR: f64 = 0.4 / SHAPE;

/// All that brightness, sharpness and size say.
pub(super) fn findings(looks: &[Look]) -> Vec<Finding> {
    let mut found = exposure(looks);
    found.extend(blur(looks));
    found.extend(size(looks));
    found
}

/// Level in stops below white.
fn stops(look: &Look) -> f64 {
    (look.level + 1.0 / 255.0).log2()
}

fn exposure(looks: &[Look]) -> Vec<Finding> {
    let level = Usual::of(looks.iter().map(stops), LEVEL_FLOOR);
    let white = Usual::of(looks.iter().map(|look| look.white), SATURATED_FLOOR);
    let black = Usual::of(looks.iter().map(|look| look.black), SATURATED_FLOOR);
    let limit = (LEVEL * level.deviation).max(LEAST_STOPS);
    let mut found = Vec::new();
    for (image, look) in looks.iter().enumerate() {
        let difference = (stops(look) - level.median) / limit;
        for (kind, saturated, part, towards) in
            [(Kind::Overexposed, white, look.white, difference), (Kind::Underexposed, black, look.black, -difference)]
        {
            let excess = saturated.z(part) / SATURATED;
            if excess.max(towards) <= 1.0 {
                continue;
            }
            let (figure, unit, usual) = if excess >= towards {
                let unit = if kind == Kind::Overexposed {
                    "part of the pixels that is white"
                } else {
                    "part of the pixels that is black"
                };
                (part, unit, [0.0, saturated.median + SATURATED * saturated.deviation])
            } else {
                let at = |stops: f64| (level.median + stops).exp2() - 1.0 / 255.0;
                (look.level, "mean level (0 black, 1 white)", [at(-limit), at(limit).min(1.0)])
            };
            found.push(Finding {
                kind,
                image,
                figure,
                unit,
                usual,
                resembles: None,
                place: None,
                strength: excess.max(towards),
            });
        }
    }
    found
}

fn blur(looks: &[Look]) -> Vec<Finding> {
    let usual = Usual::of(looks.iter().map(|look| look.sharpness), SHARPNESS_FLOOR);
    let limit = (BLURRED * usual.deviation).max(LEAST_BLUR);
    let of = |(image, look): (usize, &Look)| {
        let strength = (usual.median - look.sharpness) / limit;
        (strength > 1.0).then_some(Finding {
            kind: Kind::Blurred,
            image,
            figure: look.sharpness,
            unit: "fine relative to coarse detail in dB",
            usual: [usual.median - limit, usual.median + limit],
            resembles: None,
            place: None,
            strength,
        })
    };
    looks.iter().enumerate().filter_map(of).collect()
}

fn size(looks: &[Look]) -> Vec<Finding> {
    let ratio = |look: &Look| (f64::from(look.size.1) / f64::from(look.size.0)).ln();
    let pixels = |look: &Look| (f64::from(look.size.1) * f64::from(look.size.0)).ln();
    let count = |size: (u32, u32)| looks.iter().filter(|look| look.size == size).count();
    let most = looks.iter().map(|look| (count(look.size), look.size)).max();
    let one_size = most.filter(|(count, _)| *count as f64 >= ONE_SIZE * looks.len() as f64).map(|(_, size)| size);
    let [of_ratio, of_pixels] =
        [&ratio as &dyn Fn(&Look) -> f64, &pixels].map(|of| Usual::of(looks.iter().map(of), SHAPE_FLOOR));
    let mut found = Vec::new();
    for (image, look) in looks.iter().enumerate() {
        let by_ratio = of_ratio.z(ratio(look)).abs() / SHAPE;
        let by_pixels = of_pixels.z(pixels(look)).abs() / SHAPE;
        let other = one_size.is_some_and(|size| size != look.size);
        if by_ratio.max(by_pixels) <= 1.0 && !other {
            continue;
        }
        let range = |usual: &Usual| [-SHAPE, SHAPE].map(|by| (usual.median + by * usual.deviation).exp());
        let (figure, unit, usual) = match by_ratio >= by_pixels {
            true => (ratio(look).exp(), "width divided by height", range(&of_ratio)),
            false => (pixels(look).exp(), "pixels", range(&of_pixels)),
        };
        // Of a set of one size, that size alone is usual.
        let usual = one_size.map_or(usual, |(height, width)| {
            let [height, width] = [height, width].map(f64::from);
            [if by_ratio >= by_pixels { width / height } else { width * height }; 2]
        });
        let strength = by_ratio.max(by_pixels).max(f64::from(u8::from(other)));
        found.push(Finding {
            kind: Kind::OtherSize,
            image,
            figure,
            unit,
            usual,
            resembles: None,
            place: None,
            strength,
        });
    }
    found
}
