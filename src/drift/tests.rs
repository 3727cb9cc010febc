//! Simulated lines: false alarms within their bound, delays, and which kind is told.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::segment::{Bound, JudgedFrame, Rejection, RejectionOrigin, TestCount};

/// A line whose good parts have normal values.
struct Line {
    random: ChaCha8Rng,
    /// Added to the values of good parts; below 0 they are more unusual.
    shift: f32,
    /// Share of defects.
    defects: f64,
    /// Added to the brightness of all parts, in its deviations.
    light: f32,
    /// Whether values are rounded, and parts above the mean have no evidence at all.
    tied: bool,
}

impl Line {
    fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), shift: 0.0, defects: 0.0, light: 0.0, tied: false }
    }

    fn normal(&mut self) -> f32 {
        let (u, v): (f64, f64) = (1.0 - self.random.random::<f64>(), self.random.random());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    fn brightness(&mut self, defect: f32) -> Option<f32> {
        let value = 0.5 + 0.05 * (self.normal() + self.light) + defect;
        Some(if self.tied { (value * 40.0).round() / 40.0 } else { value }.clamp(0.0, 1.0))
    }

    fn good(&mut self) -> JudgedFrame {
        let value = self.normal() + self.shift;
        let lowest = match self.tied {
            true if value > 0.0 => None,
            true => Some((2.0 * value).floor() / 2.0),
            false => Some(value),
        };
        JudgedFrame { lowest, brightness: self.brightness(0.0) }
    }

    /// A good part or a defect, which is bright.
    fn part(&mut self) -> JudgedFrame {
        let is_defect = self.random.random::<f64>() < self.defects;
        match is_defect {
            true => {
                JudgedFrame { lowest: Some(-3.0 - 3.0 * self.random.random::<f32>()), brightness: self.brightness(0.2) }
            }
            false => self.good(),
        }
    }

    fn rejection(&mut self, images: usize) -> Rejection {
        let good: Vec<_> = (0..images).map(|_| self.good()).collect();
        Rejection::of(&good, RejectionOrigin::Calibrated, TestCount::PerSize, Bound::Chernoff).unwrap()
    }

    fn watch(&mut self, images: usize, run_length: u64) -> Watch<u64> {
        let rejection = self.rejection(images);
        let seed = self.random.random();
        Watch::new(&rejection, Options { run_length, extreme: 0.01, seed }).unwrap()
    }
}

/// Frames until the first alarm, and its kind; `None` without an alarm in `most` frames.
fn delay(line: &mut Line, watch: &mut Watch<u64>, most: u64) -> Option<(u64, Kind)> {
    (1..=most).find_map(|frame| {
        let news = watch.push(line.part(), frame);
        news.raised.first().map(|alarm| (frame, alarm.kind))
    })
}

/// The median delay of 40 lines, the number of them with an alarm of this kind, and that of lines with a false alarm before.
fn after(images: usize, past: u64, defects: f64, change: fn(&mut Line), kind: Kind) -> (u64, usize, usize) {
    let (mut delays, mut right, mut false_alarms) = (Vec::new(), 0, 0);
    for seed in 0..40 {
        let mut line = Line::new(seed);
        let mut watch = line.watch(images, 1_000_000);
        line.defects = defects;
        if delay(&mut line, &mut watch, past).is_some() {
            false_alarms += 1;
            watch.clear(true);
        }
        change(&mut line);
        let found = delay(&mut line, &mut watch, 20_000);
        delays.push(found.map_or(u64::MAX, |(frames, _)| frames));
        right += usize::from(found.is_some_and(|(_, found)| found == kind));
    }
    delays.sort_unstable();
    (delays[20], right, false_alarms)
}

/// Alarms of 100 unchanged lines with N = 500 in 2500 frames each, and the most of one line.
fn false_alarms(images: usize, defects: f64, tied: bool) -> (usize, usize) {
    let (mut all, mut most) = (0, 0);
    for seed in 0..100 {
        let mut line = Line { tied, ..Line::new(1000 * images as u64 + seed) };
        let mut watch = line.watch(images, 500);
        line.defects = defects;
        let mut of_line = 0;
        for frame in 0..2500 {
            let news = watch.push(line.part(), frame);
            of_line += news.raised.len();
            if !news.raised.is_empty() {
                // It was false: the frames are good.
                watch.clear(true);
            }
        }
        (all, most) = (all + of_line, most.max(of_line));
    }
    (all, most)
}

