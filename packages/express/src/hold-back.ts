import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The ways out of a socket, as properties that can be replaced. */
interface Ways {
  write: (this: Socket, ...args: unknown[]) => boolean;
  end: (this: Socket, ...args: unknown[]) => Socket;
  destroy: (this: Socket, error?: Error) => Socket;
}

/**
 * Keeps what a response sends from its client until the returned function is called. The response is
 * ended meanwhile by Node's own means, and so is all that code can see of it: only its bytes stay.
 */
export function holdBack(res: ServerResponse): () => void {
  // Others, as mocks and HTTP/2's, have no socket of their own to write to.
  if (!(res instanceof ServerResponse)) return () => {};
  if (res.socket !== null) return holdSocket(res.socket);
  // A pipelined response gets the socket when those before it are done with it.
  let letGo = (): void => {
    res.removeListener('socket', hold);
  };
  const hold = (socket: Socket): void => {
    letGo = holdSocket(socket);
  };
  res.once('socket', hold);
  return () => letGo();
}

function holdSocket(socket: Socket): () => void {
  const ways = socket as unknown as Ways;
  const { write, end, destroy } = ways;
  const held: unknown[][] = [];
  let open = false;
  const letGo = (): void => {
    if (open) return;
    open = true;
    // Unless somebody has wrapped ours meanwhile.
    if (ways.write === keep) ways.write = write;
    if (ways.end === endAfter) ways.end = end;
    if (ways.destroy === destroyAfter) ways.destroy = destroy;
    // As Node does: what is written to a connection that is gone is forgotten.
    if (socket.destroyed || !socket.writable) return;
    socket.cork();
    for (const args of held) write.apply(socket, args);
    socket.uncork();
  };
  const keep: Ways['write'] = (...args) => {
    if (open) return write.apply(socket, args);
    held.push(args);
    return true;
  };
  // A client that closes its side makes Node close ours: the answer goes first.
  const endAfter: Ways['end'] = (...args) => {
    letGo();
    return end.apply(socket, args);
  };
  // To a server that closes, a connection whose response is ended is idle, and it destroys it: it takes
  // the bytes to be on their way. With an error there is nobody to send them to.
  const destroyAfter: Ways['destroy'] = (error) => {
    if (!error) letGo();
    return destroy.call(socket, error);
  };
  ways.write = keep;
  ways.end = endAfter;
  ways.destroy = destroyAfter;
  return letGo;
}
