import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { pause, sleep, timerDelay } from './backoff';
import { Channel } from './channel';
import { abortError, asError, endsStream, UflowError } from './errors';
import type { DetectResponse } from './generated/uflow/v1/detection';
import { type Ledger, seconds } from './ledger';
import { authorizationOf, type Settings } from './options';
import type { Connected, Disconnected } from './stream';

/** The header with the number of frames that the server lets a stream have unanswered. */
const WINDOW_HEADER = 'uflow-stream-window';

/** What a stream tells about its connections. */
export interface Observer {
  onConnect?: ((connected: Connected) => void) | undefined;
  onDisconnect?: ((disconnected: Disconnected) => void) | undefined;
}

/** Makes the connections of a stream, one after the other. */
export class Connector {
  /** Sends what may be sent on the present connection. */
  pump: () => void = () => undefined;

  constructor(
    private readonly settings: Settings,
    private readonly ledger: Ledger,
    private readonly observer: Observer,
    /** Ends with the stream. */
    private readonly life: AbortSignal,
  ) {}

  /**
   * Works until the stream is over. Returns the reason if the stream cannot go on. Each connection has its own channel: a connection
   * that stalled is then certainly gone, names are resolved again, and the pauses are ours and not gRPC's.
   */
  async run(): Promise<UflowError | undefined> {
    const { backoff, connectTimeoutMs } = this.settings;
    for (let tries = 0; ; tries += 1) {
      const started = performance.now();
      const before = this.ledger.answers;
      const error = await this.#attempt();
      if (this.life.aborted) {
        return undefined;
      }
      if (endsStream(error)) {
        return error;
      }
      // An idle connection that lasted is a success too.
      if (this.ledger.answers > before || performance.now() - started > backoff.maxMs + connectTimeoutMs) {
        tries = 0;
      }
      const pauseMs = pause(backoff, tries);
      const unanswered = this.ledger.disconnected(error, performance.now());
      notify(this.observer.onDisconnect, { error, unanswered, pauseMs });
      if (!(await sleep(pauseMs, this.life))) {
        return undefined;
      }
    }
  }

  /** Works on one connection until it ends, and returns the reason. The connection is then gone. */
  async #attempt(): Promise<UflowError> {
    let header: string | undefined;
    try {
      header = await authorizationOf(this.settings);
    } catch (error) {
      return asError(error);
    }
    if (this.life.aborted) {
      return abortError(this.life.reason, 'the stream');
    }
    const channel = new Channel(this.settings);
    const call = channel.stream(header);
    // The status says the same.
    call.on('error', () => undefined);
    try {
      return await new Promise<UflowError>((resolve) => this.#serve(channel, call, resolve));
    } finally {
      this.pump = () => undefined;
      call.cancel();
      await channel.close();
    }
  }

  /** Connects the events of a call with the ledger. `end` gets the reason of the end; only its first call counts. */
  #serve(channel: Channel, call: ClientDuplexStream<Buffer, DetectResponse>, end: (reason: UflowError) => void): void {
    let over = false;
    const drop = (reason: UflowError) => {
      over = true;
      clearTimeout(opening);
      this.life.removeEventListener('abort', cancel);
      end(reason);
    };
    const cancel = () => drop(abortError(this.life.reason, 'the stream'));
    const timeout = this.settings.connectTimeoutMs;
    const opening = setTimeout(
      () => drop(new UflowError('UNAVAILABLE', `the server did not accept the stream within ${seconds(timeout)}`)),
      timerDelay(timeout),
    );
    this.life.addEventListener('abort', cancel, { once: true });
    // The server sends its headers before it reads a frame. Without headers it has refused the stream, and the status says why.
    call.on('metadata', (headers) => {
      if (!over) {
        clearTimeout(opening);
        const window = Number.parseInt(String(headers.get(WINDOW_HEADER)[0]), 10);
        this.#send(channel, call);
        notify(this.observer.onConnect, this.ledger.connected({ drop }, window > 0 ? window : 0, performance.now()));
      }
    });
    call.on('data', (answer: DetectResponse) => {
      const failed = over ? undefined : this.ledger.take(answer, performance.now());
      if (failed !== undefined) {
        drop(failed);
      }
    });
    call.on('status', ({ code, details }: StatusObject) => {
      if (!over) {
        const ended = new UflowError('UNAVAILABLE', 'the server ended the stream');
        drop(code === 0 ? ended : this.ledger.blame(channel.explain({ code, details })));
      }
    });
  }

  /** Lets `pump` send frames on this connection. A frame is encoded when the one before it has left, so one copy is in memory. */
  #send(channel: Channel, call: ClientDuplexStream<Buffer, DetectResponse>): void {
    let writing = false;
    let ended = false;
    let asked = false;
    const pump = () => {
      if (writing || ended) {
        return;
      }
      const message = asked ? undefined : this.ledger.next(performance.now());
      if (message !== undefined) {
        writing = true;
        call.write(message, () => {
          writing = false;
          pump();
        });
      } else if (asked || this.ledger.finished) {
        ended = true;
        call.end();
        if (asked) {
          // The server still answers what it has.
          this.ledger.leave(performance.now());
        }
      }
    };
    this.pump = pump;
    channel.whenLeaving(() => {
      asked = true;
      if (this.pump === pump) {
        pump();
      }
    });
  }
}

/** Calls an observer of the user. What it throws is an uncaught exception, as it is for the listener of an event. */
function notify<Event>(observer: ((event: Event) => void) | undefined, event: Event): void {
  try {
    observer?.(event);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
