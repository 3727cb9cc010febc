// A server with behaviour that the real one does not show on request.
import { Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { DetectRequest, DetectResponse } from '../../dist/generated/uflow/v1/detection.js';
import { QUICK } from './stream.mjs';

const method = (path, stream) => ({
  path: `/uflow.v1.DetectionService/${path}`,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: (message) => Buffer.from(DetectRequest.encode(message).finish()),
  requestDeserialize: (bytes) => DetectRequest.decode(bytes),
  responseSerialize: (message) => Buffer.from(DetectResponse.encode(DetectResponse.fromPartial(message)).finish()),
  responseDeserialize: (bytes) => DetectResponse.decode(bytes),
});
const SERVICE = { Detect: method('Detect', false), DetectStream: method('DetectStream', true) };

/** `stream` gets the number of the call and the call; `detect` also returns the answer. */
export class Fake {
  calls = 0;
  #server;

  constructor({ stream, detect }, options = {}) {
    this.#server = new Server(options);
    this.#server.addService(SERVICE, {
      DetectStream: (call) => {
        this.calls += 1;
        call.on('error', () => undefined);
        stream?.(this.calls, call);
      },
      Detect: (call, callback) => {
        this.calls += 1;
        try {
          callback(null, detect(this.calls, call.request, call.metadata));
        } catch (error) {
          callback(error);
        }
      },
    });
  }

  /** Starts the server and returns its port. */
  async start(scope) {
    const port = await new Promise((resolve, reject) =>
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
    );
    scope.defer(async () => this.#server.forceShutdown());
    return port;
  }

  /** Starts the server and makes a client of it. */
  async client(scope, options = {}) {
    const port = await this.start(scope);
    return scope.client({ address: `127.0.0.1:${port}`, backoff: QUICK, ...options });
  }
}

export const failed = (code, details) => ({ code: status[code], details });

/** Sends the headers of the real server. */
export function announce(call, window = 16) {
  const headers = new Metadata();
  headers.set('uflow-stream-window', String(window));
  call.sendMetadata(headers);
}

export const answer = ({ sequence, model }) => ({ sequence, model, detection: { score: Number(sequence) } });

export const refusal = ({ sequence }, code, message) => ({ sequence, error: { code: status[code], message } });

/** Answers every frame, by `reply` if it is given. It gets the request and the number of the frame on this connection. */
export function echo(call, reply = (request) => [answer(request)]) {
  announce(call);
  let count = 0;
  call.on('data', (request) => {
    count += 1;
    for (const message of reply(request, count)) {
      call.write(message);
    }
  });
  call.on('end', () => call.end());
}
