import { timerDelay } from './backoff';
import { Connector } from './connection';
import { abortError, SendClosedError, StreamError, UflowError } from './errors';
import { Ledger, type Limits } from './ledger';
import { positive, type Settings } from './options';
import { asRequest, type Frame } from './request';
import type { Result } from './result';

/** The limits and observers of a stream. The defaults are good for most uses. */
export interface StreamOptions {
  /**
   * The most frames between `send` and `receive`, and so the bound of the stream's memory. If the server announces a smaller window,
   * fewer frames are sent ahead. Default: 8.
   */
  inFlight?: number;
  /**
   * The time limit of a frame, counted from `send`, also while there is no connection. A frame that is late is answered with
   * DEADLINE_EXCEEDED in its turn. A frame with a `timeLimit` of its own keeps that, counted in the same way. Default: no limit.
   */
  frameTimeoutMs?: number;
  /**
   * The longest silence of a server that owes an answer. The client then drops the connection and makes another. It must be longer than
   * the server needs for one frame when it is busy. Default: 60 s. `Infinity` means no limit.
   */
  stallTimeoutMs?: number;
  /**
   * The longest time without a working connection; after it the stream ends with a {@link StreamError}. An outage lasts from the loss of
   * the connection until the server answers a frame, or accepts the stream if no frame is unanswered. The start of the stream counts as
   * a loss. Default: 2 min. `Infinity` means no limit.
   */
  maxOutageMs?: number;
  /** Ends the stream, as {@link DetectStream.close} does. */
  signal?: AbortSignal;
  /** Called when the server has accepted the stream, for the first time and after each loss. */
  onConnect?: (connected: Connected) => void;
  /** Called when a connection is lost, cannot be made, or cannot be used yet, and the client will try again. */
  onDisconnect?: (disconnected: Disconnected) => void;
}

/** Describes a connection that can be used. */
export interface Connected {
  /** False for the first connection of the stream. */
  readonly again: boolean;
  /** The time since the connection was lost, or since the start of the stream. */
  readonly outageMs: number;
  /** The number of frames that are sent again. */
  readonly unanswered: number;
  /** The number of unanswered frames that the server allows, or 0 if it did not say. */
  readonly window: number;
}

/** Describes the loss of a connection. */
export interface Disconnected {
  /** The reason. */
  readonly error: UflowError;
  /** The number of frames without a verdict. */
  readonly unanswered: number;
  /** The time until the next try. */
  readonly pauseMs: number;
}

/** A promise that somebody waits for, with what it takes to give up. */
interface Waiter<Value> {
  resolve(value: Value): void;
  reject(error: unknown): void;
  readonly signal: AbortSignal | undefined;
  readonly abandon: () => void;
}

interface Sender extends Waiter<number> {
  readonly frame: Frame;
  readonly request: ReturnType<typeof asRequest>;
}

/** Options of one wait. */
export interface WaitOptions {
  /** Ends the wait, not the stream. */
  signal?: AbortSignal;
}

/**
 * Judges frames in order. Make one with {@link UflowClient.openStream}. Send and receive at the same time: with `inFlight` frames between
 * the two, `send` waits.
 *
 * A stream is an async iterable of its results. Leaving the loop early closes the stream.
 */
export class DetectStream implements AsyncIterable<Result>, AsyncDisposable {
  readonly #ledger: Ledger;
  readonly #connector: Connector;
  readonly #inFlight: number;
  /** Aborted when the stream has nothing left to do, or cannot go on. */
  readonly #life = new AbortController();
  readonly #ended: Promise<void>;
  /** Frames between `send` and `receive`. */
  #places = 0;
  readonly #senders: Sender[] = [];
  readonly #receivers: Waiter<Result | undefined>[] = [];
  readonly #results: Result[] = [];
  #timer: NodeJS.Timeout | undefined;
  #scheduled = false;
  /** Set by `closeSend`. The ledger learns it when no `send` waits any more. */
  #closing = false;
  /** The reason to end early. */
  #reason: UflowError | undefined;
  #over = false;
  #failure: StreamError | undefined;

