import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** One connection through a {@link Gate}. */
export class Passage {
  /** From now on neither side hears of the other, and both believe it is there. */
  shut = false;
  /** From now on the client does not hear the server. */
  mute = false;
  /** How many answers of the server the client did not hear. */
  unheard = 0;
  /** Whether the client is still there. */
  open = true;
  private readonly held: Buffer[] = [];

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
  ) {
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
    }
    client.on('close', () => {
      this.open = false;
    });
    client.on('data', (chunk: Buffer) => {
      if (this.shut) this.held.push(chunk);
      else server.write(chunk);
    });
    server.on('data', (chunk: Buffer) => {
      if (this.shut || this.mute) this.unheard += 1;
      else if (!client.destroyed) client.write(chunk);
    });
  }

  /** Bytes that the client has sent since it was shut. */
  get heldBytes(): number {
    return Buffer.concat(this.held).length;
  }

  /** Cuts the client off; what it has sent is kept. */
  cut(): void {
    this.client.resetAndDestroy();
  }

  /** The server gets at last what was kept, and its answers go where the client is, if anywhere. */
  deliver(): void {
    this.shut = false;
    for (const chunk of this.held.splice(0)) this.server.write(chunk);
  }

  end(): void {
    this.client.destroy();
    this.server.destroy();
  }
}

/** A way to a server on which every connection is in the test's hand. */
export class Gate {
  readonly passages: Passage[] = [];
  /** No new connections come about. */
  closed = false;
  /** New connections are shut from the start. */
  shut = false;
  private readonly listener = createServer();

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.listener.on('connection', (client: Socket) => {
      if (this.closed) {
        client.resetAndDestroy();
        return;
      }
      const passage = new Passage(client, connect(target.port, target.host));
      passage.shut = this.shut;
      this.passages.push(passage);
    });
  }

  static async open(target: { readonly host: string; readonly port: number }): Promise<Gate> {
    const gate = new Gate(target);
    gate.listener.listen(0, '127.0.0.1');
    await once(gate.listener, 'listening');
    return gate;
  }

  get address(): string {
    return `127.0.0.1:${(this.listener.address() as AddressInfo).port}`;
  }

  /** How many connections there are now. */
  get open(): number {
    return this.passages.filter((passage) => passage.open).length;
  }

  /** The latest connection. */
  get passage(): Passage {
    const passage = this.passages.at(-1);
    if (passage === undefined) throw new Error('Nobody has come through yet.');
    return passage;
  }

  end(): void {
    this.listener.close();
    for (const passage of this.passages) passage.end();
  }
}
