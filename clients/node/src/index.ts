/**
 * Sends frames to a U-Flow server (`uflow serve`) and receives verdicts: {@link UflowClient.detect} for single frames,
 * {@link UflowClient.openStream} and {@link UflowClient.detectAll} for cameras and folders of files.
 *
 * @packageDocumentation
 */
export type { Backoff } from './backoff';
export { type CallOptions, type DetectAnswer, UflowClient } from './client';
export { type Code, SendClosedError, StreamError, UflowError, type Unanswered } from './errors';
export type { Duration } from './generated/google/protobuf/duration';
export type { Timestamp } from './generated/google/protobuf/timestamp';
export {
  Bound,
  type Detection,
  type DetectOptions,
  type DetectRequest,
  type DetectResponse,
  type Outputs,
  Priority,
  type Region,
  TestCount,
  type Timings,
  Verdict,
} from './generated/uflow/v1/detection';
export {
  type Box,
  type Latents,
  type Map as ValueMap,
  MapFormat,
  type Mask,
  MaskFormat,
  PixelFormat,
  type Point,
  type RawImage,
  type Ring,
} from './generated/uflow/v1/image';
export { type Model, type ModelDescription, ModelState, type ScaleShape } from './generated/uflow/v1/model';
export { type ClientOptions, type TlsOptions, VERSION } from './options';
export { duration, type Frame, timestamp } from './request';
export type { Result } from './result';
export type { Connected, DetectStream, Disconnected, StreamOptions, WaitOptions } from './stream';
