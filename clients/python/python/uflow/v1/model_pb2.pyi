import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_AVAILABLE: _ClassVar[ModelState]
    MODEL_STATE_LOADING: _ClassVar[ModelState]
    MODEL_STATE_READY: _ClassVar[ModelState]
    MODEL_STATE_UNLOADING: _ClassVar[ModelState]
    MODEL_STATE_FAILED: _ClassVar[ModelState]

class DriftKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_KIND_UNSPECIFIED: _ClassVar[DriftKind]
    DRIFT_KIND_SHIFT: _ClassVar[DriftKind]
    DRIFT_KIND_CALM: _ClassVar[DriftKind]
    DRIFT_KIND_DEFECTS: _ClassVar[DriftKind]
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_AVAILABLE: ModelState
MODEL_STATE_LOADING: ModelState
MODEL_STATE_READY: ModelState
MODEL_STATE_UNLOADING: ModelState
MODEL_STATE_FAILED: ModelState
DRIFT_KIND_UNSPECIFIED: DriftKind
DRIFT_KIND_SHIFT: DriftKind
DRIFT_KIND_CALM: DriftKind
DRIFT_KIND_DEFECTS: DriftKind

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class UnloadModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "state", "reason", "current", "since", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    state: ModelState
    reason: str
    current: bool
    since: _timestamp_pb2.Timestamp
    description: ModelDescription
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[ModelState, str]] = ..., reason: _Optional[str] = ..., current: bool = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., description: _Optional[_Union[ModelDescription, _Mapping]] = ...) -> None: ...