  /** @internal */
  constructor(settings: Settings, options: StreamOptions) {
    const limits = limitsOf(options);
    this.#inFlight = limits.inFlight;
    const deliver = (result: Result) => {
      this.#results.push(result);
      this.#settle();
      this.#flush();
    };
    this.#ledger = new Ledger(limits, performance.now(), deliver, () => this.#schedule());
    this.#connector = new Connector(settings, this.#ledger, options, this.#life.signal);
    const { signal } = options;
    const cancel = () => this.#fail(abortError(signal?.reason, 'the stream'));
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) {
      cancel();
    }
    this.#ended = this.#run().finally(() => signal?.removeEventListener('abort', cancel));
  }

  /**
   * Hands a frame over and returns its number. Waits while `inFlight` frames are between `send` and `receive`. The stream replaces the
   * frame's `sequence` in what it sends; it does not change the frame. Do not change the bytes of the image until the frame has its
   * result: it may have to be sent again.
   *
   * Rejects with INVALID_ARGUMENT for a frame that cannot be sent, with {@link SendClosedError} after `closeSend`, and with the
   * {@link StreamError} after the end of the stream.
   */
  async send(frame: Frame, options: WaitOptions = {}): Promise<number> {
    const request = asRequest(frame);
    if (this.#closing) {
      throw new SendClosedError();
    }
    if (this.#life.signal.aborted) {
      throw await this.#sendFailure();
    }
    if (this.#places < this.#inFlight && this.#senders.length === 0) {
      this.#places += 1;
      return this.#ledger.accept(frame, request, performance.now());
    }
    return wait(this.#senders, options.signal, 'the wait for a place', (waiter) => ({ ...waiter, frame, request }));
  }

  /** Says that no frame follows. The stream ends when the last frame is answered. Frames whose `send` still waits are sent. */
  closeSend(): void {
    this.#closing = true;
    this.#flush();
  }

  /**
   * The next result, in the order of `send`. Undefined after `closeSend` and the last result. Rejects with a {@link StreamError} if the
   * stream ended before that.
   */
  async receive(options: WaitOptions = {}): Promise<Result | undefined> {
    if (this.#results.length > 0 && this.#receivers.length === 0) {
      return this.#hand();
    }
    if (this.#over) {
      return this.#end();
    }
    return wait(this.#receivers, options.signal, 'the wait for a result', (waiter) => waiter);
  }

  /** The stream's results. The loop ends after `closeSend` and the last result. */
  [Symbol.asyncIterator](): AsyncIterator<Result, undefined> {
    return {
      next: async () => {
        const value = await this.receive();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * Ends the stream and returns when its connection is gone. Frames without a verdict are then in {@link error}. Closing a stream that
   * has ended does nothing.
   */
  async close(): Promise<void> {
    this.#fail(new UflowError('CANCELLED', 'the stream was closed'));
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Undefined while the stream works and after an end with all frames answered, else the reason of the end. */
  get error(): StreamError | undefined {
    return this.#failure;
  }

  /** @internal */
  get ended(): Promise<void> {
    return this.#ended;
  }

  async #run(): Promise<void> {
    const reason = await this.#connector.run();
    if (reason !== undefined) {
      this.#fail(reason);
    }
    clearTimeout(this.#timer);
    this.#over = true;
    if (this.#reason !== undefined) {
      this.#failure = new StreamError(
        this.#reason,
        this.#ledger.waiting.map(({ sequence, frame }) => ({ sequence, frame })),
      );
    }
    this.#ledger.waiting.length = 0;
    this.#flush();
  }

  /** Ends the stream early. The frames without a verdict stay in the ledger, for the account. */
  #fail(reason: UflowError): void {
    if (!this.#life.signal.aborted) {
      this.#reason = reason;
      this.#life.abort();
    }
  }

  /** Ends the stream if nothing is left to do. */
  #settle(): void {
    if (this.#ledger.closed && this.#ledger.waiting.length === 0) {
      this.#life.abort();
    }
  }

  async #sendFailure(): Promise<UflowError> {
    await this.#ended;
    return this.#failure ?? new SendClosedError();
  }

  #end(): undefined {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    return undefined;
  }

  /** Takes the next result out and gives its place to a frame that waits. */
  #hand(): Result | undefined {
    const result = this.#results.shift();
    this.#places -= 1;
    this.#admit();
    return result;
  }

  /** Lets frames in that wait for a place. */
  #admit(): void {
    while (this.#places < this.#inFlight && this.#senders.length > 0 && !this.#life.signal.aborted) {
      const sender = take(this.#senders);
      this.#places += 1;
      sender.resolve(this.#ledger.accept(sender.frame, sender.request, performance.now()));
    }
    if (this.#closing && this.#senders.length === 0 && !this.#ledger.closed) {
      this.#ledger.closed = true;
      this.#settle();
      this.#schedule();
    }
  }

  /** Serves those who wait. */
  #flush(): void {
    while (this.#receivers.length > 0 && this.#results.length > 0) {
      take(this.#receivers).resolve(this.#hand());
    }
    this.#admit();
    if (this.#over) {
      while (this.#senders.length > 0) {
        take(this.#senders).reject(this.#failure ?? new SendClosedError());
      }
      while (this.#receivers.length > 0) {
        const receiver = take(this.#receivers);
        if (this.#failure === undefined) {
          receiver.resolve(undefined);
        } else {
          receiver.reject(this.#failure);
        }
      }
    }
  }

  /** Looks at the state after all changes of the moment: sends what may be sent, and sets the clock. */
  #schedule(): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#tick();
      });
    }
  }

  #tick(): void {
    clearTimeout(this.#timer);
    if (this.#life.signal.aborted) {
      return;
    }
    const now = performance.now();
    const next = this.#ledger.enforce(now);
    if (next instanceof UflowError) {
      this.#fail(next);
      return;
    }
    if (next !== Infinity) {
      this.#timer = setTimeout(() => this.#tick(), timerDelay(next - now));
    }
    this.#connector.pump();
  }
}

