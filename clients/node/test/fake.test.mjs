// What the real server does not do on request.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamError, VERSION } from 'uflow';
import { announce, answer, echo, failed, Fake, refusal } from './support/fake.mjs';
import { PATIENCE, Scope } from './support/scope.mjs';
import { encoded, expectEnd, failure, Observer, pump, receive, Wire } from './support/stream.mjs';

const BYTES = Buffer.from('x');

/** Sends frames and expects the answers of `echo`. */
async function all(stream, count) {
  const accepted = pump(stream, [{ bytes: BYTES }], count);
  for (let i = 1; i <= count; i += 1) {
    const result = await receive(stream);
    assert.equal(result.sequence, i);
    assert.equal(result.detection.score, i);
  }
  await expectEnd(stream);
  assert.equal(await accepted, count);
}

for (const [name, silent] of Object.entries({ 'after its headers': announce, 'without headers': () => undefined })) {
  test(`a server that does not answer ${name}`, async (t) => {
    const scope = new Scope(t);
    const seen = new Observer();
    const limits = { stallTimeoutMs: 300, maxOutageMs: PATIENCE };
    const slow = new Fake({ stream: (number, call) => (number < 3 ? silent(call) : echo(call)) });
    await all((await slow.client(scope, { connectTimeoutMs: 300 })).openStream({ ...limits, ...seen.options }), 20);
    // A busy machine may add some.
    assert.ok(seen.disconnected.length >= 2);

    const never = new Fake({ stream: (_, call) => silent(call) });
    const stream = (await never.client(scope, { connectTimeoutMs: 300 })).openStream({ ...limits, maxOutageMs: 1000 });
    await stream.send(encoded(BYTES));
    await failure(stream.receive(), 'UNAVAILABLE', 'no working connection for 1s');
  });
}

test('the window of the server is kept', async (t) => {
  const scope = new Scope(t);
  const wire = new Wire();
  // The first frame may be alone. Then answers come only when the client has sent all that it may.
  const pairs = (_, call) => {
    announce(call, 2);
    let waiting = [];
    let first = true;
    const reply = () => {
      waiting.forEach((request) => call.write(answer(request)));
      waiting = [];
    };
    call.on('data', (request) => {
      waiting.push(request);
      if (first || waiting.length === 2) {
        first = false;
        reply();
      }
    });
    call.on('end', () => {
      reply();
      call.end();
    });
  };
  const client = await new Fake({ stream: pairs }).client(scope, { grpcOptions: wire.grpcOptions });
  await all(client.openStream(), 42);
  assert.equal(wire.most, 2);
});

test('temporary errors of frames are not verdicts', async (t) => {
  const scope = new Scope(t);
  const seen = new Observer();
  const refusals = [
    ['UNAVAILABLE', 'model `cloth` version 1 is being loaded'],
    ['NOT_FOUND', 'there is no model `cloth`; no model is loaded'],
    ['RESOURCE_EXHAUSTED', 'the server is full'],
    ['CANCELLED', 'cancelled'],
  ];
  // Some frames are answered; the fifth is refused, though a later one may be answered again.
  const stream = (number, call) =>
    echo(call, (request, count) => [count === 5 && refusals[number - 1] ? refusal(request, ...refusals[number - 1]) : answer(request)]);
  await all((await new Fake({ stream }).client(scope)).openStream(seen.options), 60);
  assert.deepEqual(
    seen.disconnected.map(({ error }) => [error.code, error.details]),
    refusals,
  );
});

test('answers that came twice or out of order', async (t) => {
  const scope = new Scope(t);
  const seen = new Observer();
  const stream = (number, call) =>
    echo(call, (request, count) => {
      const sent = [answer(request)];
      if (number === 1 && count === 3) {
        sent.push(answer(request));
      }
      if (number === 1 && count === 10) {
        sent.push(answer({ ...request, sequence: request.sequence + 2n }));
      }
      return sent;
    });
  await all((await new Fake({ stream }).client(scope)).openStream(seen.options), 30);
  // The answer that came twice is dropped. Only the one out of order costs the connection.
  assert.deepEqual(
    seen.disconnected.map(({ error }) => error.details),
    ['the server answered frame 12 out of order'],
  );
});

test('permanent statuses of the stream', async (t) => {
  const scope = new Scope(t);
  for (const code of ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'INVALID_ARGUMENT', 'NOT_FOUND', 'UNIMPLEMENTED']) {
    const fake = new Fake({
      stream: (_, call) => {
        if (code === 'NOT_FOUND') {
          // With headers first, as a proxy may do.
          announce(call);
        }
        call.emit('error', failed(code, 'the reason'));
      },
    });
    const stream = (await fake.client(scope)).openStream();
    const frame = encoded(BYTES);
    await stream.send(frame);
    const ended = await failure(stream.receive(), code, 'the reason');
    assert.ok(ended instanceof StreamError);
    assert.deepEqual(ended.unanswered, [{ sequence: 1, frame }]);
    assert.equal(fake.calls, 1);
  }
});

