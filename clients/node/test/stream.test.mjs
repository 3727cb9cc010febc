// Streams on a real server that stays up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { duration, SendClosedError, StreamError } from 'uflow';
import { small, verdictOf } from './support/program.mjs';
import { countSockets, eventually, Scope, within } from './support/scope.mjs';
import {
  encoded,
  expectEnd,
  expectError,
  expectVerdict,
  failure,
  Observer,
  pump,
  QUICK,
  receive,
  receiveAll,
  Wire,
} from './support/stream.mjs';

test('a thousand frames in order', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const wire = new Wire();
  const seen = new Observer();
  const { address } = await scope.serve('--max-batch', '1');
  const stream = scope.client({ address, grpcOptions: wire.grpcOptions }).openStream({ inFlight: 6, ...seen.options });
  const accepted = pump(stream, pictures, 1000);
  for (let i = 0; i < 1000; i += 1) {
    await expectVerdict(stream, pictures, i);
  }
  await expectEnd(stream);
  assert.equal(await accepted, 1000);
  assert.equal(wire.sent, 1000);
  assert.equal(wire.most, 6);
  assert.equal(seen.connected.length, 1);
  assert.equal(seen.connected[0].window, 16);
  assert.equal(seen.disconnected.length, 0);
  await assert.rejects(stream.send(encoded(pictures[0].bytes)), SendClosedError);
  await expectEnd(stream);
});

test('a slow consumer slows the sender down', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const { address } = await scope.serve('--max-batch', '1');
  const client = scope.client({ address });
  let read = 0;
  let taken = 0;
  let closed = false;
  const camera = function* () {
    try {
      for (;;) {
        read += 1;
        yield encoded(pictures[(read - 1) % pictures.length].bytes);
      }
    } finally {
      closed = true;
    }
  };
  for await (const result of client.detectAll(camera(), { inFlight: 3 })) {
    assert.deepEqual(verdictOf(result.detection), pictures[taken % pictures.length].verdict);
    taken += 1;
    if (taken === 20) {
      break;
    }
    await sleep(10);
    // Three places, and one frame that waits for a place.
    assert.ok(read <= taken + 4, `${read} frames were read, ${taken} results were taken`);
  }
  await eventually('the source is closed', () => closed);
});

test('the end of a source, and a source that throws', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const { address } = await scope.serve('--max-batch', '1');
  const client = scope.client({ address });
  const sequences = [];
  for await (const { sequence } of client.detectAll(pictures.map(({ bytes }) => encoded(bytes)))) {
    sequences.push(sequence);
  }
  assert.deepEqual(
    sequences,
    pictures.map((_, i) => i + 1),
  );
  const broken = async function* () {
    yield* pictures.slice(0, 5).map(({ bytes }) => encoded(bytes));
    throw new Error('the camera is unplugged');
  };
  let taken = 0;
  await assert.rejects(async () => {
    for await (const { detection } of client.detectAll(broken())) {
      taken += detection.width > 0 ? 1 : 0;
    }
  }, /the camera is unplugged/);
  assert.equal(taken, 5);
});

test('send waits when all places are taken', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const seen = new Observer();
  const server = await scope.serve('--max-batch', '1');
  const stream = scope.client({ address: server.address }).openStream({ inFlight: 3, ...seen.options });
  await eventually('connected', () => seen.connected.length === 1);
  server.signal('SIGSTOP');
  for (let i = 0; i < 3; i += 1) {
    assert.equal(await stream.send(encoded(pictures[i].bytes)), i + 1);
  }
  const fourth = encoded(pictures[3].bytes);
  await failure(stream.send(fourth, { signal: AbortSignal.timeout(100) }), 'DEADLINE_EXCEEDED');
  await failure(stream.receive({ signal: AbortSignal.timeout(50) }), 'DEADLINE_EXCEEDED');
  await failure(stream.receive({ signal: AbortSignal.abort() }), 'CANCELLED');
  server.signal('SIGCONT');
  // A place is free when a result is received. Frames that wait for one when the sending side is closed are sent.
  const waiting = [stream.send(fourth), stream.send(encoded(pictures[4].bytes))];
  stream.closeSend();
  await assert.rejects(stream.send(fourth), SendClosedError);
  for (let i = 0; i < 5; i += 1) {
    await expectVerdict(stream, pictures, i);
  }
  assert.deepEqual(await Promise.all(waiting), [4, 5]);
  await expectEnd(stream);
});

