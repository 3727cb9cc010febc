// Single calls on a real server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { duration, MapFormat, MaskFormat, ModelState, PixelFormat, Priority, timestamp, UflowClient, Verdict } from 'uflow';
import { decodePng, encodePng } from './support/png.mjs';
import { large, verdictOf } from './support/program.mjs';
import { PATIENCE, Scope, within } from './support/scope.mjs';
import { encoded, failure, pump, receive } from './support/stream.mjs';

test('verdicts are those of the command', async (t) => {
  const scope = new Scope(t);
  const pictures = await large();
  const { address } = await scope.serve('--max-batch', '1');
  const client = scope.client({ address });
  const stream = client.openStream();
  const sent = pump(stream, pictures, pictures.length);
  for (const { file, bytes, verdict } of pictures) {
    const { detection } = await client.detect(encoded(bytes));
    assert.deepEqual(verdictOf(detection), verdict, file);
    assert.deepEqual(verdictOf((await receive(stream)).detection), verdict, file);
  }
  assert.equal(await sent, pictures.length);
  const anomalous = pictures.filter(({ verdict }) => verdict.anomalous).length;
  assert.ok(anomalous > 0 && anomalous < pictures.length, 'the comparison needs good and bad pictures');
});

test('every option reaches the server', async (t) => {
  const scope = new Scope(t);
  const { address } = await scope.serve('--max-batch', '1');
  const client = scope.client({ address });
  const pictures = await large();
  const defect = pictures.findLast(({ verdict }) => verdict.anomalous && verdict.areas.length === 1 && verdict.pValue > 1e-8);
  const { width, height, samples, pixels } = decodePng(defect.bytes);
  assert.equal(samples, 3);
  const time = { seconds: 1_700_000_000n, nanos: 123_456_789 };
  const { detection, ...answer } = await client.detect({
    sequence: 2n ** 64n - 1n,
    timestamp: time,
    model: 'cloth',
    version: 1,
    raw: { pixels, width, height, format: PixelFormat.RGB8 },
    outputs: { mask: MaskFormat.RAW, scoreMap: MapFormat.F32, log10NfaMap: MapFormat.PNG, latents: true },
    timeLimit: duration(PATIENCE),
    priority: Priority.HIGH,
    significantBits: 12,
  });
  assert.deepEqual(verdictOf(detection), defect.verdict);
  assert.equal(answer.sequence, 2n ** 64n - 1n);
  assert.deepEqual(answer.timestamp, time);
  assert.deepEqual([answer.model, answer.version, answer.error], ['cloth', 1, undefined]);
  assert.equal(detection.mask.data.length, width * height);
  assert.equal(detection.scoreMap.data.length, 96 * 96 * 4);
  assert.ok(detection.log10NfaMap.data.length > 0 && detection.latents.length > 0);
  assert.ok(answer.timings.totalMs > 0);

  // Everything counts but the defect.
  const { x, y, width: wide, height: high } = detection.regions[0].box;
  const outside = Buffer.alloc(width * height, 255);
  for (let row = y; row < y + high; row += 1) {
    outside.fill(0, row * width + x, row * width + x + wide);
  }
  const roi = encodePng({ width, height, samples: 1, pixels: outside });
  const elsewhere = await client.detect(encoded(defect.bytes, { options: { roi } }));
  assert.ok(elsewhere.detection.score < detection.score, `${elsewhere.detection.score} without the defect`);
  for (const options of [
    { epsilon: 1e-300, verdict: Verdict.NFA },
    { rejectRate: 1e-9 },
    { verdict: Verdict.SCORE, scoreThreshold: 1 },
    { minArea: 1 << 30 },
  ]) {
    const changed = await client.detect(encoded(defect.bytes, { options }));
    assert.equal(changed.detection.anomalous, false, Object.keys(options).join());
  }
});

test('models and health', async (t) => {
  const scope = new Scope(t);
  const { address } = await scope.serve();
  const client = scope.client({ address });
  const [listed, ...more] = await client.listModels();
  assert.deepEqual([listed.name, listed.state, more.length], ['cloth', ModelState.READY, 0]);
  const { description } = await client.getModel('cloth');
  assert.equal(description.inputWidth, 96);
  assert.ok(description.decision.length > 0);
  await failure(client.getModel('silk'), 'NOT_FOUND', 'there is no model `silk`');
  await failure(client.loadModel('cloth'), 'PERMISSION_DENIED', '--model-control explicit');
  assert.equal(await client.isReady(), true);
  assert.equal(await client.isReady('cloth'), true);
  await failure(client.isReady('silk'), 'NOT_FOUND');
});