test('only the frame that is too large fails', async (t) => {
  const scope = new Scope(t);
  // Frame 7 is too large for this server. On the first connection, the answers to the frames before come with the end.
  const stream = (number, call) => {
    const kept = [];
    echo(call, (request) => {
      if (request.sequence === 7n) {
        kept.forEach((message) => call.write(message));
        call.emit('error', failed('OUT_OF_RANGE', 'the message is too large'));
        return [];
      }
      if (number === 1 && request.sequence > 3n) {
        kept.push(answer(request));
        return [];
      }
      return [answer(request)];
    });
  };
  const made = (await new Fake({ stream }).client(scope)).openStream();
  const accepted = pump(made, [{ bytes: BYTES }], 20);
  for (let i = 1; i <= 20; i += 1) {
    const result = await receive(made);
    assert.equal(result.sequence, i);
    assert.equal(result.error?.code, i === 7 ? 'OUT_OF_RANGE' : undefined);
  }
  await expectEnd(made);
  assert.equal(await accepted, 20);
});

test('a GOAWAY costs no frame', async (t) => {
  const scope = new Scope(t);
  const seen = new Observer();
  const wire = new Wire();
  const fake = new Fake(
    { stream: (_, call) => echo(call) },
    { 'grpc.max_connection_age_ms': 100, 'grpc.max_connection_age_grace_ms': PATIENCE },
  );
  const stream = (await fake.client(scope, { grpcOptions: wire.grpcOptions })).openStream(seen.options);
  const sending = (async () => {
    let sent = 0;
    for (; seen.connected.length < 4; sent += 1) {
      await stream.send(encoded(BYTES));
    }
    stream.closeSend();
    return sent;
  })();
  let received = 0;
  for await (const { sequence } of stream) {
    received += 1;
    assert.equal(sequence, received);
  }
  assert.equal(received, await sending);
  assert.equal(wire.sent, received);
});

test('closing an unused stream', async (t) => {
  const scope = new Scope(t);
  const client = await new Fake({ stream: (_, call) => echo(call) }).client(scope);
  for (const used of [client, scope.client({ address: '127.0.0.1:1' })]) {
    const stream = used.openStream();
    stream.closeSend();
    await expectEnd(stream);
    await stream.close();
    await stream[Symbol.asyncDispose]();
    assert.equal(stream.error, undefined);
  }
  await failure(client.openStream({ signal: AbortSignal.abort() }).receive(), 'CANCELLED', 'every frame was answered');
});

test('calls are repeated where that is safe', async (t) => {
  const scope = new Scope(t);
  for (const [code, text, calls] of [
    ['UNAVAILABLE', 'the server is stopping', 4],
    ['RESOURCE_EXHAUSTED', 'the server is full', 4],
    ['CANCELLED', 'a proxy went away', 4],
    ['NOT_FOUND', 'there is no model `cloth`; no model is loaded', 4],
    ['NOT_FOUND', 'there is no model `cloth`; there are silk', 1],
    ['INVALID_ARGUMENT', 'the frame is wrong', 1],
    ['INTERNAL', 'the numbers are not finite', 1],
    ['UNAUTHENTICATED', 'a token is needed', 1],
  ]) {
    const detect = (number, request) => {
      if (number < 4) {
        throw failed(code, text);
      }
      return answer(request);
    };
    const fake = new Fake({ detect });
    const client = await fake.client(scope);
    await (calls === 1 ? failure(client.detect(encoded(BYTES)), code, text) : client.detect(encoded(BYTES)));
    assert.equal(fake.calls, calls, code);
    const once = await new Fake({ detect }).client(scope, { maxAttempts: 1 });
    await failure(once.detect(encoded(BYTES)), code, text);
  }

  // The error has the server's reason, whether the limit comes in a pause or in a try.
  const stopping = () => {
    throw failed('UNAVAILABLE', 'the server is stopping');
  };
  const fake = new Fake({ detect: stopping });
  const client = await fake.client(scope, { timeoutMs: 1500 });
  const outcome = await client.detect(encoded(BYTES)).catch((error) => error);
  assert.match(outcome.message, /^(UNAVAILABLE: |DEADLINE_EXCEEDED: .*the try before: )the server is stopping/);
  assert.ok(fake.calls >= 2);
});

test('the user agent is sent', async (t) => {
  const scope = new Scope(t);
  for (const [options, want] of [
    [{}, `uflow-node/${VERSION} grpc-node-js/`],
    [{ userAgent: 'line 3' }, 'line 3 grpc-node-js/'],
  ]) {
    let agent;
    const detect = (_, request, metadata) => {
      [agent] = metadata.get('user-agent');
      return answer(request);
    };
    await (await new Fake({ detect }).client(scope, options)).detect(encoded(BYTES));
    assert.ok(agent.startsWith(want), agent);
  }
});
