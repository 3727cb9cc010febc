import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { UflowError } from './errors';
import { type DeepPartial, DetectRequest } from './generated/uflow/v1/detection';
import { RawImage } from './generated/uflow/v1/image';
import type { Duration } from './generated/google/protobuf/duration';
import type { Timestamp } from './generated/google/protobuf/timestamp';

/**
 * One frame and what is asked about it: the message `DetectRequest` of the protocol, where every field may be left out. Give the image
 * as `encoded` (a PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file) or as `raw` (pixels as a camera's driver provides them).
 *
 * The bytes of the image are not copied before they are sent. Do not change them until the frame has its result.
 */
export type Frame = DeepPartial<DetectRequest>;

/** The largest message of gRPC, less some room for the fields beside the image. */
const LARGEST_IMAGE = 2 ** 31 - 2 ** 20;

const NO_BYTES = new Uint8Array(0);

/** The message for a frame. Throws INVALID_ARGUMENT for a frame that cannot be sent: gRPC would end a whole stream for it. */
export function asRequest(frame: Frame): DetectRequest {
  const refuse = (what: string, cause?: unknown) => new UflowError('INVALID_ARGUMENT', what, cause === undefined ? {} : { cause });
  if (typeof frame !== 'object' || frame === null) {
    throw refuse('the frame is not an object');
  }
  if (frame.raw !== undefined && frame.encoded !== undefined) {
    throw refuse('the frame has two images; set `encoded` or `raw`');
  }
  let request: DetectRequest;
  try {
    request = DetectRequest.fromPartial(frame);
    checkStrings(request);
    for (const bytes of [request.encoded, request.raw?.pixels, request.options?.roi]) {
      if (bytes !== undefined && !(bytes instanceof Uint8Array)) {
        throw new TypeError('an image is not a Buffer or another Uint8Array');
      }
      if (bytes !== undefined && bytes.length > LARGEST_IMAGE) {
        throw new RangeError('an image is larger than a gRPC message may be (2 GiB)');
      }
    }
    // Finds numbers that their fields cannot hold.
    withoutImage(request);
    layout(request.raw);
  } catch (error) {
    throw refuse(`the frame cannot be sent: ${(error as Error).message}`, error);
  }
  return request;
}

function checkStrings(request: DetectRequest): void {
  if (typeof request.model !== 'string') {
    throw new TypeError("the model's name is not a string");
  }
  // Unpaired surrogates have no UTF-8.
  if (!request.model.isWellFormed()) {
    throw new TypeError("the model's name is not valid Unicode");
  }
}

/**
 * The bytes of a message. The generated code would copy the image several times while its buffer grows; this copies the image once.
 * The fields of a message may come in any order, so the image is the last.
 */
export function encodeRequest(request: DetectRequest): Buffer {
  const head = withoutImage(request);
  if (request.encoded !== undefined) {
    return Buffer.concat([head, prefix(6, request.encoded.length), request.encoded]);
  }
  if (request.raw !== undefined) {
    const { pixels } = request.raw;
    const fields = layout(request.raw);
    const pixelsPrefix = prefix(1, pixels.length);
    const size = fields.length + pixelsPrefix.length + pixels.length;
    return Buffer.concat([head, prefix(5, size), fields, pixelsPrefix, pixels]);
  }
  return viewOf(head);
}

function withoutImage(request: DetectRequest): Uint8Array {
  return DetectRequest.encode({ ...request, raw: undefined, encoded: undefined }).finish();
}

function layout(raw: RawImage | undefined): Uint8Array {
  return raw === undefined ? NO_BYTES : RawImage.encode({ ...raw, pixels: NO_BYTES }).finish();
}

/** The tag and the length of a field of bytes. */
function prefix(field: number, length: number): Uint8Array {
  return new BinaryWriter()
    .uint32((field << 3) | 2)
    .uint32(length)
    .finish();
}

/** The same bytes as a Buffer. */
export function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A time limit for {@link Frame.timeLimit}. */
export function duration(milliseconds: number): Duration {
  if (!Number.isFinite(milliseconds)) {
    throw new RangeError(`a duration must be a finite number of milliseconds, not ${milliseconds}`);
  }
  // Both parts have the same sign.
  const seconds = Math.trunc(milliseconds / 1000);
  const nanos = Math.round((milliseconds - seconds * 1000) * 1e6);
  return Math.abs(nanos) === 1e9 ? { seconds: BigInt(seconds + Math.sign(nanos)), nanos: 0 } : { seconds: BigInt(seconds), nanos };
}

/** A time for {@link Frame.timestamp}. Build the object yourself where a camera's clock is finer than a millisecond. */
export function timestamp(date: Date): Timestamp {
  const milliseconds = date.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds: BigInt(seconds), nanos: (milliseconds - seconds * 1000) * 1e6 };
}

/** The most seconds of a valid duration: 10,000 years. */
const MOST_SECONDS = 315_576_000_000n;

/** The milliseconds of a duration that is above 0 and valid, else undefined: the server refuses the frame. */
export function timeLimitOf({ seconds, nanos }: Duration): number | undefined {
  const valid = seconds >= 0n && nanos >= 0 && nanos < 1e9 && seconds <= MOST_SECONDS;
  const milliseconds = Number(seconds) * 1000 + nanos / 1e6;
  return valid && milliseconds > 0 ? milliseconds : undefined;
}
