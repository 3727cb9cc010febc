import { setTimeout as sleepFor } from 'node:timers/promises';

/**
 * Bounds the pauses between tries. The pause before try n is random between 0 and `initialMs`·2ⁿ, at most `maxMs` ("full jitter"), so
 * that clients which lost the same server do not return at the same moment.
 */
export interface Backoff {
  /** Bounds the first pause. Default: 100 ms. */
  initialMs: number;
  /** Bounds every pause. Default: 5 s. */
  maxMs: number;
}

/** The longest pause after a number of failed tries. */
export function pauseLimit({ initialMs, maxMs }: Backoff, tries: number): number {
  return Math.min(initialMs * 2 ** Math.min(tries, 1000), maxMs);
}

/** A random pause after a number of failed tries, in milliseconds. */
export function pause(backoff: Backoff, tries: number): number {
  return Math.random() * pauseLimit(backoff, tries);
}

/** The longest delay of a timer of Node. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A delay that a timer accepts. It is not rounded down, so that the limit is over when the timer fires. */
export function timerDelay(milliseconds: number): number {
  return Math.min(Math.max(Math.ceil(milliseconds), 0), LONGEST_TIMER_MS);
}

/** Returns false if the signal comes first. */
export async function sleep(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleepFor(timerDelay(milliseconds), undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
