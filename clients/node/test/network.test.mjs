// Connections that are open and dead: what a firewall, a crashed host or a pulled cable leaves behind.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { answer, echo, Fake } from './support/fake.mjs';
import { countSockets, eventually, PATIENCE, Scope, within } from './support/scope.mjs';
import { encoded, expectEnd, failure, Observer, QUICK, receive } from './support/stream.mjs';

const FRAME = encoded(Buffer.from('x'));

/** A proxy between client and server, whose connections can be cut off without an end. */
class Proxy {
  accepted = 0;
  #sockets = [];

  /** The first `deaf` connections are accepted, and nothing that they say is passed on. */
  async start(scope, port, deaf = 0) {
    const server = net.createServer((near) => {
      this.accepted += 1;
      near.on('error', () => undefined);
      if (this.accepted <= deaf) {
        near.resume();
        this.#sockets.push(near);
        return;
      }
      const far = net.connect(port, '127.0.0.1');
      far.on('error', () => near.destroy());
      near.pipe(far).pipe(near);
      near.on('close', () => far.destroy());
      this.#sockets.push(near, far);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.defer(() => {
      this.#sockets.forEach((socket) => socket.destroy());
      server.close();
      return once(server, 'close');
    });
    return `127.0.0.1:${server.address().port}`;
  }

  /** From now on nothing passes on the present connections. */
  cut() {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }
}

const SERVER = { stream: (_, call) => echo(call), detect: (_, request) => answer(request) };

test('connections that are accepted and stay silent', async (t) => {
  const scope = new Scope(t);
  const port = await new Fake(SERVER).start(scope);
  const options = { connectTimeoutMs: 300, backoff: QUICK, timeoutMs: PATIENCE };

  const silent = new Proxy();
  const client = scope.client({ address: await silent.start(scope, port, 2), ...options });
  assert.equal((await within('the answer', client.detect(FRAME))).model, 'cloth');
  // A busy machine may need more.
  assert.ok(silent.accepted >= 3);
  const { accepted } = silent;
  await client.detect(FRAME);
  assert.equal(silent.accepted, accepted);

  const again = new Proxy();
  const seen = new Observer();
  const stream = scope.client({ address: await again.start(scope, port, 2), ...options }).openStream(seen.options);
  await stream.send(FRAME);
  assert.equal((await receive(stream)).detection.score, 1);
  assert.deepEqual(
    seen.disconnected.slice(0, 2).map(({ error }) => error.details),
    Array(2).fill('the server did not accept the stream within 0.3s'),
  );
  await stream.close();
});

test('a connection that dies without an end is noticed by its pings', async (t) => {
  const scope = new Scope(t);
  const port = await new Fake(SERVER).start(scope);
  const proxy = new Proxy();
  const seen = new Observer();
  const address = await proxy.start(scope, port);
  const grpcOptions = { 'grpc.keepalive_timeout_ms': 300 };
  const client = scope.client({ address, keepaliveMs: 200, backoff: QUICK, timeoutMs: PATIENCE, grpcOptions });
  await client.detect(FRAME);
  const stream = client.openStream({ stallTimeoutMs: Infinity, ...seen.options });
  await eventually('connected', () => seen.connected.length === 1);
  proxy.cut();
  await stream.send(FRAME);
  const call = client.detect(FRAME);
  assert.equal((await receive(stream)).detection.score, 1);
  assert.equal((await within('the answer', call)).model, 'cloth');
  assert.ok(seen.disconnected.length >= 1);
  stream.closeSend();
  await expectEnd(stream);
});

test('a client that is closed while it connects', async (t) => {
  const scope = new Scope(t);
  const proxy = new Proxy();
  const address = await proxy.start(scope, 1, Infinity);
  const sockets = countSockets();
  const end = async (client, stream, call) => {
    await within('close', client.close());
    await failure(call, 'CANCELLED', 'the client is closed');
    await failure(stream.receive(), 'CANCELLED');
  };
  // At every step of the way to a connection.
  for (let steps = 0; steps < 20; steps += 1) {
    const client = scope.client({ address });
    const call = client.detect(FRAME);
    call.catch(() => undefined);
    const stream = client.openStream();
    for (let i = 0; i < steps; i += 1) {
      await setImmediate();
    }
    await end(client, stream, call);
  }
  const client = scope.client({ address });
  const before = proxy.accepted;
  const call = client.detect(FRAME);
  call.catch(() => undefined);
  const stream = client.openStream();
  await eventually('two connections', () => proxy.accepted === before + 2);
  await end(client, stream, call);
  // The proxy reads the end of each connection and closes its side.
  await eventually('the sockets are gone', () => countSockets() <= sockets);
});
