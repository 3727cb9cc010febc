// Tokens and TLS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { StreamError, UflowClient } from 'uflow';
import { small, verdictOf } from './support/program.mjs';
import { eventually, PATIENCE, Scope } from './support/scope.mjs';
import { encoded, expectEnd, failure, Observer, pump, QUICK, receive } from './support/stream.mjs';

const GOOD = '0123456789abcdef';
const METRICS = 'fedcba9876543210';

test('tokens', async (t) => {
  const scope = new Scope(t);
  const [picture] = await small();
  const folder = await scope.folder();
  const tokens = path.join(folder, 'tokens');
  await writeFile(tokens, `${GOOD} inference\n${METRICS} metrics\n`, { mode: 0o600 });
  const tokenFile = path.join(folder, 'mine');
  await writeFile(tokenFile, `${GOOD}\n`);
  const { address } = await scope.serve('--tokens', tokens);
  const frame = encoded(picture.bytes);
  for (const [options, code, text] of [
    [{ token: GOOD }],
    [{ tokenFile }],
    [{}, 'UNAUTHENTICATED', 'a token is needed'],
    [{ token: '0123456789abcdee' }, 'UNAUTHENTICATED', 'the token is not known'],
    [{ token: METRICS }, 'PERMISSION_DENIED', 'not good for inference'],
  ]) {
    const client = scope.client({ address, ...options });
    const stream = client.openStream();
    await stream.send(frame);
    stream.closeSend();
    if (code === undefined) {
      assert.equal((await client.detect(frame)).detection.width, 96);
      assert.equal((await receive(stream)).detection.width, 96);
      await expectEnd(stream);
    } else {
      await failure(client.detect(frame), code, text);
      const ended = await failure(stream.receive(), code, text);
      assert.ok(ended instanceof StreamError);
      assert.deepEqual(ended.unanswered, [{ sequence: 1, frame }]);
    }
    // The health service is open.
    assert.equal(await client.isReady(), true);
  }
});

test('a token file is read for each call', async (t) => {
  const scope = new Scope(t);
  const pictures = await small();
  const folder = await scope.folder();
  const tokens = path.join(folder, 'tokens');
  await writeFile(tokens, `${GOOD} inference\n`, { mode: 0o600 });
  const tokenFile = path.join(folder, 'mine');
  await writeFile(tokenFile, `${METRICS}\n`);
  const { address } = await scope.serve('--tokens', tokens);
  const client = scope.client({ address, tokenFile, maxAttempts: 1, backoff: QUICK });
  await failure(client.listModels(), 'UNAUTHENTICATED', 'not known');
  await rm(tokenFile);
  await failure(client.listModels(), 'UNAVAILABLE', 'the token cannot be read');

  // A stream waits for the file.
  const seen = new Observer();
  const stream = client.openStream(seen.options);
  const accepted = pump(stream, pictures, 3);
  await eventually('tried', () => seen.disconnected.length > 0);
  await writeFile(tokenFile, GOOD);
  for (let i = 0; i < 3; i += 1) {
    assert.equal((await receive(stream)).detection.width, 96);
  }
  await expectEnd(stream);
  assert.equal(await accepted, 3);
});

/** A certificate authority made with openssl. */
class Authority {
  constructor(folder, name) {
    this.folder = folder;
    this.name = name;
    this.ca = this.file('ca.pem');
    this.#openssl('req', '-x509', ...KEY, '-days', '2', '-subj', '/CN=test authority', '-keyout', this.file('ca.key'), '-out', this.ca);
  }

  file(end) {
    return path.join(this.folder, `${this.name}-${end}`);
  }

  #openssl(...words) {
    execFileSync('openssl', words, { stdio: 'pipe', cwd: this.folder });
  }

  /** Makes a certificate and its key. */
  async sign(subject) {
    const [names, key, request, certificate] = ['names', 'key', 'csr', 'pem'].map((end) => this.file(`${subject}.${end}`));
    await writeFile(names, 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n');
    this.#openssl('req', ...KEY, '-subj', `/CN=${subject}`, '-keyout', key, '-out', request);
    const by = ['-CA', this.ca, '-CAkey', this.file('ca.key'), '-CAcreateserial'];
    this.#openssl('x509', '-req', '-in', request, ...by, '-days', '2', '-extfile', names, '-out', certificate);
    return { certFile: certificate, keyFile: key };
  }
}
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

test('TLS', async (t) => {
  const scope = new Scope(t);
  const [picture] = await small();
  const frame = encoded(picture.bytes);
  const folder = await scope.folder();
  const ours = new Authority(folder, 'ours');
  const others = new Authority(folder, 'others');
  const [server, mine, foreign] = [await ours.sign('server'), await ours.sign('client'), await others.sign('client')];
  const { address } = await scope.serve(
    ...['--max-batch', '1', '--tls-cert', server.certFile, '--tls-key', server.keyFile, '--tls-client-ca', ours.ca],
  );

  const right = scope.client({ address, tls: { caFile: ours.ca, ...mine }, token: GOOD });
  assert.deepEqual(verdictOf((await right.detect(frame)).detection), picture.verdict);
  const stream = right.openStream();
  await stream.send(frame);
  assert.deepEqual(verdictOf((await receive(stream)).detection), picture.verdict);

  // The certificate of the server is wrong: no try repairs that, so both fail long before their limits.
  const wrongs = [
    [{ caFile: others.ca, ...mine }, /SELF_SIGNED|UNABLE_TO|CERT/],
    [{ caFile: ours.ca, serverName: 'elsewhere.example', ...mine }, /ERR_TLS_CERT_ALTNAME_INVALID/],
  ];
  for (const [tls, code] of wrongs) {
    const wrong = scope.client({ address, tls, timeoutMs: PATIENCE });
    const began = Date.now();
    const refused = await failure(wrong.detect(frame), 'UNAVAILABLE', 'certificate');
    assert.match(refused.cause.code, code);
    const ended = await failure(wrong.openStream({ maxOutageMs: PATIENCE }).receive(), 'UNAVAILABLE', 'certificate');
    assert.match(ended.cause.cause.code, code);
    assert.ok(Date.now() - began < PATIENCE / 2, 'a wrong certificate was tried for long');
  }

  for (const tls of [{ caFile: ours.ca }, { caFile: ours.ca, ...foreign }, undefined]) {
    await failure(scope.client({ address, ...(tls && { tls }), maxAttempts: 1 }).detect(frame), 'UNAVAILABLE');
  }
  const open = (tls) => () => new UflowClient({ address, tls });
  assert.throws(open({ caFile: server.keyFile }), /no PEM certificate/);
  assert.throws(open({ certFile: mine.certFile, keyFile: foreign.keyFile }), /cannot be used/);
  assert.throws(open({ certFile: mine.certFile }), /belong together/);
});

test('TLS to a server without TLS', async (t) => {
  const scope = new Scope(t);
  const { address } = await scope.start();
  const client = scope.client({ address, tls: true, timeoutMs: PATIENCE });
  await failure(client.openStream({ maxOutageMs: PATIENCE }).receive(), 'UNAVAILABLE');
  await failure(client.listModels(), 'UNAVAILABLE');
});
