import { pause, sleep } from './backoff';
import { type CallLimits, Channel, CHECK_HEALTH, DETECT, GET_MODEL, LIST_MODELS, LOAD_MODEL, type Method, UNLOAD_MODEL } from './channel';
import { abortError, asError, closedError, inBand, isTemporary, UflowError } from './errors';
import type { Detection, DetectResponse } from './generated/uflow/v1/detection';
import type { Model } from './generated/uflow/v1/model';
import { authorizationOf, type ClientOptions, positive, type Settings, settingsOf } from './options';
import { asRequest, encodeRequest, type Frame } from './request';
import type { Result } from './result';
import { DetectStream, type StreamOptions } from './stream';
import { secureContext } from './tls';

/** The limits of one call. */
export interface CallOptions {
  /** The time limit of this call, instead of {@link ClientOptions.timeoutMs}. Retries do not extend it. */
  timeoutMs?: number;
  /** Cancels the call. */
  signal?: AbortSignal;
}

/** The answer to one frame. */
export interface DetectAnswer extends DetectResponse {
  /** The detection. A frame without one is an error of the call. */
  detection: Detection;
}

/** How a call is made. */
interface Manner<Answer> {
  /** Whether it may be made again after a temporary failure. */
  readonly repeat: boolean;
  /** Finds the failure in an answer. */
  readonly inBand?: (answer: Answer) => UflowError | undefined;
}

const REPEAT: Manner<unknown> = { repeat: true };
const ONCE: Manner<unknown> = { repeat: false };

/**
 * Talks to one server. The client connects with the first call; a server that is not there yet is an error of that call. Failed calls
 * reject with an {@link UflowError}.
 */
export class UflowClient implements AsyncDisposable {
  readonly #settings: Settings;
  #channel: Channel;
  #closed = false;
  /** The calls that have not ended. */
  readonly #calls = new Set<AbortController>();
  readonly #streams = new Set<DetectStream>();
  /** Channels that were replaced and are not gone yet. */
  readonly #closing = new Set<Promise<void>>();

  /** Throws a TypeError or a RangeError for options that cannot be used, and the system's error for a file that cannot be read. */
  constructor(options: ClientOptions) {
    this.#settings = settingsOf(options);
    if (this.#settings.tls !== undefined) {
      secureContext(this.#settings.tls);
    }
    this.#channel = this.#connect();
  }

  #connect(): Channel {
    const channel = new Channel(this.#settings);
    // Calls that wait for the connection fail with UNAVAILABLE and are made again on the new channel.
    channel.whenStuck(this.#settings.connectTimeoutMs, () => {
      this.#retire(channel);
      this.#channel = this.#connect();
    });
    return channel;
  }

  #retire(channel: Channel): void {
    const closed: Promise<void> = channel.close().finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  /** Ends all streams and calls of this client and returns when their connections are gone. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#calls.forEach((call) => call.abort(closedError()));
      this.#retire(this.#channel);
    }
    await Promise.all([...this.#closing, ...[...this.#streams].map((stream) => stream.close())]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Finds defects in one frame. The answer has a `detection`. Temporary failures are tried again until the time limit. If the next try
   * would begin after the limit, the last failure is the error at once.
   */
  async detect(frame: Frame, options: CallOptions = {}): Promise<DetectAnswer> {
    const message = encodeRequest(asRequest(frame));
    const answer = await this.#call(DETECT, message, { repeat: true, inBand }, options);
    return answer as DetectAnswer;
  }