test('only the bad frames fail', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const { address } = await scope.serve('--max-batch', '1', '--max-message-mib', '1');
  const stream = scope.client({ address, backoff: QUICK }).openStream();
  const good = (i, more) => encoded(pictures[i % pictures.length].bytes, more);
  const huge = () => encoded(Buffer.alloc(3 << 20));
  const bad = new Map([
    [10, [encoded(pictures[0].bytes.subarray(0, 500)), 'INVALID_ARGUMENT']],
    [20, [huge(), 'OUT_OF_RANGE']],
    [21, [huge(), 'OUT_OF_RANGE']],
    [30, [good(30, { timeLimit: { seconds: 0n, nanos: 1 } }), 'DEADLINE_EXCEEDED']],
    [40, [encoded(Buffer.alloc(0)), 'INVALID_ARGUMENT']],
    [50, [good(50, { timeLimit: duration(-1000) }), 'INVALID_ARGUMENT']],
    [59, [huge(), 'OUT_OF_RANGE']],
  ]);
  const sending = (async () => {
    for (let i = 0; i < 60; i += 1) {
      // A frame that cannot be sent at all has no number.
      await failure(stream.send(good(i, { version: -1 })), 'INVALID_ARGUMENT', 'cannot be sent');
      await stream.send(bad.get(i)?.[0] ?? good(i));
    }
    stream.closeSend();
  })();
  for (let i = 0; i < 60; i += 1) {
    if (!bad.has(i)) {
      await expectVerdict(stream, pictures, i);
      continue;
    }
    const [frame, code] = bad.get(i);
    const result = await receive(stream);
    assert.equal(result.sequence, i + 1);
    assert.equal(result.frame, frame);
    expectError(result.error, code);
    assert.throws(() => result.detection, result.error);
  }
  await expectEnd(stream);
  await sending;
});

test('frames are late also while the server is away', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const seen = new Observer();
  const server = await scope.serve('--max-batch', '1');
  const client = scope.client({ address: server.address, backoff: QUICK });
  const stream = client.openStream({ inFlight: 4, frameTimeoutMs: 300, ...seen.options });
  await eventually('connected', () => seen.connected.length === 1);
  let index = 0;
  const next = async () => {
    const result = await receive(stream);
    index += 1;
    assert.equal(result.sequence, index);
    return result;
  };
  const late = async () => {
    for (let i = 0; i < 4; i += 1) {
      await stream.send(encoded(pictures[0].bytes));
    }
    for (let i = 0; i < 4; i += 1) {
      expectError((await next()).error, 'DEADLINE_EXCEEDED');
    }
  };
  // The server may still be busy with the late frames, and the machine with something else.
  const onTime = () =>
    eventually('a frame is in time', async () => {
      await stream.send(encoded(pictures[0].bytes));
      const result = await next();
      if (result.error === undefined) {
        assert.deepEqual(verdictOf(result.detection), pictures[0].verdict);
      }
      return result.error === undefined;
    });
  server.signal('SIGSTOP');
  await late();
  server.signal('SIGCONT');
  await onTime();
  await server.kill();
  await late();
  await server.start();
  await onTime();
  await stream.close();
});

test('a cancelled stream leaves nothing behind', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const server = await scope.serve('--max-batch', '1');
  const client = scope.client({ address: server.address, backoff: QUICK });
  await client.listModels();
  const sockets = countSockets();
  for (const away of [false, true]) {
    for (const how of ['signal', 'close']) {
      const controller = new AbortController();
      const seen = new Observer();
      const stream = client.openStream({ signal: controller.signal, ...seen.options });
      const accepted = pump(stream, pictures, 1000);
      for (let i = 0; i < 10; i += 1) {
        await expectVerdict(stream, pictures, i);
      }
      if (away) {
        await server.kill();
        await eventually('the loss is noticed', () => seen.disconnected.length > 1);
      }
      if (how === 'signal') {
        controller.abort();
      } else {
        await stream.close();
      }
      const { received, error } = await receiveAll(stream, 10);
      expectError(error, 'CANCELLED');
      assert.ok(error instanceof StreamError);
      assert.equal(await accepted, received + error.unanswered.length);
      assert.equal(stream.error, error);
      await stream.close();
      if (away) {
        await server.start();
        await server.loaded();
      }
    }
  }
  await eventually('the sockets are gone', async () => {
    await client.listModels();
    return countSockets() <= sockets;
  });
});

test('close ends streams and calls, also of a server that is frozen', async (t) => {
  const scope = new Scope(t);
  const seen = new Observer();
  const server = await scope.serve('--max-batch', '1');
  const [picture] = await small();
  const sockets = countSockets();
  const client = scope.client({ address: server.address });
  await client.detect(encoded(picture.bytes));
  const stream = client.openStream(seen.options);
  await eventually('connected', () => seen.connected.length === 1);
  server.signal('SIGSTOP');
  const call = failure(client.detect(encoded(picture.bytes)), 'CANCELLED', 'the client is closed');
  // More than the kernel buffers: a graceful end of the connection would wait for the server.
  for (let i = 0; i < 4; i += 1) {
    await stream.send(encoded(Buffer.alloc(8 << 20)));
  }
  await sleep(50);
  await within('close', client.close());
  assert.equal(countSockets(), sockets);
  await failure(stream.receive(), 'CANCELLED', '4 frames were not answered (sequence 1 to 4)');
  await call;
  await failure(client.listModels(), 'CANCELLED', 'the client is closed');
  assert.throws(() => client.openStream(), /the client is closed/);
});
