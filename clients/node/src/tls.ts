import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { TlsOptions } from './options';

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;
type ConnectorArguments = Parameters<ChannelCredentials['_createSecureConnector']>;

/** Reads the files of TLS. Throws for files that cannot be used. */
export function secureContext(options: TlsOptions): SecureContext {
  if (options.secureContext !== undefined) {
    return options.secureContext;
  }
  if ((options.certFile === undefined) !== (options.keyFile === undefined)) {
    throw new TypeError('tls.certFile and tls.keyFile belong together; set both or neither');
  }
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const ca = read(options.caFile);
  if (ca !== undefined) {
    try {
      new X509Certificate(ca);
    } catch (error) {
      throw new TypeError(`${options.caFile} has no PEM certificate that can be read`, { cause: error });
    }
  }
  try {
    return createSecureContext({ ca, cert: read(options.certFile), key: read(options.keyFile), minVersion: 'TLSv1.2' });
  } catch (error) {
    const pair = `${options.certFile} with the key ${options.keyFile}`;
    throw new TypeError(`the client certificate ${pair} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

/** OpenSSL's names for what can be wrong with a certificate, and Node's own. An alert that the server sent is not among them. */
const CERTIFICATE = /^(?!ERR_SSL_)(.*CERT.*|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|UNABLE_TO_.*)$/;
/** The server does not speak TLS. */
const NOT_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/;

/**
 * The credentials of one channel. They know what gRPC does not tell: the sockets of the channel, so that a server which is silent can
 * be left at once, and why TLS failed. gRPC passes that on as text with the code UNAVAILABLE, which does not tell a wrong certificate
 * from a server that restarts.
 *
 * The base class is public, its methods are not: package.json pins grpc-js, and the tests on TLS and on frozen servers use all of them.
 */
export class Credentials extends ChannelCredentials {
  /** Why TLS was refused by this side, if the last try failed so. */
  refused: Error | undefined;
  readonly #tls: TlsOptions | undefined;
  readonly #sockets = new Set<Socket>();
  #closed = false;

  constructor(tls: TlsOptions | undefined) {
    super();
    this.#tls = tls;
  }

  override _isSecure(): boolean {
    return this.#tls !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(...where: ConnectorArguments): Connector {
    const plain = ChannelCredentials.createInsecure()._createSecureConnector(...where);
    const connector = () => {
      const made = this.#tls && ChannelCredentials.createFromSecureContext(secureContext(this.#tls));
      return made === undefined ? plain : made._createSecureConnector(...where);
    };
    return {
      connect: async (socket) => {
        try {
          this.#track(socket);
          const made = await connector().connect(socket);
          this.#track(made.socket);
          this.refused = undefined;
          return made;
        } catch (error) {
          const code = String((error as NodeJS.ErrnoException).code);
          this.refused = CERTIFICATE.test(code) || NOT_TLS.test(code) ? (error as Error) : undefined;
          throw error;
        }
      },
      waitForReady: () => plain.waitForReady(),
      getCallCredentials: () => plain.getCallCredentials(),
      destroy: () => plain.destroy(),
    };
  }

  /** Notes a socket. A socket that comes after the end of the channel, because it was connecting, is destroyed. */
  #track(socket: Socket): void {
    if (this.#closed) {
      socket.destroy();
      throw new Error('the channel is closed');
    }
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  /** Ends the connections and returns when they are gone. */
  async destroySockets(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      [...this.#sockets].map((socket) => {
        const gone = socket.closed ? undefined : once(socket, 'close').catch(() => undefined);
        socket.destroy();
        return gone;
      }),
    );
  }
}
