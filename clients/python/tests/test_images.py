"""Arrays: which are read in place, which are copied, and which are refused."""

import numpy as np
import pytest
import uflow
from uflow._images import prepare


def rows(given):
    """The samples of prepared pixels."""
    channels = {"gray8": 1, "gray16": 2, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}[given.format]
    length = given.width * channels
    packed = [given.data[y * given.stride : y * given.stride + length] for y in range(given.height)]
    made = np.stack(packed)
    return made.view(np.uint16) if given.format == "gray16" else made


RGB = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
RGBA = np.arange(8 * 10 * 4, dtype=np.uint16).astype(np.uint8).reshape(8, 10, 4)
GRAY16 = np.arange(80, dtype=np.uint16).reshape(8, 10) * 700


@pytest.mark.parametrize(
    "array",
    [
        RGB,
        RGBA,
        GRAY16,
        RGB[2:5],
        RGB[2:5, 3:7],
        RGB[::2],
        RGB[3:4, 3:7],
        RGB[:1, :1],
        GRAY16[1:7, 2:3],
        GRAY16[:, :, np.newaxis],
        RGBA[1:, 1:],
        np.asfortranarray(np.zeros((1, 5), np.uint8)),
    ],
)
def test_packed_rows_are_read_in_place(array):
    given = prepare(array)
    assert np.shares_memory(given.data, array)
    assert (rows(given) == array.reshape(array.shape[0], -1)).all()
    assert (given.height, given.width) == array.shape[:2]


@pytest.mark.parametrize(
    "array",
    [
        RGB[::-1],
        RGB[:, ::-1],
        RGB[:, :, ::-1],
        RGB[:, ::2],
        RGB[:, :, 1],
        RGBA[:, :, :3],
        RGB.transpose(1, 0, 2),
        np.moveaxis(np.ascontiguousarray(np.moveaxis(RGB, 2, 0)), 0, 2),
        np.broadcast_to(RGB[:1], RGB.shape),
        GRAY16.astype(">u2"),
    ],
)
def test_other_arrays_are_copied(array):
    given = prepare(array)
    assert not np.shares_memory(given.data, array)
    assert (rows(given) == array.reshape(array.shape[0], -1)).all()


def test_read_only_arrays_are_read_in_place():
    array = RGB.copy()
    array.flags.writeable = False
    assert np.shares_memory(prepare(array).data, array)


def test_colour_of_16_bits_is_rounded_to_8():
    array = np.array([[[0, 128, 65535]]], np.uint16)
    assert rows(prepare(array)).tolist() == [[0, 0, 255]]
    array = np.array([[[0, 2048, 4095]]], np.uint16)
    assert rows(prepare(array, significant_bits=12)).tolist() == [[0, 128, 255]]
    with pytest.raises(uflow.FrameError, match="a 16-bit sample is 4095, but 10 significant bits reach only 1023"):
        prepare(array, significant_bits=10)


def test_floating_point_is_placed_in_its_range():
    array = np.array([[-1, 0, 0.25, 1, 2]])
    for kind in (np.float16, np.float32, np.float64):
        given = prepare(array.astype(kind), float_range=(0, 1))
        assert (given.format, given.significant_bits) == ("gray16", 16)
        assert rows(given).tolist() == [[0, 0, 16384, 65535, 65535]]
    given = prepare(array[:, :3, np.newaxis].repeat(3, 2), float_range=(-1, 1))
    assert (given.format, rows(given).tolist()) == ("rgb8", [[0] * 3 + [128] * 3 + [159] * 3])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.int32), "not int32; convert it to uint8"),
        (np.zeros((4, 4), bool), "not bool; multiply a mask by 255"),
        (np.zeros((4, 4), np.uint32), "not uint32"),
        (np.zeros((4, 4), np.complex64), "not complex64"),
        (np.zeros((4, 4), object), "not object"),
        (np.zeros((3, 4, 4, 3), np.uint8), r"not \(3, 4, 4, 3\); move the channels"),
        (np.zeros((3, 4, 4), np.uint8)[:, :, :2], r"not \(3, 4, 2\)"),
        (np.zeros(5, np.uint8), r"not \(5,\)"),
        (np.zeros((0, 4), np.uint8), "has no pixels"),
        (np.zeros((4, 4)), "the range of floating-point samples is not known"),
        ([[1, 2], [3, 4]], "not list; numpy.asarray"),
        (None, "not NoneType"),
    ],
)
def test_what_is_not_an_image_is_refused(array, message):
    with pytest.raises(uflow.FrameError, match=message):
        prepare(array)


def test_wrong_values_are_refused():
    with pytest.raises(uflow.FrameError, match="not finite"):
        prepare(np.array([[0, np.nan]]), float_range=(0, 1))
    with pytest.raises(uflow.ParameterError, match="float_range"):
        prepare(np.zeros((2, 2)), float_range=(1, 1))
    with pytest.raises(uflow.ParameterError, match="`gbr` is not one of rgb, bgr"):
        prepare(RGB, color="gbr")
    with pytest.raises(uflow.ParameterError, match="significant_bits: 17"):
        prepare(RGB.astype(np.uint16), significant_bits=17)
