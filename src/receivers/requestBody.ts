import type { IncomingMessage, ServerResponse } from 'node:http';

/** The bytes of a body; or why there are none: it is larger than it may be, there is no room now, the client left. */
export type BodyRead = Buffer | 'too large' | 'busy' | 'gone';

/** Of a body that nobody will read: so much, and so long, is waited for its end, so that the client reads the answer. */
const MOST_DISCARDED_BYTES = 33_554_432;
const LONGEST_DISCARD_MS = 10_000;
const EMPTY = Buffer.alloc(0);

/**
 * Reads bodies as they came, each up to a limit, and all that are not answered yet up to another: many large ones that trickle
 * in, or wait for a slow database, must not fill the memory.
 */
export class BodyReader {
  readonly #mostBytes: number;
  readonly #mostHeld: number;
  #held = 0;

  constructor(mostBytes: number, mostHeld: number) {
    this.#mostBytes = mostBytes;
    this.#mostHeld = mostHeld;
  }

  /** Never rejects. What is not read is for {@link discardBody}. */
  read(request: IncomingMessage, response: ServerResponse): Promise<BodyRead> {
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > this.#mostBytes) return Promise.resolve('too large');
    if (announced === 0 && request.headers['transfer-encoding'] === undefined) {
      request.resume();
      return Promise.resolve(EMPTY);
    }
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let size = 0;
      let isOver = false;
      const release = (): void => {
        this.#held -= size;
        size = 0;
      };
      response.once('close', release);
      const done = (result: BodyRead): void => {
        // The listeners stay: to take four off costs as much as all the rest of this.
        if (isOver) return;
        isOver = true;
        if (typeof result === 'string') release();
        resolve(result);
      };
      const take = (chunk: Buffer): void => {
        if (isOver) return;
        size += chunk.length;
        this.#held += chunk.length;
        chunks.push(chunk);
        if (size > this.#mostBytes) done('too large');
        else if (this.#held > this.#mostHeld) done('busy');
      };
      const end = (): void => {
        const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
        // What waits for its answer is kept once, by whoever was given it.
        chunks.length = 0;
        done(body);
      };
      const leave = (): void => done('gone');
      request.on('data', take).on('end', end).on('close', leave).on('error', leave);
    });
  }
}

/** Lets the rest of a body pass by, and cuts the connection where it does not end. */
export const discardBody = (request: IncomingMessage): void => {
  if (request.complete || request.destroyed) return;
  let size = 0;
  const cut = (): void => void request.destroy();
  const timer = setTimeout(cut, LONGEST_DISCARD_MS).unref();
  request
    .on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MOST_DISCARDED_BYTES) cut();
    })
    .on('close', () => clearTimeout(timer))
    .on('end', () => clearTimeout(timer))
    .on('error', () => undefined) // a client that leaves has its answer, or does not want one
    .resume();
};
