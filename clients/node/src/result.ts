import type { UflowError } from './errors';
import type { Detection, DetectResponse } from './generated/uflow/v1/detection';
import type { Frame } from './request';

/** The verdict on one frame of a stream, or why there is none. */
export class Result {
  constructor(
    /** The number that `send` returned: 1 for the first frame of the stream, then 2, and so on. */
    readonly sequence: number,
    /** The object that was given to `send`. */
    readonly frame: Frame,
    /** The server's answer. Undefined if the client answered in its place; `error` then says why. */
    readonly response: DetectResponse | undefined,
    /** Says why this frame has no detection. The stream goes on. */
    readonly error: UflowError | undefined,
  ) {}

  /** The detection. Throws {@link error} if this frame has none. */
  get detection(): Detection {
    if (this.error !== undefined) {
      throw this.error;
    }
    // An answer without an error has a detection.
    return this.response?.detection as Detection;
  }
}