#[test]
fn false_alarms_keep_the_run_length_with_few_and_with_many_good_images() {
    for images in [20, 50, 100, 300] {
        for (defects, tied) in [(0.0, false), (0.0, true), (0.05, false)] {
            let (all, most) = false_alarms(images, defects, tied);
            // 100 lines × 2500 frames / 500: at most 500 on average. Bets that pay nothing would give none at all.
            assert!((50..=500).contains(&all), "{images} images, {defects} defects, ties {tied}: {all}");
            assert!(most <= 12, "{images} images, {defects} defects, ties {tied}: {most} of one line, 5 on average");
        }
    }
}

#[test]
fn the_first_frames_have_no_more_false_alarms_than_later_ones() {
    let early = |seed| {
        let mut line = Line::new(seed);
        let mut watch = line.watch(20, 500);
        delay(&mut line, &mut watch, 250).is_some()
    };
    let lines = (0..400).filter(|&seed| early(seed)).count();
    assert!(lines <= 200, "{lines} of 400 lines have a false alarm in the first N/2 frames");
}

#[test]
fn a_shift_is_found_and_told_from_defects() {
    for images in [50, 300] {
        let small = after(images, 2000, 0.02, |line| line.shift = -0.5, Kind::Shift);
        assert!(small.0 < 400 && small.1 >= 36 && small.2 <= 2, "half a deviation, {images} images: {small:?}");
        let large = after(images, 2000, 0.02, |line| line.shift = -3.0, Kind::Shift);
        assert!(large.0 < 40 && large.1 >= 36, "three deviations, {images} images: {large:?}");
        let calm = after(images, 2000, 0.02, |line| line.shift = 0.7, Kind::Calm);
        assert!(calm.0 < 400 && calm.1 >= 36, "easier pictures, {images} images: {calm:?}");
    }
}

#[test]
fn a_shift_before_the_first_frame_is_found() {
    let shifted = after(100, 0, 0.0, |line| line.shift = -1.0, Kind::Shift);
    assert!(shifted.0 < 200 && shifted.1 >= 36, "{shifted:?}");
    let all_extreme = after(20, 0, 0.0, |line| line.shift = -6.0, Kind::Shift);
    assert!(all_extreme.0 < 60 && all_extreme.1 == 40, "{all_extreme:?}");
}

#[test]
fn a_doubled_rate_of_defects_is_found_and_told_from_a_shift() {
    let five = after(100, 5000, 0.05, |line| line.defects = 0.1, Kind::Defects);
    assert!(five.0 < 3000 && five.1 >= 34, "from 5% to 10%: {five:?}");
    let two = after(100, 20_000, 0.02, |line| line.defects = 0.04, Kind::Defects);
    assert!(two.0 < 6000 && two.1 >= 34, "from 2% to 4%: {two:?}");
}

#[test]
fn another_light_is_found_where_the_evidence_stays_as_it_was() {
    for light in [1.0, -1.0] {
        let change: fn(&mut Line) = if light > 0.0 { |line| line.light = 1.0 } else { |line| line.light = -1.0 };
        let later = after(100, 2000, 0.02, change, Kind::Shift);
        assert!(later.0 < 100 && later.1 >= 36 && later.2 <= 2, "light {light}: {later:?}");
        let at_start = after(100, 0, 0.0, change, Kind::Shift);
        assert!(at_start.0 < 400 && at_start.1 >= 34, "light {light} from the start: {at_start:?}");
    }
    let mut line = Line::new(8);
    let mut watch = line.watch(100, 1_000_000);
    assert_eq!(delay(&mut line, &mut watch, 500), None);
    line.light = -3.0;
    let alarm = (501..600).find_map(|frame| watch.push(line.part(), frame).raised.pop()).unwrap();
    assert!(alarm.advice.contains("darker or brighter") && alarm.frames.len() >= 5, "{alarm:?}");
}

#[test]
fn good_images_of_unknown_brightness_are_compared_by_their_evidence_alone() {
    let mut line = Line::new(4);
    let good: Vec<_> = (0..100).map(|_| line.good().lowest).collect();
    let rejection = Rejection::new(&good, RejectionOrigin::Calibrated, TestCount::PerSize, Bound::Chernoff).unwrap();
    let mut watch = Watch::new(&rejection, Options { run_length: 1000, extreme: 0.01, seed: 1 }).unwrap();
    line.light = 5.0;
    assert_eq!(delay(&mut line, &mut watch, 500), None);
    line.shift = -2.0;
    assert!(delay(&mut line, &mut watch, 100).is_some_and(|(_, kind)| kind == Kind::Shift));
}

