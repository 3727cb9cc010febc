// Streams on a real server that goes away and comes back.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { ModelState, StreamError } from 'uflow';
import { small, verdictOf } from './support/program.mjs';
import { eventually, PATIENCE, Scope } from './support/scope.mjs';
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

const TOKEN = '0123456789abcdef';

const outages = {
  'is killed': async (server) => {
    await server.kill();
    await server.start();
  },
  'is killed and stays away': async (server, seen) => {
    const losses = seen.disconnected.length;
    await server.kill();
    await eventually('tried', () => seen.disconnected.length >= losses + 4);
    await server.start();
  },
  'is killed twice in a row': async (server, seen) => {
    const connects = seen.connected.length;
    await server.kill();
    await server.start();
    await eventually('connected again', () => seen.connected.length > connects);
    await server.kill();
    await server.start();
  },
  'is stopped gracefully': async (server) => {
    await server.kill('SIGTERM');
    await server.start();
  },
  'is frozen': async (server, seen) => {
    const losses = seen.disconnected.length;
    server.signal('SIGSTOP');
    await eventually('a stall is noticed', () => seen.disconnected.length > losses);
    server.signal('SIGCONT');
  },
};

for (const [name, restart] of Object.entries(outages)) {
  test(`every verdict once and in order when the server ${name}`, async (t) => {
    const scope = new Scope(t);
    const count = 120;
    const pictures = await small();
    const seen = new Observer();
    const wire = new Wire();
    const server = await scope.serve('--max-batch', '1');
    const client = scope.client({ address: server.address, backoff: QUICK, connectTimeoutMs: 2000, grpcOptions: wire.grpcOptions });
    const stream = client.openStream({ stallTimeoutMs: 2000, maxOutageMs: PATIENCE, ...seen.options });
    const accepted = pump(stream, pictures, count);
    for (let i = 0; i < count; i += 1) {
      if (i === 40 || i === 80) {
        await restart(server, seen);
      }
      await expectVerdict(stream, pictures, i);
    }
    await expectEnd(stream);
    assert.equal(await accepted, count);
    assert.ok(seen.disconnected.length >= 2 && seen.connected.length >= 3, `${seen.disconnected.length} losses`);
    assert.ok(wire.most <= 8, `${wire.most} frames were unanswered`);
    for (const [i, connected] of seen.connected.entries()) {
      assert.equal(connected.again, i > 0);
      assert.equal(connected.window, 16);
    }
  });
}

test('a server that does not come back', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const seen = new Observer();
  const server = await scope.serve('--max-batch', '1');
  const client = scope.client({ address: server.address, backoff: QUICK });
  const first = client.openStream({ maxOutageMs: 2000, ...seen.options });
  const accepted = pump(first, pictures, 1000);
  for (let i = 0; i < 20; i += 1) {
    await expectVerdict(first, pictures, i);
  }
  await server.kill();
  const { received, error } = await receiveAll(first, 20);
  expectError(error, 'UNAVAILABLE', 'no working connection for 2s');
  assert.ok(error instanceof StreamError);
  assert.equal(await accepted, received + error.unanswered.length);
  assert.equal(error.unanswered.length, 8);
  assert.match(error.message, /8 frames were not answered \(sequence /);
  await assert.rejects(first.send(encoded(pictures[0].bytes)), error);
  assert.ok(seen.disconnected.length >= 2);

  // The frames that were given back get their verdicts on another stream.
  await server.start();
  const second = client.openStream();
  for (const { frame } of error.unanswered) {
    await second.send(frame);
  }
  second.closeSend();
  for (const [i, { sequence, frame }] of error.unanswered.entries()) {
    const result = await receive(second);
    assert.equal(sequence, received + i + 1);
    assert.equal(result.frame, frame);
    assert.deepEqual(verdictOf(result.detection), pictures[(sequence - 1) % pictures.length].verdict);
  }
  await expectEnd(second);
});

test('permanent errors end the stream', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const file = path.join(await scope.folder(), 'tokens');
  await writeFile(file, `${TOKEN}\n`, { mode: 0o600 });
  const server = await scope.serve('--max-batch', '1', '--tokens', file);
  const client = scope.client({ address: server.address, token: TOKEN, backoff: QUICK });

  const unknown = client.openStream();
  await unknown.send(encoded(pictures[0].bytes));
  await expectVerdict(unknown, pictures, 0);
  const frame = { model: 'silk', encoded: pictures[0].bytes };
  await unknown.send(frame);
  const ended = await failure(unknown.receive(), 'NOT_FOUND', 'there is no model `silk`');
  assert.deepEqual(ended.unanswered, [{ sequence: 2, frame }]);
  assert.equal(ended.cause.code, 'NOT_FOUND');

  // The token is no longer known after a restart.
  const revoked = client.openStream();
  const accepted = pump(revoked, pictures, 1000);
  await expectVerdict(revoked, pictures, 0);
  await server.kill();
  await writeFile(file, 'fedcba9876543210\n');
  await server.start();
  const { received, error } = await receiveAll(revoked, 1);
  expectError(error, 'UNAUTHENTICATED', 'the token is not known');
  assert.equal(await accepted, received + error.unanswered.length);
});

test('a model that is not loaded yet is an outage', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const seen = new Observer();
  const server = await scope.start('--model-control', 'explicit', '--max-batch', '1');
  const client = scope.client({ address: server.address, backoff: QUICK });
  const stream = client.openStream({ maxOutageMs: PATIENCE, ...seen.options });
  const accepted = pump(stream, pictures, 30);
  await eventually('the server refused frames', () => seen.disconnected.length >= 3);
  assert.equal(await client.isReady(), false);
  const loaded = await client.loadModel('cloth', 1, { timeoutMs: PATIENCE });
  assert.equal(loaded.state, ModelState.READY);
  for (let i = 0; i < 30; i += 1) {
    await expectVerdict(stream, pictures, i);
  }
  await expectEnd(stream);
  assert.equal(await accepted, 30);
  assert.ok(['UNAVAILABLE', 'NOT_FOUND'].includes(seen.disconnected[0].error.code), seen.disconnected[0].error);
  await client.unloadModel('cloth', 1);
});

test('the server cuts old connections', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const seen = new Observer();
  const server = await scope.serve('--max-batch', '1', '--max-connection-age-seconds', '0.3', '--drain-seconds', '0.1');
  const stream = scope.client({ address: server.address, backoff: QUICK }).openStream(seen.options);
  const sending = (async () => {
    let sent = 0;
    for (; seen.connected.length < 4; sent += 1) {
      await stream.send(encoded(pictures[sent % pictures.length].bytes));
    }
    stream.closeSend();
    return sent;
  })();
  let received = 0;
  for await (const result of stream) {
    assert.deepEqual(verdictOf(result.detection), pictures[received % pictures.length].verdict);
    received += 1;
    assert.equal(result.sequence, received);
  }
  assert.equal(received, await sending);
});
