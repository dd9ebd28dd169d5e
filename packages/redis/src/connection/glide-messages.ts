import { script } from '../scripts/script.ts';
import type { GlideClient } from './glide-types.ts';
import type { MessageConnection, MessageListener } from './port.ts';

/** How long the server may take for its answer on a connection of our own, in ms. */
const REQUEST_TIMEOUT = 3_000;

/** How long a channel may take, in ms: a server that refuses one is asked again and again until then. */
const SUBSCRIBE_TIMEOUT = 1_000;

/**
 * In what a client of our own differs from the user's. All else (addresses, credentials, TLS) stays as
 * the user has it.
 */
const OWN = {
  lazyConnect: false,
  requestTimeout: REQUEST_TIMEOUT,
  // Messages come with the newer one only, which is the default.
  protocol: undefined,
  defaultDecoder: 1,
  readFrom: 'primary',
  clientSideCache: undefined,
};

/** A server that does not know it any more is another one, or has forgotten more than that. */
const MARK = script("return 'known'");

interface Message {
  readonly message: unknown;
}

/** What a client for messages needs beside the members of all clients. */
interface MessageClient extends GlideClient {
  subscribe?(channels: ReadonlySet<string>, ms: number): Promise<unknown>;
}

/** What makes a client, and what it was made from. */
interface Origin {
  readonly config?: object | undefined;
  readonly constructor: { createClient?(config: object): Promise<MessageClient> };
}

/**
 * A connection for messages. GLIDE has no copies of a client, and takes what is done with messages only
 * when a client is made: so another one is made, from the same configuration. It connects anew by itself,
 * and listens again to what it has listened to, but does not tell so: a script shows whether the server
 * is still the one that it was.
 */
export class GlideMessages implements MessageConnection {
  private client: MessageClient | undefined;
  private isClosed = false;

  constructor(
    original: GlideClient,
    private readonly listener: MessageListener,
  ) {
    this.open(original).catch((error: unknown) => {
      if (!this.isClosed) listener.ended(error instanceof Error ? error : undefined);
    });
  }

  async listen(channels: readonly string[]): Promise<void> {
    const { client } = this;
    if (typeof client?.subscribe !== 'function') {
      throw new TypeError('This version of GLIDE cannot listen to channels while it is connected.');
    }
    try {
      await client.subscribe(new Set(channels), SUBSCRIBE_TIMEOUT);
    } catch (error) {
      // What the server has said is not told. One that answers all else has refused it.
      await this.ping();
      throw new Error('NOPERM The user of the client may not subscribe to the channel.', {
        cause: error,
      });
    }
  }

  async ping(): Promise<void> {
    await this.mark('EVALSHA', MARK.sha);
  }

  close(): void {
    this.isClosed = true;
    this.client?.close();
  }

  private async open(original: GlideClient): Promise<void> {
    const { config, constructor } = original as unknown as Origin;
    if (config === undefined || constructor.createClient === undefined) {
      throw new Error('The configuration of the client is not known.');
    }
    const callback = ({ message }: Message): void => {
      if (!this.isClosed) this.listener.message(String(message));
    };
    const pubsubSubscriptions = { channelsAndPatterns: {}, callback };
    const client = await constructor.createClient({ ...config, ...OWN, pubsubSubscriptions });
    if (this.isClosed) {
      client.close();
      return;
    }
    this.client = client;
    await this.mark('EVAL', MARK.source);
    if (!this.isClosed) this.listener.opened();
  }

  /** On all servers of a Cluster. */
  private async mark(command: string, text: string): Promise<void> {
    const { client } = this;
    if (client === undefined) return;
    const options = 'invokeScriptWithRoute' in client ? { route: 'allPrimaries' } : {};
    await client.customCommand([command, text, '0'], options);
  }
}
