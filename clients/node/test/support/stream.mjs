// Helpers for tests of streams.
import assert from 'node:assert/strict';
import { InterceptingCall } from '@grpc/grpc-js';
import { StreamError, UflowError } from 'uflow';
import { verdictOf } from './program.mjs';
import { within } from './scope.mjs';

/** Makes a client come back soon. */
export const QUICK = { initialMs: 20, maxMs: 200 };

export const encoded = (bytes, more = {}) => ({ model: 'cloth', encoded: bytes, ...more });

/** Counts the messages of streams below the client. `most` is the most frames that were unanswered at a time, on one connection. */
export class Wire {
  sent = 0;
  most = 0;

  get grpcOptions() {
    const intercept = (options, nextCall) => {
      let unanswered = 0;
      return new InterceptingCall(nextCall(options), {
        start: (metadata, _, next) =>
          next(metadata, {
            // Counted before the client sees the answer, because the client may send the next frame at once.
            onReceiveMessage: (message, deliver) => {
              unanswered -= 1;
              deliver(message);
            },
          }),
        sendMessage: (message, next) => {
          this.sent += 1;
          unanswered += 1;
          this.most = Math.max(this.most, unanswered);
          next(message);
        },
      });
    };
    return { interceptors: [intercept] };
  }
}

/** Notes what a stream tells about its connections. */
export class Observer {
  connected = [];
  disconnected = [];
  onConnect = (event) => void this.connected.push(event);
  onDisconnect = (event) => void this.disconnected.push(event);

  get options() {
    return { onConnect: this.onConnect, onDisconnect: this.onDisconnect };
  }
}

/** Sends pictures, then closes the sending side. Gives the number of frames that were accepted. */
export async function pump(stream, pictures, count) {
  let accepted = 0;
  try {
    for (; accepted < count; accepted += 1) {
      await stream.send(encoded(pictures[accepted % pictures.length].bytes));
    }
    stream.closeSend();
  } catch (error) {
    // `receive` tells the end of the stream too.
    assert.ok(error instanceof StreamError, error);
  }
  return accepted;
}

export const receive = (stream) => within('a result', stream.receive());

/** Receives the verdict on frame `index`, which shows pictures[index % length]. */
export async function expectVerdict(stream, pictures, index) {
  const result = await receive(stream);
  assert.equal(result?.sequence, index + 1);
  assert.equal(result.response?.sequence, BigInt(index + 1));
  assert.deepEqual(verdictOf(result.detection), pictures[index % pictures.length].verdict);
}

export async function expectEnd(stream) {
  assert.equal(await receive(stream), undefined);
  assert.equal(stream.error, undefined);
}

/** Receives until the stream ends. Gives the number of results and the error. */
export async function receiveAll(stream, received = 0) {
  for (;;) {
    let result;
    try {
      result = await receive(stream);
    } catch (error) {
      return { received, error };
    }
    if (result === undefined) {
      return { received };
    }
    received += 1;
    assert.equal(result.sequence, received);
  }
}

/** Checks the code of an error and that its text has a part. */
export function expectError(error, code, text = '') {
  assert.ok(error instanceof UflowError, error);
  assert.ok(error.code === code && error.details.includes(text), `got ${error}, want ${code} with "${text}"`);
  return error;
}

/** The error of a promise that must be rejected. */
export async function failure(promise, code, text) {
  const outcome = await within('a failure', promise).then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  assert.ok('error' in outcome, `got ${outcome.value}, want ${code}`);
  return expectError(outcome.error, code, text);
}
