import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from uflow.v1 import image_pb2 as _image_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_NFA: _ClassVar[Verdict]
    VERDICT_SCORE: _ClassVar[Verdict]
    VERDICT_BOTH: _ClassVar[Verdict]
    VERDICT_EITHER: _ClassVar[Verdict]
    VERDICT_REJECT: _ClassVar[Verdict]

class Bound(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BOUND_UNSPECIFIED: _ClassVar[Bound]
    BOUND_CHERNOFF: _ClassVar[Bound]
    BOUND_EXACT: _ClassVar[Bound]

class TestCount(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TEST_COUNT_UNSPECIFIED: _ClassVar[TestCount]
    TEST_COUNT_PAPER: _ClassVar[TestCount]
    TEST_COUNT_PER_SIZE: _ClassVar[TestCount]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
VERDICT_UNSPECIFIED: Verdict
VERDICT_NFA: Verdict
VERDICT_SCORE: Verdict
VERDICT_BOTH: Verdict
VERDICT_EITHER: Verdict
VERDICT_REJECT: Verdict
BOUND_UNSPECIFIED: Bound
BOUND_CHERNOFF: Bound
BOUND_EXACT: Bound
TEST_COUNT_UNSPECIFIED: TestCount
TEST_COUNT_PAPER: TestCount
TEST_COUNT_PER_SIZE: TestCount

class DetectRequest(_message.Message):
    __slots__ = ("sequence", "timestamp", "model", "version", "raw", "encoded", "options", "outputs", "time_limit", "priority", "significant_bits")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANT_BITS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    timestamp: _timestamp_pb2.Timestamp
    model: str
    version: int
    raw: _image_pb2.RawImage
    encoded: bytes
    options: DetectOptions
    outputs: Outputs
    time_limit: _duration_pb2.Duration
    priority: Priority
    significant_bits: int
    def __init__(self, sequence: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., raw: _Optional[_Union[_image_pb2.RawImage, _Mapping]] = ..., encoded: _Optional[bytes] = ..., options: _Optional[_Union[DetectOptions, _Mapping]] = ..., outputs: _Optional[_Union[Outputs, _Mapping]] = ..., time_limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., significant_bits: _Optional[int] = ...) -> None: ...

class DetectOptions(_message.Message):
    __slots__ = ("epsilon", "verdict", "score_threshold", "min_area", "bound", "roi", "tests", "reject_rate")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MIN_AREA_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    ROI_FIELD_NUMBER: _ClassVar[int]
    TESTS_FIELD_NUMBER: _ClassVar[int]
    REJECT_RATE_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    verdict: Verdict
    score_threshold: float
    min_area: int
    bound: Bound
    roi: bytes
    tests: TestCount
    reject_rate: float
    def __init__(self, epsilon: _Optional[float] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., score_threshold: _Optional[float] = ..., min_area: _Optional[int] = ..., bound: _Optional[_Union[Bound, str]] = ..., roi: _Optional[bytes] = ..., tests: _Optional[_Union[TestCount, str]] = ..., reject_rate: _Optional[float] = ...) -> None: ...

class Outputs(_message.Message):
    __slots__ = ("mask", "score_map", "log10_nfa_map", "latents")
    MASK_FIELD_NUMBER: _ClassVar[int]
    SCORE_MAP_FIELD_NUMBER: _ClassVar[int]
    LOG10_NFA_MAP_FIELD_NUMBER: _ClassVar[int]
    LATENTS_FIELD_NUMBER: _ClassVar[int]
    mask: _image_pb2.MaskFormat
    score_map: _image_pb2.MapFormat
    log10_nfa_map: _image_pb2.MapFormat
    latents: bool
    def __init__(self, mask: _Optional[_Union[_image_pb2.MaskFormat, str]] = ..., score_map: _Optional[_Union[_image_pb2.MapFormat, str]] = ..., log10_nfa_map: _Optional[_Union[_image_pb2.MapFormat, str]] = ..., latents: bool = ...) -> None: ...

class DetectResponse(_message.Message):
    __slots__ = ("sequence", "timestamp", "model", "version", "detection", "error", "timings")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DETECTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    timestamp: _timestamp_pb2.Timestamp
    model: str
    version: int
    detection: Detection
    error: Error
    timings: Timings
    def __init__(self, sequence: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., detection: _Optional[_Union[Detection, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("score", "anomalous", "log10_nfa_min", "regions", "width", "height", "mask", "score_map", "log10_nfa_map", "latents", "p_value", "p_extrapolated", "score_max")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ANOMALOUS_FIELD_NUMBER: _ClassVar[int]
    LOG10_NFA_MIN_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SCORE_MAP_FIELD_NUMBER: _ClassVar[int]
    LOG10_NFA_MAP_FIELD_NUMBER: _ClassVar[int]
    LATENTS_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    P_EXTRAPOLATED_FIELD_NUMBER: _ClassVar[int]
    SCORE_MAX_FIELD_NUMBER: _ClassVar[int]
    score: float
    anomalous: bool
    log10_nfa_min: float
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    width: int
    height: int
    mask: _image_pb2.Mask
    score_map: _image_pb2.Map
    log10_nfa_map: _image_pb2.Map
    latents: _containers.RepeatedCompositeFieldContainer[_image_pb2.Latents]
    p_value: float
    p_extrapolated: bool
    score_max: float
    def __init__(self, score: _Optional[float] = ..., anomalous: bool = ..., log10_nfa_min: _Optional[float] = ..., regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., mask: _Optional[_Union[_image_pb2.Mask, _Mapping]] = ..., score_map: _Optional[_Union[_image_pb2.Map, _Mapping]] = ..., log10_nfa_map: _Optional[_Union[_image_pb2.Map, _Mapping]] = ..., latents: _Optional[_Iterable[_Union[_image_pb2.Latents, _Mapping]]] = ..., p_value: _Optional[float] = ..., p_extrapolated: bool = ..., score_max: _Optional[float] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("box", "area", "centroid", "log10_nfa_min", "score_max", "scale", "outline", "p_value")
    BOX_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    CENTROID_FIELD_NUMBER: _ClassVar[int]
    LOG10_NFA_MIN_FIELD_NUMBER: _ClassVar[int]
    SCORE_MAX_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OUTLINE_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    box: _image_pb2.Box
    area: int
    centroid: _image_pb2.Point
    log10_nfa_min: float
    score_max: float
    scale: int
    outline: _containers.RepeatedCompositeFieldContainer[_image_pb2.Ring]
    p_value: float
    def __init__(self, box: _Optional[_Union[_image_pb2.Box, _Mapping]] = ..., area: _Optional[int] = ..., centroid: _Optional[_Union[_image_pb2.Point, _Mapping]] = ..., log10_nfa_min: _Optional[float] = ..., score_max: _Optional[float] = ..., scale: _Optional[int] = ..., outline: _Optional[_Iterable[_Union[_image_pb2.Ring, _Mapping]]] = ..., p_value: _Optional[float] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode_ms", "queue_ms", "preprocess_ms", "network_ms", "segmentation_ms", "total_ms", "batch_size")
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_MS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_MS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    decode_ms: float
    queue_ms: float
    preprocess_ms: float
    network_ms: float
    segmentation_ms: float
    total_ms: float
    batch_size: int
    def __init__(self, decode_ms: _Optional[float] = ..., queue_ms: _Optional[float] = ..., preprocess_ms: _Optional[float] = ..., network_ms: _Optional[float] = ..., segmentation_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., batch_size: _Optional[int] = ...) -> None: ...
