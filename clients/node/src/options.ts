import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { SecureContext } from 'node:tls';
import type { ClientOptions as GrpcOptions } from '@grpc/grpc-js';
import type { Backoff } from './backoff';
import { UflowError } from './errors';

/** The version of this client. The default user agent contains it. */
export const VERSION = '0.1.0';

/** TLS. Without files, the authorities of Node are used and the client shows no certificate. */
export interface TlsOptions {
  /** A PEM file with the authorities that the server's certificate must come from. */
  caFile?: string;
  /**
   * A PEM file with the certificate that this client shows to the server, and its chain. It is read again for each connection, so
   * that it can be replaced while the program runs.
   */
  certFile?: string;
  /** A PEM file with the key of that certificate. */
  keyFile?: string;
  /** The name that the server's certificate must have. Default: the host of the address. */
  serverName?: string;
  /** A context that the caller made with `tls.createSecureContext`, instead of the files. */
  secureContext?: SecureContext;
}

/** Says where the server is and how to talk to it. Only `address` is required. */
export interface ClientOptions {
  /** The server's gRPC port, for example `inspection.example:8001`. Any target of gRPC is accepted. */
  address: string;
  /** Turns TLS on. `true` means TLS with the authorities of Node. */
  tls?: boolean | TlsOptions;
  /** The bearer token. Without TLS it crosses the network unencrypted. */
  token?: string;
  /** A file with the token, which is read again for each call. Set `token` or `tokenFile`, not both. */
  tokenFile?: string;
  /** The time limit for a call that names none. Retries do not extend it. Default: 30 s. `Infinity` means no limit. Streams have limits of their own. */
  timeoutMs?: number;
  /** The most tries of a call. Default: as many as the time limit allows. 1 means no retries. */
  maxAttempts?: number;
  /** Bounds the pauses before tries, also those of streams. */
  backoff?: Partial<Backoff>;
  /** The time limit for one connection: TCP, TLS, HTTP/2 and, on a stream, the server's headers. Default: 10 s. */
  connectTimeoutMs?: number;
  /**
   * The time after which the client pings a server that has a call. A server that does not answer the ping within 10 s counts as lost.
   * Default: 20 s. The U-Flow server accepts pings at any rate; a proxy between may not.
   */
  keepaliveMs?: number;
  /** Replaces the default, `uflow-node/<version>`. gRPC appends its own name. */
  userAgent?: string;
  /** Options of grpc-js that come after those that the client sets, for example interceptors. */
  grpcOptions?: GrpcOptions;
}

/** Checked options, without gaps. */
export interface Settings {
  readonly address: string;
  readonly tls: TlsOptions | undefined;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly backoff: Backoff;
  readonly connectTimeoutMs: number;
  readonly keepaliveMs: number;
  readonly userAgent: string;
  readonly grpcOptions: GrpcOptions;
}

/** Throws a TypeError or a RangeError that names the option. */
export function settingsOf(options: ClientOptions): Settings {
  if (typeof options?.address !== 'string' || options.address === '') {
    throw new TypeError('address is missing; give the server\'s gRPC port, for example "127.0.0.1:8001"');
  }
  if (options.token !== undefined && options.tokenFile !== undefined) {
    throw new TypeError('token and tokenFile are both set; set one of them');
  }
  if (options.token !== undefined) {
    authorization(options.token);
  }
  if (options.tokenFile !== undefined) {
    authorization(readFileSync(options.tokenFile, 'utf8'));
  }
  return {
    address: options.address,
    tls: options.tls === true ? {} : options.tls === false ? undefined : options.tls && { ...options.tls },
    token: options.token,
    tokenFile: options.tokenFile,
    timeoutMs: positive('timeoutMs', options.timeoutMs, 30_000),
    maxAttempts: positive('maxAttempts', options.maxAttempts, Infinity),
    backoff: {
      initialMs: positive('backoff.initialMs', options.backoff?.initialMs, 100),
      maxMs: positive('backoff.maxMs', options.backoff?.maxMs, 5_000),
    },
    connectTimeoutMs: finite('connectTimeoutMs', options.connectTimeoutMs, 10_000),
    keepaliveMs: finite('keepaliveMs', options.keepaliveMs, 20_000),
    userAgent: options.userAgent ?? `uflow-node/${VERSION}`,
    grpcOptions: options.grpcOptions ?? {},
  };
}

/** An option that must be above 0. */
export function positive(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) {
    return otherwise;
  }
  if (typeof value !== 'number' || !(value > 0)) {
    throw new RangeError(`${name} must be a number above 0, not ${value}`);
  }
  return value;
}

function finite(name: string, value: number | undefined, otherwise: number): number {
  const checked = positive(name, value, otherwise);
  if (checked === Infinity) {
    throw new RangeError(`${name} must be finite`);
  }
  return checked;
}

/** The header for a token. */
function authorization(token: string): string {
  const trimmed = token.trim();
  if (!/^[!-~]+$/.test(trimmed)) {
    throw new TypeError('the token is empty or has characters that an HTTP header cannot carry');
  }
  return `Bearer ${trimmed}`;
}

/** The header for the next call, if there is a token. A file that is being replaced may be missing for a moment: UNAVAILABLE. */
export async function authorizationOf(settings: Settings): Promise<string | undefined> {
  if (settings.tokenFile === undefined) {
    return settings.token === undefined ? undefined : authorization(settings.token);
  }
  try {
    return authorization(await readFile(settings.tokenFile, 'utf8'));
  } catch (error) {
    throw new UflowError('UNAVAILABLE', `the token cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
