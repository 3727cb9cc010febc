import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, type ClientDuplexStream, connectivityState, Metadata } from '@grpc/grpc-js';
import { asError, UflowError } from './errors';
import { DetectResponse } from './generated/uflow/v1/detection';
import {
  GetModelRequest,
  GetModelResponse,
  ListModelsRequest,
  ListModelsResponse,
  LoadModelRequest,
  LoadModelResponse,
  UnloadModelRequest,
  UnloadModelResponse,
} from './generated/uflow/v1/model';
import type { Settings } from './options';
import { viewOf } from './request';
import { Credentials } from './tls';

/** How long the server may take to answer a ping. */
const PING_ANSWER_MS = 10_000;

/** Bytes that the server may send ahead on a call. The default of HTTP/2, 64 KB, makes large masks wait for the network. */
const FLOW_CONTROL_WINDOW = 1 << 20;

const STREAM_PATH = '/uflow.v1.DetectionService/DetectStream';

/** A method with one request and one answer. */
export interface Method<Request, Answer> {
  readonly path: string;
  encode(request: Request): Buffer;
  decode(bytes: Buffer): Answer;
}

function method<Request, Answer>(
  path: string,
  request: { encode(message: Request): { finish(): Uint8Array } },
  answer: { decode(bytes: Uint8Array): Answer },
): Method<Request, Answer> {
  return { path, encode: (message) => viewOf(request.encode(message).finish()), decode: (bytes) => answer.decode(bytes) };
}

/** The requests of Detect are encoded before. */
export const DETECT: Method<Buffer, DetectResponse> = {
  path: '/uflow.v1.DetectionService/Detect',
  encode: (bytes) => bytes,
  decode: (bytes) => DetectResponse.decode(bytes),
};
export const LIST_MODELS = method('/uflow.v1.ModelService/ListModels', ListModelsRequest, ListModelsResponse);
export const GET_MODEL = method('/uflow.v1.ModelService/GetModel', GetModelRequest, GetModelResponse);
export const LOAD_MODEL = method('/uflow.v1.ModelService/LoadModel', LoadModelRequest, LoadModelResponse);
export const UNLOAD_MODEL = method('/uflow.v1.ModelService/UnloadModel', UnloadModelRequest, UnloadModelResponse);

/** `grpc.health.v1`: the service's name is field 1, the status of the answer too. */
export const CHECK_HEALTH: Method<string, number> = {
  path: '/grpc.health.v1.Health/Check',
  encode: (service) => viewOf(new BinaryWriter().uint32(10).string(service).finish()),
  decode: (bytes) => {
    const reader = new BinaryReader(bytes);
    let status = 0;
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === 1) {
        status = reader.int32();
      } else {
        reader.skip(type);
      }
    }
    return status;
  },
};

/** The limits of one call. */
export interface CallLimits {
  /** By the clock of `Date.now`; Infinity means no limit. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** A channel of gRPC with its own connection. It can say why TLS failed, and it can end the connection at once. */
export class Channel {
  readonly #client: Client;
  readonly #credentials: Credentials;

  constructor(settings: Settings) {
    this.#credentials = new Credentials(settings.tls);
    this.#client = new Client(settings.address, this.#credentials, {
      'grpc.primary_user_agent': settings.userAgent,
      'grpc.keepalive_time_ms': settings.keepaliveMs,
      'grpc.keepalive_timeout_ms': PING_ANSWER_MS,
      'grpc.initial_reconnect_backoff_ms': settings.backoff.initialMs,
      'grpc.max_reconnect_backoff_ms': settings.backoff.maxMs,
      // gRPC's own limit of 4 MB would end a stream for one large mask. The server has a limit for its answers.
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW,
      'grpc.service_config_disable_resolution': 1,
      // The client decides what is tried again, and when.
      'grpc.enable_retries': 0,
      // A channel that is made anew must not get the connection of one that stalled.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_channelz': 0,
      ...(settings.tls?.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': settings.tls.serverName }),
      ...settings.grpcOptions,
    });
  }

  /** One try of a call. Rejects with an UflowError. */
  call<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    header: string | undefined,
    limits: CallLimits,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const cancel = () => call.cancel();
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.encode,
        method.decode,
        request,
        metadata(header),
        { deadline: limits.deadline },
        (error, answer) => {
          limits.signal.removeEventListener('abort', cancel);
          if (error === null) {
            resolve(answer as Answer);
          } else {
            reject(this.explain(error));
          }
        },
      );
      limits.signal.addEventListener('abort', cancel, { once: true });
    });
  }

  /** Begins a stream of frames. Its messages are encoded before. */
  stream(header: string | undefined): ClientDuplexStream<Buffer, DetectResponse> {
    const encode = (bytes: Buffer) => bytes;
    return this.#client.makeBidiStreamRequest(STREAM_PATH, encode, DetectResponse.decode, metadata(header), {});
  }

  /**
   * Calls back once, when the server has asked for the end of the connection: the channel then leaves READY, while a stream on the
   * connection still works. A lost connection looks the same, and so does `close`.
   */
  whenLeaving(callback: () => void): void {
    const channel = this.#client.getChannel();
    if (channel.getConnectivityState(false) === connectivityState.READY) {
      channel.watchConnectivityState(connectivityState.READY, Infinity, callback);
    } else {
      callback();
    }
  }

  /** Calls back if a connection takes longer than the limit. gRPC waits as long as the system does, which can be minutes. */
  whenStuck(limitMs: number, callback: () => void): void {
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(false);
    if (state === connectivityState.SHUTDOWN) {
      return;
    }
    const limit = state === connectivityState.CONNECTING ? Date.now() + limitMs : Infinity;
    channel.watchConnectivityState(state, limit, (late) => {
      if (late) {
        callback();
      } else {
        this.whenStuck(limitMs, callback);
      }
    });
  }

  /** The error of a call, with the TLS failure, if there was one. */
  explain(error: unknown): UflowError {
    const failed = asError(error);
    const { refused } = this.#credentials;
    return refused === undefined || failed.code !== 'UNAVAILABLE'
      ? failed
      : new UflowError(failed.code, failed.details, { cause: refused, certificate: true });
  }

  /** Ends the channel and its calls, and returns when its connections are gone. */
  async close(): Promise<void> {
    this.#client.close();
    await this.#credentials.destroySockets();
  }
}

function metadata(header: string | undefined): Metadata {
  const made = new Metadata();
  if (header !== undefined) {
    made.set('authorization', header);
  }
  return made;
}
