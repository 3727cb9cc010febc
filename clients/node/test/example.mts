// The examples of the README, compiled against the package's types.
import { readFile } from 'node:fs/promises';
import { type Frame, MaskFormat, PixelFormat, StreamError, UflowClient, UflowError } from 'uflow';

/** One frame from a file, with a reject rate and a mask. */
export async function oneFrame(): Promise<void> {
  await using client = new UflowClient({ address: '127.0.0.1:8001' });
  try {
    const { detection } = await client.detect(
      {
        model: 'bracket',
        encoded: await readFile('frame.png'),
        options: { rejectRate: 0.001 },
        outputs: { mask: MaskFormat.PNG },
      },
      { timeoutMs: 5000 },
    );
    console.log(detection.anomalous, detection.score, detection.regions.length, detection.mask?.data.length);
  } catch (error) {
    if (error instanceof UflowError && error.code === 'INVALID_ARGUMENT') {
      console.error('this frame cannot be used:', error.details);
    } else {
      throw error;
    }
  }
}

/** A camera's frames on a stream, which survives restarts of the server. */
export async function camera(pictures: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  await using client = new UflowClient({ address: '127.0.0.1:8001' });
  async function* frames(): AsyncGenerator<Frame> {
    for await (const pixels of pictures) {
      yield { model: 'bracket', raw: { pixels, width: 640, height: 480, format: PixelFormat.GRAY8 } };
    }
  }
  const options = {
    signal,
    frameTimeoutMs: 2000,
    maxOutageMs: 60_000,
    onConnect: ({ outageMs, unanswered }: { outageMs: number; unanswered: number }) =>
      console.error(`connected after ${outageMs} ms; ${unanswered} frames are sent again`),
  };
  try {
    for await (const { sequence, error, response } of client.detectAll(frames(), options)) {
      console.log(sequence, error?.code ?? response?.detection?.anomalous);
    }
  } catch (error) {
    if (error instanceof StreamError) {
      console.error(error.message, error.cause.code, error.unanswered[0]?.frame.model);
    }
    throw error;
  }
}

/** Sending and receiving apart, with TLS and a token. */
export async function apart(files: string[]): Promise<void> {
  await using client = new UflowClient({
    address: 'inspection.example:8001',
    tls: { caFile: 'ca.pem', certFile: 'client.pem', keyFile: 'client.key' },
    tokenFile: 'token',
  });
  await using stream = client.openStream({ inFlight: 16 });
  const send = async () => {
    for (const file of files) {
      await stream.send({ model: 'bracket', encoded: await readFile(file) });
    }
    stream.closeSend();
  };
  const receive = async () => {
    for await (const result of stream) {
      console.log(files[result.sequence - 1], result.detection.anomalous);
    }
  };
  await Promise.all([send(), receive()]);
}

// @ts-expect-error: an option of this name does not exist.
new UflowClient({ adress: '127.0.0.1:8001' });
