//! Frames of a stream: order, bounds, release, what comes back with them, results by callback and on request, endings.

mod bounds;
mod callbacks;
mod endings;
mod examples;
mod results;

use crate::fixture::{Fixture, image, made, message, ok, summary};
use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;
use uflow_ffi::*;

const RGB: uflow_format = uflow_format::UFLOW_FORMAT_RGB8;

/// What callbacks were told, in order.
#[derive(Default)]
struct Told {
    events: Mutex<Vec<Event>>,
    stream: AtomicPtr<uflow_stream>,
}

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Released(usize),
    Found(usize, f32),
    Failed(usize, u32, String),
}

impl Told {
    fn add(user_data: *mut c_void, event: Event) {
        let told: &Self = unsafe { &*user_data.cast() };
        told.events.lock().unwrap().push(event);
    }

    fn user_data(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn results(&self) -> Vec<Event> {
        let is_result = |event: &&Event| !matches!(event, Event::Released(_));
        self.events.lock().unwrap().iter().filter(is_result).cloned().collect()
    }

    fn released(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self
            .events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|event| if let Event::Released(number) = event { Some(*number) } else { None })
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The number of a frame that [`frame`] made. Checks that its other fields came back with it.
fn number(frame: *const uflow_frame) -> usize {
    let frame = unsafe { &*frame };
    let number = frame.id as usize;
    assert_eq!(
        (frame.struct_size, frame.timestamp, frame.buffer.addr()),
        (size_of::<uflow_frame>(), frame.id + 1_000, number + 1)
    );
    number
}

unsafe extern "C" fn released(user_data: *mut c_void, frame: *const uflow_frame) {
    Told::add(user_data, Event::Released(number(frame)));
}

unsafe extern "C" fn found(
    user_data: *mut c_void,
    frame: *const uflow_frame,
    status: *const uflow_status,
    result: *const uflow_result,
) {
    assert!(status.is_null() != result.is_null());
    let event = match status.is_null() {
        true => Event::Found(number(frame), summary(result).score),
        false => {
            let code = unsafe { uflow_status_get_code(status) };
            Event::Failed(number(frame), code as u32, message(status))
        }
    };
    Told::add(user_data, event);
}

fn frame(number: usize) -> uflow_frame {
    let id = number as u64;
    let buffer = ptr::without_provenance_mut(number + 1);
    uflow_frame { struct_size: size_of::<uflow_frame>(), id, timestamp: id + 1_000, buffer }
}

fn options(change: impl FnOnce(*mut uflow_stream_options)) -> *mut uflow_stream_options {
    let options = made(|out| unsafe { uflow_stream_options_new(out) });
    change(options);
    options
}

fn stream(fixture: &Fixture, change: impl FnOnce(*mut uflow_stream_options)) -> *mut uflow_stream {
    let options = options(change);
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, options, out) });
    unsafe { uflow_stream_options_free(options) };
    stream
}

fn scores(fixture: &Fixture, images: &[Vec<u8>]) -> Vec<f32> {
    let score = |pixels: &Vec<u8>| {
        ok(fixture.detect(&image(pixels, RGB)));
        fixture.summary().score
    };
    images.iter().map(score).collect()
}
