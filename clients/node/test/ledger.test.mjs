// The rules that need no server: pauses, messages, the books of a stream.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { duration, timestamp, UflowError } from 'uflow';
import { pause, pauseLimit } from '../dist/backoff.js';
import { asError } from '../dist/errors.js';
import { DetectRequest } from '../dist/generated/uflow/v1/detection.js';
import { Ledger } from '../dist/ledger.js';
import { asRequest, encodeRequest, timeLimitOf } from '../dist/request.js';

test('pauses double up to the longest and are random', () => {
  const backoff = { initialMs: 100, maxMs: 5000 };
  const limits = [0, 1, 2, 3, 4, 5, 6, 7, 1e9].map((tries) => pauseLimit(backoff, tries));
  assert.deepEqual(limits, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  const pauses = Array.from({ length: 1000 }, () => pause(backoff, 3));
  // 1000 random pauses all miss the lowest or the highest 5% once in 10²² runs.
  assert.ok(Math.min(...pauses) < 40 && Math.max(...pauses) > 760 && Math.max(...pauses) <= 800);
});

const FULL = {
  sequence: 99n,
  timestamp: { seconds: 5n, nanos: 6 },
  model: 'cloth',
  version: 3,
  options: { epsilon: 1, verdict: 4, scoreThreshold: 0.5, minArea: 7, bound: 2, roi: Buffer.from('roi'), tests: 2, rejectRate: 0.01 },
  outputs: { mask: 1, scoreMap: 2, log10NfaMap: 3, latents: true },
  timeLimit: { seconds: 3600n, nanos: 1 },
  priority: 2,
  significantBits: 12,
};

test('the message has every field of the frame', () => {
  const raw = { pixels: Buffer.alloc(300, 7), width: 20, height: 15, stride: 20, format: 1 };
  for (const image of [
    { encoded: Buffer.alloc(70_000, 1) },
    { raw },
    { encoded: Buffer.alloc(0) },
    { raw: { ...raw, pixels: Buffer.alloc(0) } },
    {},
  ]) {
    const frame = { ...FULL, ...image };
    const request = asRequest(frame);
    const bytes = encodeRequest(request);
    const read = DetectRequest.decode(bytes);
    // The bytes are what the generated code writes, in another order.
    assert.deepEqual(DetectRequest.encode(read).finish(), DetectRequest.encode(request).finish());
    assert.deepEqual(
      Object.keys(read).filter((key) => read[key] === undefined),
      Object.keys(request).filter((key) => request[key] === undefined),
    );
    assert.equal(request.encoded, frame.encoded);
    assert.equal(request.raw?.pixels, frame.raw?.pixels);
    // Nor are bytes copied on the way in.
    assert.equal(read.options.roi.buffer, bytes.buffer);
  }
  // A field of the protocol that this test does not set would not be checked.
  const fields = Object.keys(asRequest({}));
  assert.deepEqual(fields.sort(), [...Object.keys(FULL), 'raw', 'encoded'].sort());
});

test('durations and times', () => {
  assert.deepEqual(duration(1500.25), { seconds: 1n, nanos: 500_250_000 });
  assert.deepEqual(duration(-1500), { seconds: -1n, nanos: -500_000_000 });
  assert.deepEqual(duration(999.9999999), { seconds: 1n, nanos: 0 });
  assert.throws(() => duration(Infinity), RangeError);
  assert.deepEqual(timestamp(new Date(-1)), { seconds: -1n, nanos: 999_000_000 });
  assert.equal(timeLimitOf({ seconds: 1n, nanos: 5e8 }), 1500);
  for (const wrong of [
    { seconds: 0n, nanos: 0 },
    { seconds: -1n, nanos: 0 },
    { seconds: 1n, nanos: -1 },
    { seconds: 2n ** 60n, nanos: 0 },
  ]) {
    assert.equal(timeLimitOf(wrong), undefined);
  }
});

test('a lost connection has one code', () => {
  const said = (code, details) => asError(Object.assign(new Error('e'), { code, details })).code;
  assert.equal(said(13, 'Received RST_STREAM with code 2 triggered by internal client error: write EPIPE'), 'UNAVAILABLE');
  assert.equal(said(13, 'Received RST_STREAM with code 0 (Call ended without gRPC status)'), 'UNAVAILABLE');
  assert.equal(said(13, "the network's numbers are not finite"), 'INTERNAL');
  assert.equal(said(99, 'a code of the future'), 'UNKNOWN');
});

/** A ledger with frames, on a connection. */
function ledgerWith(count, limits = {}) {
  const results = [];
  const drops = [];
  const all = { inFlight: 8, frameTimeoutMs: Infinity, stallTimeoutMs: 100, maxOutageMs: 1000, ...limits };
  const ledger = new Ledger(
    all,
    0,
    (result) => results.push(result),
    () => undefined,
  );
  const connect = (now, window = 16) => ledger.connected({ drop: (reason) => drops.push(reason) }, window, now);
  for (let i = 0; i < count; i += 1) {
    ledger.accept({}, asRequest({ model: 'cloth' }), 0);
  }
  const send = (now) => {
    let sent = 0;
    while (ledger.next(now)) {
      sent += 1;
    }
    return sent;
  };
  const answer = (sequence, now) => ledger.take({ sequence: BigInt(sequence), detection: {} }, now);
  return { ledger, results, drops, connect, send, answer };
}

const sequences = (results) => results.map(({ sequence, error }) => (error ? `${sequence} ${error.code}` : sequence));

test('one frame finds out whether the server works', () => {
  const { ledger, results, connect, send, answer } = ledgerWith(4);
  assert.equal(send(0), 0, 'nothing is sent without a connection');
  connect(10);
  assert.equal(send(10), 1);
  assert.equal(answer(1, 20), undefined);
  assert.equal(send(20), 3);
  ledger.disconnected(new UflowError('UNAVAILABLE', 'gone'), 30);
  assert.deepEqual(connect(40), { again: true, outageMs: 10, unanswered: 3, window: 16 });
  assert.equal(send(40), 1);
  // An answer of the connection before is dropped, and shows that the server works.
  assert.equal(answer(1, 45), undefined);
  assert.equal(answer(2, 50), undefined);
  assert.deepEqual(sequences(results), [1, 2]);
  assert.equal(answer(4, 60).code, 'INTERNAL');
});

test('the frame that is too large is found one by one', () => {
  const { ledger, results, connect, send, answer } = ledgerWith(0);
  const tooLarge = new UflowError('OUT_OF_RANGE', 'too large');
  connect(0);
  for (let i = 0; i < 4; i += 1) {
    ledger.accept({}, asRequest({}), 0);
  }
  assert.equal(send(0), 4);
  // Which of the four is not known, because answers may be lost.
  ledger.disconnected(ledger.blame(tooLarge), 1);
  assert.deepEqual(results, []);
  connect(2);
  assert.equal(send(2), 1);
  answer(1, 3);
  assert.equal(send(3), 1);
  ledger.disconnected(ledger.blame(tooLarge), 4);
  assert.deepEqual(sequences(results), [1, '2 OUT_OF_RANGE']);
  connect(5);
  ledger.accept({}, asRequest({}), 5);
  assert.equal(send(5), 1);
  answer(3, 6);
  assert.equal(send(6), 2, 'the others are sent together');
});

test('a late frame is not confused with one that is too large', () => {
  const { ledger, results, connect, send } = ledgerWith(0, { frameTimeoutMs: 50, stallTimeoutMs: 1000 });
  connect(0);
  ledger.accept({}, asRequest({}), 0);
  assert.equal(send(0), 1);
  ledger.enforce(60);
  ledger.accept({}, asRequest({}), 60);
  assert.equal(send(60), 1);
  ledger.disconnected(ledger.blame(new UflowError('OUT_OF_RANGE', 'too large')), 70);
  assert.deepEqual(sequences(results), ['1 DEADLINE_EXCEEDED']);
});

test('the limits of time', () => {
  const { ledger, results, drops, connect, send } = ledgerWith(2, { frameTimeoutMs: 300 });
  assert.equal(ledger.enforce(0), 300);
  connect(10);
  send(10);
  assert.equal(ledger.enforce(10), 110, 'the server owes an answer');
  assert.equal(ledger.enforce(110), 300);
  assert.equal(drops[0].details, 'the server owes answers and sent none for 0.1s');
  ledger.disconnected(drops[0], 110);
  assert.equal(ledger.enforce(300), 1000);
  assert.deepEqual(sequences(results), ['1 DEADLINE_EXCEEDED', '2 DEADLINE_EXCEEDED']);
  const ended = ledger.enforce(1000);
  assert.equal(ended.code, 'UNAVAILABLE');
  assert.match(ended.details, /no working connection for 1s; the last failure: the server owes answers/);
});