function limitsOf(options: StreamOptions): Limits {
  const { inFlight = 8 } = options;
  if (!Number.isInteger(inFlight) || inFlight < 1) {
    throw new RangeError(`inFlight must be a whole number of at least 1, not ${inFlight}`);
  }
  return {
    inFlight,
    frameTimeoutMs: positive('frameTimeoutMs', options.frameTimeoutMs, Infinity),
    stallTimeoutMs: positive('stallTimeoutMs', options.stallTimeoutMs, 60_000),
    maxOutageMs: positive('maxOutageMs', options.maxOutageMs, 120_000),
  };
}

/** Adds a waiter to a queue. Its signal takes it out again. */
function wait<Value, Kind extends Waiter<Value>>(
  queue: Kind[],
  signal: AbortSignal | undefined,
  what: string,
  make: (waiter: Waiter<Value>) => Kind,
): Promise<Value> {
  if (signal?.aborted) {
    return Promise.reject(abortError(signal.reason, what));
  }
  return new Promise<Value>((resolve, reject) => {
    const abandon = () => {
      queue.splice(queue.indexOf(waiter), 1);
      reject(abortError(signal?.reason, what));
    };
    const waiter = make({ resolve, reject, signal, abandon });
    signal?.addEventListener('abort', abandon, { once: true });
    queue.push(waiter);
  });
}

/** Takes the first waiter of a queue that is not empty. */
function take<Kind extends Waiter<never>>(queue: Kind[]): Kind {
  const waiter = queue.shift() as Kind;
  waiter.signal?.removeEventListener('abort', waiter.abandon);
  return waiter;
}
