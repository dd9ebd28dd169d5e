import { Socket } from 'node:net';

/** The start of a request, on which all clients agree. */
const REQUEST = /(?:^|\r\n)\*\d+\r\n\$/g;

/** Counts the requests that this process sends, by whatever client, if it was started for that. */
export function countRequests(): () => number {
  if (!process.argv.includes('--count')) return () => 0;
  let count = 0;
  const prototype = Socket.prototype as unknown as { write: (...args: unknown[]) => boolean };
  const { write } = prototype;
  prototype.write = function (this: Socket, ...args: unknown[]): boolean {
    const [chunk] = args;
    if (this.remotePort !== undefined && (typeof chunk === 'string' || Buffer.isBuffer(chunk))) {
      count += String(chunk).match(REQUEST)?.length ?? 0;
    }
    return write.apply(this, args);
  };
  return () => count;
}
