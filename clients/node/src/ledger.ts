import { inBand, isTemporary, UflowError } from './errors';
import type { DetectRequest, DetectResponse } from './generated/uflow/v1/detection';
import { encodeRequest, type Frame, duration, timeLimitOf } from './request';
import { Result } from './result';

/** A frame without an answer. */
interface Waiting {
  readonly sequence: number;
  readonly frame: Frame;
  readonly request: DetectRequest;
  /** Infinity if the frame has no time limit. */
  readonly deadline: number;
}

/** The limits of a stream that its books need. Infinity means no limit. */
export interface Limits {
  readonly inFlight: number;
  readonly frameTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly maxOutageMs: number;
}

/** What the books need to know about a connection and can do to it. */
export interface Connection {
  /** Ends the connection for a reason. */
  drop(reason: UflowError): void;
}

/**
 * The books of a stream: which frames wait for an answer, what the server owes, and since when the connection is lost. Nothing here
 * does input or output, so that each rule can be read and tested alone. connection.ts moves the frames, stream.ts has the user's side.
 *
 * A frame occupies one of `inFlight` places from `accept` until its result is received. Times are those of `performance.now`.
 */
export class Ledger {
  /** The frames without an answer, the oldest first. The first `#sent` of them were sent on the present connection. */
  readonly waiting: Waiting[] = [];
  /** The server's answers that say that the server works. */
  answers = 0;
  /** Set when the sending side is closed: no frame follows. */
  closed = false;
  /** The failure of the last connection. */
  reason = new UflowError('UNAVAILABLE', 'the server has not accepted the stream yet');
  #sent = 0;
  /**
   * The answers that the server owes on this connection. They are more than `#sent` after a frame was late: the client has answered
   * that frame, and the server will.
   */
  #owed = 0;
  #window = 0;
  /** Set when the server has asked for the end of the connection and this side is closed. */
  #leaving = false;
  /** When the server answered last, or began to owe an answer. */
  #heard = 0;
  #connection: Connection | undefined;
  /** When the outage began. */
  #lost: number | undefined;
  /** The frames, from the oldest on, of which one is too large for the server. They are sent one by one. */
  #suspects = 0;
  #again = false;
  #sequence = 0;

  constructor(
    private readonly limits: Limits,
    now: number,
    /** Receives each result, in the order of the frames. */
    private readonly deliver: (result: Result) => void,
    /** Called after a change that can matter for sending or for the clock. */
    private readonly changed: () => void,
  ) {
    this.#lost = now;
  }