class ModelDescription(_message.Message):
    __slots__ = ("flow_sha256", "backbone", "backbone_sha256", "input_width", "input_height", "scales", "epsilon", "fair_threshold", "created", "device", "warm_up_ms", "reject_rate", "good_images", "reject_extrapolated", "decision", "drift", "limits")
    FLOW_SHA256_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_SHA256_FIELD_NUMBER: _ClassVar[int]
    INPUT_WIDTH_FIELD_NUMBER: _ClassVar[int]
    INPUT_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    FAIR_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_MS_FIELD_NUMBER: _ClassVar[int]
    REJECT_RATE_FIELD_NUMBER: _ClassVar[int]
    GOOD_IMAGES_FIELD_NUMBER: _ClassVar[int]
    REJECT_EXTRAPOLATED_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    flow_sha256: str
    backbone: str
    backbone_sha256: str
    input_width: int
    input_height: int
    scales: _containers.RepeatedCompositeFieldContainer[ScaleShape]
    epsilon: float
    fair_threshold: float
    created: str
    device: str
    warm_up_ms: float
    reject_rate: float
    good_images: int
    reject_extrapolated: bool
    decision: _containers.RepeatedScalarFieldContainer[str]
    drift: Drift
    limits: DetectionLimits
    def __init__(self, flow_sha256: _Optional[str] = ..., backbone: _Optional[str] = ..., backbone_sha256: _Optional[str] = ..., input_width: _Optional[int] = ..., input_height: _Optional[int] = ..., scales: _Optional[_Iterable[_Union[ScaleShape, _Mapping]]] = ..., epsilon: _Optional[float] = ..., fair_threshold: _Optional[float] = ..., created: _Optional[str] = ..., device: _Optional[str] = ..., warm_up_ms: _Optional[float] = ..., reject_rate: _Optional[float] = ..., good_images: _Optional[int] = ..., reject_extrapolated: bool = ..., decision: _Optional[_Iterable[str]] = ..., drift: _Optional[_Union[Drift, _Mapping]] = ..., limits: _Optional[_Union[DetectionLimits, _Mapping]] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("watched", "reason", "run_length", "frames", "extreme_rate", "evidence", "alarms")
    WATCHED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    EXTREME_RATE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    watched: bool
    reason: str
    run_length: int
    frames: int
    extreme_rate: float
    evidence: _containers.RepeatedCompositeFieldContainer[DriftEvidence]
    alarms: _containers.RepeatedCompositeFieldContainer[DriftAlarm]
    def __init__(self, watched: bool = ..., reason: _Optional[str] = ..., run_length: _Optional[int] = ..., frames: _Optional[int] = ..., extreme_rate: _Optional[float] = ..., evidence: _Optional[_Iterable[_Union[DriftEvidence, _Mapping]]] = ..., alarms: _Optional[_Iterable[_Union[DriftAlarm, _Mapping]]] = ...) -> None: ...

class DriftEvidence(_message.Message):
    __slots__ = ("kind", "log10", "alarms_total")
    KIND_FIELD_NUMBER: _ClassVar[int]
    LOG10_FIELD_NUMBER: _ClassVar[int]
    ALARMS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    kind: DriftKind
    log10: float
    alarms_total: int
    def __init__(self, kind: _Optional[_Union[DriftKind, str]] = ..., log10: _Optional[float] = ..., alarms_total: _Optional[int] = ...) -> None: ...

class DriftAlarm(_message.Message):
    __slots__ = ("kind", "raised", "frame_number", "since_frame_number", "frames")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RAISED_FIELD_NUMBER: _ClassVar[int]
    FRAME_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FRAME_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    kind: DriftKind
    raised: _timestamp_pb2.Timestamp
    frame_number: int
    since_frame_number: int
    frames: _containers.RepeatedCompositeFieldContainer[DriftFrame]
    def __init__(self, kind: _Optional[_Union[DriftKind, str]] = ..., raised: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., frame_number: _Optional[int] = ..., since_frame_number: _Optional[int] = ..., frames: _Optional[_Iterable[_Union[DriftFrame, _Mapping]]] = ...) -> None: ...

class DriftFrame(_message.Message):
    __slots__ = ("request_id", "frame", "time", "frame_number", "p_value", "log10_factor")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    FRAME_NUMBER_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    LOG10_FACTOR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    frame: str
    time: _timestamp_pb2.Timestamp
    frame_number: int
    p_value: float
    log10_factor: float
    def __init__(self, request_id: _Optional[str] = ..., frame: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., frame_number: _Optional[int] = ..., p_value: _Optional[float] = ..., log10_factor: _Optional[float] = ...) -> None: ...

class DetectionLimits(_message.Message):
    __slots__ = ("images", "good_flagged", "control_images", "control_flagged", "smallest_tried_px", "largest_tried_px", "contrast_levels", "pixel_size_mm", "kinds")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    GOOD_FLAGGED_FIELD_NUMBER: _ClassVar[int]
    CONTROL_IMAGES_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FLAGGED_FIELD_NUMBER: _ClassVar[int]
    SMALLEST_TRIED_PX_FIELD_NUMBER: _ClassVar[int]
    LARGEST_TRIED_PX_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_LEVELS_FIELD_NUMBER: _ClassVar[int]
    PIXEL_SIZE_MM_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    images: int
    good_flagged: int
    control_images: int
    control_flagged: int
    smallest_tried_px: float
    largest_tried_px: float
    contrast_levels: float
    pixel_size_mm: float
    kinds: _containers.RepeatedCompositeFieldContainer[KindLimit]
    def __init__(self, images: _Optional[int] = ..., good_flagged: _Optional[int] = ..., control_images: _Optional[int] = ..., control_flagged: _Optional[int] = ..., smallest_tried_px: _Optional[float] = ..., largest_tried_px: _Optional[float] = ..., contrast_levels: _Optional[float] = ..., pixel_size_mm: _Optional[float] = ..., kinds: _Optional[_Iterable[_Union[KindLimit, _Mapping]]] = ...) -> None: ...

class KindLimit(_message.Message):
    __slots__ = ("kind", "contrast", "defects", "found", "a90_px", "a90_95_px")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    DEFECTS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    A90_PX_FIELD_NUMBER: _ClassVar[int]
    A90_95_PX_FIELD_NUMBER: _ClassVar[int]
    kind: str
    contrast: float
    defects: int
    found: int
    a90_px: float
    a90_95_px: float
    def __init__(self, kind: _Optional[str] = ..., contrast: _Optional[float] = ..., defects: _Optional[int] = ..., found: _Optional[int] = ..., a90_px: _Optional[float] = ..., a90_95_px: _Optional[float] = ...) -> None: ...

class ScaleShape(_message.Message):
    __slots__ = ("channels", "height", "width")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    channels: int
    height: int
    width: int
    def __init__(self, channels: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...