#[test]
fn a_repeated_picture_is_found() {
    for value in [-0.3, 0.4, 1.0] {
        let mut line = Line::new(3);
        let mut watch = line.watch(100, 1_000_000);
        assert_eq!(delay(&mut line, &mut watch, 500), None);
        let found = (1..100).find(|&frame| {
            !watch.push(JudgedFrame { lowest: Some(value), brightness: Some(0.5) }, frame).raised.is_empty()
        });
        assert!(found.is_some_and(|frames| frames < 40), "{value}: {found:?}");
    }
}

#[test]
fn an_alarm_is_told_once_with_the_frames_that_say_most_and_is_over_with_its_cause() {
    let mut line = Line::new(5);
    let mut watch = line.watch(100, 1_000_000);
    assert_eq!(delay(&mut line, &mut watch, 1000), None);
    let learned = watch.extreme_rate();
    line.shift = -2.0;
    let alarm = (1001..1200).find_map(|frame| watch.push(line.part(), frame).raised.pop()).unwrap();
    assert_eq!((alarm.kind, alarm.number), (Kind::Shift, watch.frames()));
    assert!((900..=1010).contains(&alarm.since), "{}", alarm.since);
    assert!((5..=FRAMES_TOLD).contains(&alarm.frames.len()), "{:?}", alarm.frames);
    for (telling, next) in alarm.frames.iter().zip(&alarm.frames[1..]) {
        assert!(telling.log10_factor >= next.log10_factor && telling.frame == telling.number);
        assert!(telling.number >= alarm.since && telling.p_value < 0.6, "{telling:?}");
    }
    // The shift stays: nothing new is told, nothing is learned from it, and the alarm stays.
    for frame in 0..3000 {
        assert_eq!(watch.push(line.part(), frame), News { raised: Vec::new(), over: Vec::new() });
    }
    assert!(watch.is_raised(Kind::Shift) && watch.extreme_rate() <= learned.map(|rate| 2.0 * rate + 0.01));
    // It ends: the alarm is over, and the frames after it are no change.
    line.shift = 0.0;
    let over = (1..3000).find_map(|frame| watch.push(line.part(), frame).over.pop());
    assert_eq!((over.map(|alarm| alarm.kind), watch.raised().count()), (Some(Kind::Shift), 0));
    assert_eq!(delay(&mut line, &mut watch, 3000), None);
    // The next shift is told again.
    line.shift = -2.0;
    assert!(delay(&mut line, &mut watch, 200).is_some_and(|(_, kind)| kind == Kind::Shift));
}

#[test]
fn a_cleared_alarm_is_raised_again_unless_its_frames_are_learned() {
    let raised_again = |learn: bool| {
        let mut line = Line::new(6);
        let mut watch = line.watch(100, 1_000_000);
        assert_eq!(delay(&mut line, &mut watch, 1000), None);
        line.shift = -1.0;
        assert!(delay(&mut line, &mut watch, 500).is_some());
        for frame in 0..10_000 {
            watch.push(line.part(), frame);
        }
        watch.clear(learn);
        assert_eq!(watch.raised().count(), 0);
        delay(&mut line, &mut watch, 1000).is_some()
    };
    assert!(raised_again(false));
    assert!(!raised_again(true));
}

#[test]
fn what_cannot_be_watched_says_why() {
    let options = Options { run_length: 1000, extreme: 0.01, seed: 0 };
    let few = Line::new(1).rejection(19);
    let error = Watch::<()>::new(&few, options).unwrap_err().to_string();
    assert!(error.contains("knows 19 good images and drift needs 20"), "{error}");
    let enough = Line::new(1).rejection(20);
    for wrong in [Options { run_length: 99, ..options }, Options { extreme: 0.5, ..options }] {
        assert!(Watch::<()>::new(&enough, wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn many_good_images_of_which_the_package_keeps_some_are_enough() {
    let (mut line, mut alarms) = (Line::new(9), 0);
    for tied in [false, true] {
        line.tied = tied;
        let mut watch = line.watch(5000, 500);
        for frame in 0..10_000 {
            if !watch.push(line.part(), frame).raised.is_empty() {
                (alarms, _) = (alarms + 1, watch.clear(true));
            }
        }
    }
    assert!(alarms <= 50, "{alarms} in 20,000 frames");
}