  /** Takes a frame and returns its number. The caller has reserved a place. */
  accept(frame: Frame, request: DetectRequest, now: number): number {
    this.#sequence += 1;
    // The server refuses a time limit that is not above 0 or not valid.
    const limit = request.timeLimit === undefined ? this.limits.frameTimeoutMs : (timeLimitOf(request.timeLimit) ?? Infinity);
    this.waiting.push({ sequence: this.#sequence, frame, request, deadline: now + limit });
    this.changed();
    return this.#sequence;
  }

  /** Whether all that was accepted was sent, and no frame follows. */
  get finished(): boolean {
    return this.closed && this.#sent === this.waiting.length;
  }

  /** The next message to send on the present connection, if there is one that may be sent now. */
  next(now: number): Buffer | undefined {
    // In an outage one frame finds out whether the server works again, for example whether its model is loaded.
    const window = this.#lost !== undefined || this.#suspects > 0 ? 1 : this.#window;
    const frame = this.waiting[this.#sent];
    if (this.#connection === undefined || frame === undefined || this.#owed >= window) {
      return undefined;
    }
    if (this.#owed === 0) {
      this.#heard = now;
    }
    this.#sent += 1;
    this.#owed += 1;
    this.changed();
    const { sequence, request, deadline } = frame;
    const timeLimit = deadline === Infinity ? request.timeLimit : duration(Math.max(deadline - now, 1));
    return encodeRequest({ ...request, sequence: BigInt(sequence), timeLimit });
  }

  /** Notes a connection that can be used, and describes it for the observer. */
  connected(connection: Connection, window: number, now: number) {
    const outageMs = this.#lost === undefined ? 0 : now - this.#lost;
    const made = { again: this.#again, outageMs, unanswered: this.waiting.length, window };
    this.#again = true;
    this.#connection = connection;
    this.#window = window > 0 ? Math.min(window, this.limits.inFlight) : this.limits.inFlight;
    if (this.waiting.length === 0) {
      this.#lost = undefined;
    }
    this.changed();
    return made;
  }

  /** Begins an outage, or goes on with it, and returns the number of unanswered frames. */
  disconnected(reason: UflowError, now: number): number {
    this.#sent = 0;
    this.#owed = 0;
    this.#leaving = false;
    this.#connection = undefined;
    this.reason = reason;
    this.#lost ??= now;
    this.changed();
    return this.waiting.length;
  }

  /** Notes that this side of the connection is closed because the server asked for the end. */
  leave(now: number): void {
    this.#leaving = true;
    if (this.#owed === 0) {
      this.#heard = now;
    }
    this.changed();
  }

  /** Gives an answer to its frame. An error ends the connection: the frame must be sent again. */
  take(answer: DetectResponse, now: number): UflowError | undefined {
    this.#owed = Math.max(this.#owed - 1, 0);
    this.#heard = now;
    this.changed();
    const failed = inBand(answer);
    if (failed !== undefined && (isTemporary(failed) || failed.code === 'NOT_FOUND')) {
      return failed;
    }
    const sequence = Number(answer.sequence);
    const late = sequence <= this.#sequence - this.waiting.length;
    if (!late && (this.#sent === 0 || sequence !== this.waiting[0]?.sequence)) {
      return new UflowError('INTERNAL', `the server answered frame ${sequence} out of order`);
    }
    this.#works();
    // A late answer belongs to a frame that has its result: the client or the server answered it before.
    if (!late) {
      this.#answer(answer, failed);
    }
    return undefined;
  }

  /**
   * Finds the frame that ended the connection. The server ends a stream with OUT_OF_RANGE for a message that is larger than its limit,
   * after it has answered the frames before. Only that frame fails.
   *
   * grpc-js passes the end of a call on at once and drops the answers that it still holds. So the frame is known only if the server
   * owed one answer; else the frames are sent again, one by one.
   */
  blame(reason: UflowError): UflowError {
    if (reason.code === 'OUT_OF_RANGE' && this.#sent > 0) {
      if (this.#sent === 1 && this.#owed === 1) {
        this.#works();
        this.#suspects = 0;
        this.#answer(undefined, reason);
      } else {
        this.#suspects = this.#sent;
      }
    }
    return reason;
  }

  /** The server works: the outage is over. */
  #works(): void {
    this.#lost = undefined;
    this.answers += 1;
  }

  /** Gives the oldest frame its result. */
  #answer(response: DetectResponse | undefined, error: UflowError | undefined): void {
    const oldest = this.waiting.shift();
    if (oldest === undefined) {
      return;
    }
    this.#sent = Math.max(this.#sent - 1, 0);
    this.#suspects = Math.max(this.#suspects - 1, 0);
    this.deliver(new Result(oldest.sequence, oldest.frame, response, error));
    this.changed();
  }

  /** Acts on every limit that is over. Returns the time of the next limit, Infinity if there is none, or the end of the stream. */
  enforce(now: number): number | UflowError {
    for (let oldest = this.waiting[0]; oldest !== undefined && oldest.deadline <= now; oldest = this.waiting[0]) {
      this.#answer(undefined, new UflowError('DEADLINE_EXCEEDED', 'the frame was not answered within its time limit'));
    }
    let next = this.waiting[0]?.deadline ?? Infinity;
    const { stallTimeoutMs, maxOutageMs } = this.limits;
    if (this.#connection !== undefined && (this.#owed > 0 || this.#leaving)) {
      const stalled = this.#heard + stallTimeoutMs;
      if (stalled <= now) {
        this.#connection.drop(new UflowError('UNAVAILABLE', `the server owes answers and sent none for ${seconds(stallTimeoutMs)}`));
        this.#connection = undefined;
      } else {
        next = Math.min(next, stalled);
      }
    }
    if (this.#lost !== undefined) {
      const over = this.#lost + maxOutageMs;
      if (over <= now) {
        const { code, details } = this.reason;
        const cause = this.reason;
        return new UflowError(code, `no working connection for ${seconds(maxOutageMs)}; the last failure: ${details}`, { cause });
      }
      next = Math.min(next, over);
    }
    return next;
  }
}

/** A limit in words. */
export function seconds(milliseconds: number): string {
  return `${milliseconds / 1000}s`;
}
