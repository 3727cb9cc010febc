from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PixelFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIXEL_FORMAT_UNSPECIFIED: _ClassVar[PixelFormat]
    PIXEL_FORMAT_GRAY8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_GRAY16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGB8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BGR8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGBA8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BGRA8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_MONO10: _ClassVar[PixelFormat]
    PIXEL_FORMAT_MONO12: _ClassVar[PixelFormat]
    PIXEL_FORMAT_MONO14: _ClassVar[PixelFormat]
    PIXEL_FORMAT_MONO10P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_MONO12P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGB16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BGR16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGBA16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BGRA16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGB8_PLANAR: _ClassVar[PixelFormat]
    PIXEL_FORMAT_YUYV: _ClassVar[PixelFormat]
    PIXEL_FORMAT_UYVY: _ClassVar[PixelFormat]
    PIXEL_FORMAT_NV12: _ClassVar[PixelFormat]
    PIXEL_FORMAT_FLOAT32: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG10: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG12: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG14: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG10P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_RG12P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR10: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR12: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR14: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR10P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GR12P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB10: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB12: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB14: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB10P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_GB12P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG10: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG12: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG14: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG16: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG10P: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BAYER_BG12P: _ClassVar[PixelFormat]

class MaskFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_FORMAT_UNSPECIFIED: _ClassVar[MaskFormat]
    MASK_FORMAT_PNG: _ClassVar[MaskFormat]
    MASK_FORMAT_RLE: _ClassVar[MaskFormat]
    MASK_FORMAT_RAW: _ClassVar[MaskFormat]

class MapFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_FORMAT_UNSPECIFIED: _ClassVar[MapFormat]
    MAP_FORMAT_F32: _ClassVar[MapFormat]
    MAP_FORMAT_F16: _ClassVar[MapFormat]
    MAP_FORMAT_PNG: _ClassVar[MapFormat]
PIXEL_FORMAT_UNSPECIFIED: PixelFormat
PIXEL_FORMAT_GRAY8: PixelFormat
PIXEL_FORMAT_GRAY16: PixelFormat
PIXEL_FORMAT_RGB8: PixelFormat
PIXEL_FORMAT_BGR8: PixelFormat
PIXEL_FORMAT_RGBA8: PixelFormat
PIXEL_FORMAT_BGRA8: PixelFormat
PIXEL_FORMAT_MONO10: PixelFormat
PIXEL_FORMAT_MONO12: PixelFormat
PIXEL_FORMAT_MONO14: PixelFormat
PIXEL_FORMAT_MONO10P: PixelFormat
PIXEL_FORMAT_MONO12P: PixelFormat
PIXEL_FORMAT_RGB16: PixelFormat
PIXEL_FORMAT_BGR16: PixelFormat
PIXEL_FORMAT_RGBA16: PixelFormat
PIXEL_FORMAT_BGRA16: PixelFormat
PIXEL_FORMAT_RGB8_PLANAR: PixelFormat
PIXEL_FORMAT_YUYV: PixelFormat
PIXEL_FORMAT_UYVY: PixelFormat
PIXEL_FORMAT_NV12: PixelFormat
PIXEL_FORMAT_FLOAT32: PixelFormat
PIXEL_FORMAT_BAYER_RG8: PixelFormat
PIXEL_FORMAT_BAYER_RG10: PixelFormat
PIXEL_FORMAT_BAYER_RG12: PixelFormat
PIXEL_FORMAT_BAYER_RG14: PixelFormat
PIXEL_FORMAT_BAYER_RG16: PixelFormat
PIXEL_FORMAT_BAYER_RG10P: PixelFormat
PIXEL_FORMAT_BAYER_RG12P: PixelFormat
PIXEL_FORMAT_BAYER_GR8: PixelFormat
PIXEL_FORMAT_BAYER_GR10: PixelFormat
PIXEL_FORMAT_BAYER_GR12: PixelFormat
PIXEL_FORMAT_BAYER_GR14: PixelFormat
PIXEL_FORMAT_BAYER_GR16: PixelFormat
PIXEL_FORMAT_BAYER_GR10P: PixelFormat
PIXEL_FORMAT_BAYER_GR12P: PixelFormat
PIXEL_FORMAT_BAYER_GB8: PixelFormat
PIXEL_FORMAT_BAYER_GB10: PixelFormat
PIXEL_FORMAT_BAYER_GB12: PixelFormat
PIXEL_FORMAT_BAYER_GB14: PixelFormat
PIXEL_FORMAT_BAYER_GB16: PixelFormat
PIXEL_FORMAT_BAYER_GB10P: PixelFormat
PIXEL_FORMAT_BAYER_GB12P: PixelFormat
PIXEL_FORMAT_BAYER_BG8: PixelFormat
PIXEL_FORMAT_BAYER_BG10: PixelFormat
PIXEL_FORMAT_BAYER_BG12: PixelFormat
PIXEL_FORMAT_BAYER_BG14: PixelFormat
PIXEL_FORMAT_BAYER_BG16: PixelFormat
PIXEL_FORMAT_BAYER_BG10P: PixelFormat
PIXEL_FORMAT_BAYER_BG12P: PixelFormat
MASK_FORMAT_UNSPECIFIED: MaskFormat
MASK_FORMAT_PNG: MaskFormat
MASK_FORMAT_RLE: MaskFormat
MASK_FORMAT_RAW: MaskFormat
MAP_FORMAT_UNSPECIFIED: MapFormat
MAP_FORMAT_F32: MapFormat
MAP_FORMAT_F16: MapFormat
MAP_FORMAT_PNG: MapFormat

class RawImage(_message.Message):
    __slots__ = ("pixels", "width", "height", "stride", "format")
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    pixels: bytes
    width: int
    height: int
    stride: int
    format: PixelFormat
    def __init__(self, pixels: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., stride: _Optional[int] = ..., format: _Optional[_Union[PixelFormat, str]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Ring(_message.Message):
    __slots__ = ("corners",)
    CORNERS_FIELD_NUMBER: _ClassVar[int]
    corners: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, corners: _Optional[_Iterable[int]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("width", "height", "format", "data", "runs")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    format: MaskFormat
    data: bytes
    runs: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., format: _Optional[_Union[MaskFormat, str]] = ..., data: _Optional[bytes] = ..., runs: _Optional[_Iterable[int]] = ...) -> None: ...

class Map(_message.Message):
    __slots__ = ("width", "height", "format", "data", "minimum", "maximum")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    format: MapFormat
    data: bytes
    minimum: float
    maximum: float
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., format: _Optional[_Union[MapFormat, str]] = ..., data: _Optional[bytes] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ...) -> None: ...

class Latents(_message.Message):
    __slots__ = ("channels", "height", "width", "data")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    channels: int
    height: int
    width: int
    data: bytes
    def __init__(self, channels: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
