// What a test opens is closed at its end, in reverse order. Then no socket may be left.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { UflowClient } from 'uflow';
import { environment, models, program } from './program.mjs';

/** Bounds every wait of the tests, in milliseconds. Nothing waits that long unless something is broken. */
export const PATIENCE = 30_000;

/** Waits until a condition holds. */
export async function eventually(what, holds) {
  for (const end = Date.now() + PATIENCE; !(await holds()); await sleep(5)) {
    assert.ok(Date.now() < end, `${what}: not so after ${PATIENCE} ms`);
  }
}

/** The result of a promise within the patience of the tests. */
export async function within(what, promise) {
  const late = new AbortController();
  const timer = sleep(PATIENCE, undefined, { signal: late.signal }).then(
    () => assert.fail(`${what}: nothing happened within ${PATIENCE} ms`),
    () => undefined,
  );
  try {
    return await Promise.race([promise, timer]);
  } finally {
    late.abort();
  }
}

/** 0 where the system has no /proc. */
export function countSockets() {
  const folder = '/proc/self/fd';
  try {
    return readdirSync(folder).filter((name) => {
      try {
        return readlinkSync(path.join(folder, name)).startsWith('socket:');
      } catch {
        return false;
      }
    }).length;
  } catch {
    return 0;
  }
}

export class Scope {
  #ends = [];

  constructor(t) {
    const sockets = countSockets();
    t.after(async () => {
      for (const end of this.#ends.reverse()) {
        await within('the end of the test', end());
      }
      await eventually('all sockets are gone', () => countSockets() <= sockets);
    });
  }

  /** Runs `end` at the end of the test. */
  defer(end) {
    this.#ends.push(end);
  }

  client(options) {
    const client = new UflowClient(options);
    this.defer(() => client.close());
    return client;
  }

  async folder() {
    const folder = await mkdtemp(path.join(tmpdir(), 'uflow-node-'));
    this.defer(() => rm(folder, { recursive: true }));
    return folder;
  }

  /** Starts a server; `loaded` says when its model takes frames. */
  async start(...options) {
    const server = new Server(options);
    this.defer(() => server.kill());
    await server.start();
    return server;
  }

  /** Starts a server and waits until its model takes frames. */
  async serve(...options) {
    const server = await this.start(...options);
    await server.loaded();
    return server;
  }
}

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
process.once('SIGTERM', () => process.exit(1));

/** A `uflow serve` process. */
class Server {
  address = '127.0.0.1:0';
  #options;
  #child;
  #log = [];
  #ready;

  constructor(options) {
    this.#options = options;
  }

  /** Starts the server, after the first time on the same port again, and waits until it listens. */
  async start() {
    const where = ['--models', await models(), '--grpc', this.address, '--http', '127.0.0.1:0'];
    const child = spawn(program, ['serve', ...where, ...this.#options], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
    running.add(child);
    this.#child = child;
    const exited = once(child, 'exit').then(() => {
      running.delete(child);
      throw new Error(`the server ended:\n${this.#log.join('\n')}`);
    });
    const ready = withResolvers();
    const listening = withResolvers();
    createInterface(child.stderr).on('line', (line) => {
      this.#log.push(line);
      const found = /listening grpc=(\S+)/.exec(line);
      if (found) {
        listening.resolve(found[1]);
      }
      if (line.includes('model is ready')) {
        ready.resolve();
      }
    });
    this.#ready = Promise.race([ready.promise, exited]);
    this.#ready.catch(() => undefined);
    exited.catch(() => undefined);
    this.address = await within('the server listens', Promise.race([listening.promise, exited]));
  }

  loaded() {
    return within('the model is loaded', this.#ready);
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Ends the server with a signal and waits for the end. */
  async kill(signal = 'SIGKILL') {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await within('the server ends', exited);
    }
  }
}

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