test('frames that cannot be used', async (t) => {
  const scope = new Scope(t);
  const { address } = await scope.serve('--max-message-mib', '1');
  const client = scope.client({ address, token: 'the-server-needs-none' });
  const [{ bytes }] = await large();
  const refused = (frame, code, text) => failure(client.detect(frame), code, text);
  await refused(encoded(bytes.subarray(0, bytes.length / 2)), 'INVALID_ARGUMENT');
  await refused({ model: 'silk', encoded: bytes }, 'NOT_FOUND', 'there is no model `silk`');
  await refused(encoded(Buffer.alloc(2 << 20)), 'OUT_OF_RANGE', 'too large');
  await refused({ model: '\ud800', encoded: bytes }, 'INVALID_ARGUMENT', 'Unicode');
  await refused(encoded('a path'), 'INVALID_ARGUMENT', 'not a Buffer');
  await refused(encoded(bytes, { raw: { pixels: bytes } }), 'INVALID_ARGUMENT', 'two images');
  await refused(encoded(bytes, { version: 0.5 }), 'INVALID_ARGUMENT', 'cannot be sent');
  await refused(undefined, 'INVALID_ARGUMENT', 'not an object');
  assert.equal((await client.detect(encoded(bytes))).detection.error, undefined);
});

test('deadlines', async (t) => {
  const scope = new Scope(t);
  const server = await scope.serve();
  const [{ bytes }] = await large();
  const client = scope.client({ address: server.address, timeoutMs: 200 });
  await failure(client.detect(encoded(bytes, { timeLimit: { seconds: 0n, nanos: 1 } }), { timeoutMs: PATIENCE }), 'DEADLINE_EXCEEDED');

  server.signal('SIGSTOP');
  await failure(client.detect(encoded(bytes)), 'DEADLINE_EXCEEDED');
  await failure(client.detect(encoded(bytes), { timeoutMs: PATIENCE, signal: AbortSignal.timeout(100) }), 'DEADLINE_EXCEEDED');
  const controller = new AbortController();
  const cancelled = failure(client.detect(encoded(bytes), { timeoutMs: PATIENCE, signal: controller.signal }), 'CANCELLED', 'enough');
  controller.abort(new Error('enough'));
  assert.equal((await cancelled).cause.message, 'enough');
  await failure(client.detect(encoded(bytes), { signal: AbortSignal.abort() }), 'CANCELLED');
  // The limit of a call goes before the client's, also where it is longer.
  const answered = client.detect(encoded(bytes), { timeoutMs: PATIENCE });
  await sleep(300);
  server.signal('SIGCONT');
  await within('the answer', answered);
});

test('a call survives a restart', async (t) => {
  const scope = new Scope(t);
  const server = await scope.serve();
  const [{ bytes }] = await large();
  const { address } = server;
  const client = scope.client({ address, timeoutMs: PATIENCE, backoff: { maxMs: 200 } });
  const once = scope.client({ address, maxAttempts: 1 });
  await client.detect(encoded(bytes));

  // The server has the frame and dies with it.
  server.signal('SIGSTOP');
  const answered = client.detect(encoded(bytes));
  const lost = failure(once.detect(encoded(bytes)), 'UNAVAILABLE');
  await sleep(100);
  await server.kill();
  await lost;
  await failure(once.detect(encoded(bytes)), 'UNAVAILABLE', 'ECONN');
  await server.start();
  await within('the answer', answered);
});

test('options are checked', () => {
  const address = '127.0.0.1:1';
  for (const options of [
    undefined,
    {},
    { address, token: 'a', tokenFile: 'b' },
    { address, token: 'a\nb' },
    { address, tokenFile: '/nonexistent/token' },
    { address, connectTimeoutMs: -1 },
    { address, backoff: { maxMs: 0 } },
    { address, keepaliveMs: Infinity },
    { address, tls: { caFile: '/nonexistent/ca.pem' } },
  ]) {
    assert.throws(() => new UflowClient(options), Error);
  }
  const client = new UflowClient({ address });
  assert.throws(() => client.openStream({ inFlight: 0 }), /inFlight/);
  assert.throws(() => client.openStream({ stallTimeoutMs: -1 }), /stallTimeoutMs/);
  assert.deepEqual(timestamp(new Date(-1)), { seconds: -1n, nanos: 999_000_000 });
  return client.close();
});