  /**
   * Starts a stream. The client connects in the background, so that a server which is not there yet is an outage and not an error of
   * this call. Close the stream when done: `await using stream = client.openStream()`, or `stream.close()`.
   */
  openStream(options: StreamOptions = {}): DetectStream {
    if (this.#closed) {
      throw closedError();
    }
    const stream = new DetectStream(this.#settings, options);
    this.#streams.add(stream);
    void stream.ended.then(() => this.#streams.delete(stream));
    return stream;
  }

  /**
   * Judges the frames of a source on a stream, and gives a result for each, in order. The source is read as fast as results are taken,
   * at most `inFlight` frames ahead. Leaving the loop closes the stream and the source.
   *
   * If the source throws, or has a frame that cannot be sent, the frames before are answered; then that error is thrown.
   */
  async *detectAll(frames: Iterable<Frame> | AsyncIterable<Frame>, options: StreamOptions = {}): AsyncGenerator<Result, void, undefined> {
    const stream = this.openStream(options);
    let broken: { error: unknown } | undefined;
    const feed = async () => {
      try {
        for await (const frame of frames) {
          await stream.send(frame);
        }
      } catch (error) {
        broken = { error };
      }
      stream.closeSend();
    };
    void feed();
    try {
      for await (const result of stream) {
        yield result;
      }
    } finally {
      await stream.close();
    }
    if (broken !== undefined) {
      throw broken.error;
    }
  }

  /** Every version of every model in the server's repository, ordered by name and version. */
  async listModels(options: CallOptions = {}): Promise<Model[]> {
    return (await this.#call(LIST_MODELS, {}, REPEAT, options)).models;
  }

  /** Describes one version of a model. Version 0 is the current version. */
  async getModel(model: string, version = 0, options: CallOptions = {}): Promise<Model> {
    return described((await this.#call(GET_MODEL, { model, version }, REPEAT, options)).model);
  }

  /**
   * Loads a model from the server's repository and returns when the model is ready. The server must allow model control. Version 0 is
   * the highest version. The call is not repeated. Loading can take longer than the default time limit; set `timeoutMs`.
   */
  async loadModel(model: string, version = 0, options: CallOptions = {}): Promise<Model> {
    return described((await this.#call(LOAD_MODEL, { model, version }, ONCE, options)).model);
  }

  /** Unloads a model. The server must allow model control. Version 0 means all loaded versions. The call is not repeated. */
  async unloadModel(model: string, version = 0, options: CallOptions = {}): Promise<void> {
    await this.#call(UNLOAD_MODEL, { model, version }, ONCE, options);
  }

  /**
   * Asks the server's health service whether the server takes frames, or whether one model does. A server that cannot be reached is an
   * error of this call. The call is not repeated. It needs no token.
   */
  async isReady(model = '', options: CallOptions = {}): Promise<boolean> {
    const SERVING = 1;
    return (await this.#call(CHECK_HEALTH, model, ONCE, options)) === SERVING;
  }

  /** Makes a call that ends with its signal and with the client. */
  async #call<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    manner: Manner<Answer>,
    options: CallOptions,
  ): Promise<Answer> {
    const deadline = Date.now() + positive('timeoutMs', options.timeoutMs, this.#settings.timeoutMs);
    const call = new AbortController();
    const abandon = () => call.abort(abortError(options.signal?.reason, 'the call'));
    if (this.#closed) {
      throw closedError();
    }
    if (options.signal?.aborted) {
      abandon();
    }
    this.#calls.add(call);
    options.signal?.addEventListener('abort', abandon, { once: true });
    try {
      return await this.#tries(method, request, manner, { deadline, signal: call.signal });
    } catch (error) {
      throw call.signal.aborted ? call.signal.reason : error;
    } finally {
      options.signal?.removeEventListener('abort', abandon);
      this.#calls.delete(call);
    }
  }

  /** Makes a call within its time limit, and again while its failures are temporary. */
  async #tries<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    manner: Manner<Answer>,
    limits: CallLimits,
  ): Promise<Answer> {
    let before: UflowError | undefined;
    for (let tries = 1; ; tries += 1) {
      let failed: UflowError;
      try {
        return await this.#once(method, request, manner, limits);
      } catch (error) {
        failed = asError(error);
      }
      if (before !== undefined && failed.code === 'DEADLINE_EXCEEDED') {
        throw new UflowError(failed.code, `${failed.details}; the try before: ${before.details}`, { cause: before });
      }
      const pauseMs = pause(this.#settings.backoff, tries - 1);
      const last = tries >= this.#settings.maxAttempts || Date.now() + pauseMs >= limits.deadline;
      if (!manner.repeat || !isTemporary(failed) || last || !(await sleep(pauseMs, limits.signal))) {
        throw failed;
      }
      before = failed;
    }
  }

  async #once<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    manner: Manner<Answer>,
    limits: CallLimits,
  ): Promise<Answer> {
    const header = await authorizationOf(this.#settings);
    limits.signal.throwIfAborted();
    const answer = await this.#channel.call(method, request, header, limits);
    const failed = manner.inBand?.(answer);
    if (failed !== undefined) {
      throw failed;
    }
    return answer;
  }
}

function described(model: Model | undefined): Model {
  if (model === undefined) {
    throw new UflowError('INTERNAL', 'the answer has no model');
  }
  return model;
}
