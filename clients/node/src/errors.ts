import type { DetectResponse } from './generated/uflow/v1/detection';
import type { Frame } from './request';

const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** A gRPC status code, by its name. */
export type Code = (typeof CODES)[number];

/** The name of a status code. */
export function codeOf(number: number): Code {
  return CODES[number] ?? 'UNKNOWN';
}

/** What an error holds besides its code and text. */
interface Origin {
  cause?: unknown;
  /** Marks a TLS failure that a second try does not repair. */
  certificate?: boolean;
}

/** The failure of a call, or of one frame of a stream. */
export class UflowError extends Error {
  /** The gRPC status code. */
  readonly code: Code;
  /** The server's text: what was wrong, where, and what to do. If no server answered, the text of the transport. */
  readonly details: string;
  /** @internal */
  readonly certificate: boolean;

  constructor(code: Code, details: string, origin: Origin = {}) {
    super(`${code}: ${details}`, 'cause' in origin ? { cause: origin.cause } : undefined);
    this.name = 'UflowError';
    this.code = code;
    this.details = details;
    this.certificate = origin.certificate ?? false;
    Object.defineProperty(this, 'certificate', { enumerable: false });
  }
}

/** The error of {@link DetectStream.send} after {@link DetectStream.closeSend}. */
export class SendClosedError extends UflowError {
  constructor() {
    super('FAILED_PRECONDITION', 'the frame was not sent: closeSend was called');
    this.name = 'SendClosedError';
  }
}

/** A frame without a verdict. */
export interface Unanswered {
  /** The number that `send` returned. */
  readonly sequence: number;
  /** The object that was given to `send`. */
  readonly frame: Frame;
}

/**
 * Says why a stream ended early and which frames have no verdict. Results that came before the end are not in it; `receive` gives
 * them first. `cause` is the reason, an {@link UflowError}, and `code` is its code.
 */
export class StreamError extends UflowError {
  /** The reason. */
  declare readonly cause: UflowError;
  /** The frames without a verdict, in the order of `send`. They can be sent on another stream. */
  readonly unanswered: readonly Unanswered[];

  constructor(reason: UflowError, unanswered: readonly Unanswered[]) {
    super(reason.code, `${account(unanswered)}: ${reason.details}`, { cause: reason });
    this.name = 'StreamError';
    this.unanswered = unanswered;
    // Printed errors do not show the images.
    Object.defineProperty(this, 'unanswered', { enumerable: false });
  }
}

function account(unanswered: readonly Unanswered[]): string {
  const [first] = unanswered;
  if (first === undefined) {
    return 'the stream ended; every frame was answered';
  }
  const count = unanswered.length;
  return count === 1
    ? `the stream ended; 1 frame was not answered (sequence ${first.sequence})`
    : `the stream ended; ${count} frames were not answered (sequence ${first.sequence} to ${unanswered[count - 1]?.sequence})`;
}

/** What grpc-js says when the connection broke under a call. A reset that the server sent has another text. */
const LOST = /^Received RST_STREAM with code \d+ (triggered by internal client error|\(Call ended without gRPC status\))/;

/** Converts an error of gRPC. */
export function asError(error: unknown): UflowError {
  if (error instanceof UflowError) {
    return error;
  }
  const { code, details, message } = error as { code?: unknown; details?: unknown; message?: unknown };
  const text = typeof details === 'string' && details !== '' ? details : String(message ?? error);
  if (typeof code !== 'number') {
    return new UflowError('UNKNOWN', text, { cause: error });
  }
  // grpc-js gives a lost connection several codes. A caller sees one.
  return new UflowError(codeOf(code) === 'INTERNAL' && LOST.test(text) ? 'UNAVAILABLE' : codeOf(code), text, { cause: error });
}

/** The error for a signal that was aborted: DEADLINE_EXCEEDED for `AbortSignal.timeout`, else CANCELLED. */
export function abortError(reason: unknown, what: string): UflowError {
  const { name, message } = (reason ?? {}) as { name?: unknown; message?: unknown };
  const code = name === 'TimeoutError' ? 'DEADLINE_EXCEEDED' : 'CANCELLED';
  return new UflowError(code, `${what} was cancelled: ${String(message ?? reason)}`, { cause: reason });
}

export function closedError(): UflowError {
  return new UflowError('CANCELLED', 'the client is closed');
}

/** The error in an answer, if there is one. */
export function inBand(answer: DetectResponse): UflowError | undefined {
  if (answer.detection !== undefined) {
    return undefined;
  }
  return answer.error === undefined
    ? new UflowError('INTERNAL', 'the answer has neither a detection nor an error')
    : new UflowError(codeOf(answer.error.code), answer.error.message);
}

/** A part of the server's message while its table of models is empty: at the start, or without any model. */
const NOTHING_LOADED = 'no model is loaded';

/** Whether a call or a frame with this error may succeed later. */
export function isTemporary(error: UflowError): boolean {
  switch (error.code) {
    case 'UNAVAILABLE':
      return !error.certificate;
    case 'RESOURCE_EXHAUSTED':
    case 'CANCELLED':
      return true;
    case 'NOT_FOUND':
      return error.details.includes(NOTHING_LOADED);
    default:
      return false;
  }
}

/**
 * Whether a stream that ended with this error must not be opened again. Codes that are not listed come from a connection or a proxy
 * that broke.
 */
export function endsStream(error: UflowError): boolean {
  switch (error.code) {
    case 'UNAUTHENTICATED':
    case 'PERMISSION_DENIED':
    case 'INVALID_ARGUMENT':
    case 'UNIMPLEMENTED':
      return true;
    default:
      return error.certificate || (error.code === 'NOT_FOUND' && !isTemporary(error));
  }
}
