import { Answers } from './answers.ts';
import type { GlideClient, GlideClusterClient } from './glide-types.ts';
import { GlideMessages } from './glide-messages.ts';
import { onePerClient } from './one-per-client.ts';
import type {
  ClientPort,
  ClientState,
  ClientWatcher,
  MessageConnection,
  MessageListener,
  Primary,
} from './port.ts';
import { Watchers } from './watchers.ts';

// All that is GLIDE's own, version 2. It has no events, connects anew by itself, and tells nothing of it.

/** Replies as texts: GLIDE's `Decoder.String`. */
const TEXT = { decoder: 1 };

/** So many requests may be under way at once, unless the user says otherwise: GLIDE fails all others. */
const IN_FLIGHT = 1_000;

/** GLIDE's names of what servers answer, where it does not leave the server's own. */
const CODES: Readonly<Record<string, string>> = {
  Ask: 'ASK',
  AuthenticationFailed: 'NOAUTH',
  BusyLoadingError: 'LOADING',
  ClusterDown: 'CLUSTERDOWN',
  CrossSlot: 'CROSSSLOT',
  ExecAbortError: 'EXECABORT',
  MasterDown: 'MASTERDOWN',
  Moved: 'MOVED',
  NoScriptError: 'NOSCRIPT',
  NotBusy: 'NOTBUSY',
  PermissionDenied: 'NOPERM',
  ReadOnly: 'READONLY',
  ResponseError: 'ERR',
  TryAgain: 'TRYAGAIN',
};

/** The port of a client that has the shape of one of GLIDE's; always the same one. */
export const glidePort = onePerClient((client) =>
  isGlide(client) ? new GlidePort(client) : undefined,
);

function isGlide(client: object): client is GlideClient | GlideClusterClient {
  const { customCommand, invokeScript, close } = client as Partial<GlideClient>;
  return [customCommand, invokeScript, close].every((member) => typeof member === 'function');
}

/** What a client has beside its public members. */
interface Inside {
  readonly isClosed?: boolean | undefined;
  readonly config?: { readonly inflightRequestsLimit?: number | undefined } | undefined;
}

/** How a request finds its server in a Cluster. */
type Route = object | 'randomNode';

class GlidePort implements ClientPort {
  readonly keyPrefix = '';
  readonly isCluster: boolean;
  /** It connects anew by itself, between a write and the question how many replicas have it. */
  readonly canWait = false;
  private readonly watchers = new Watchers(() => () => {});
  private readonly answers = new Answers(this.watchers);
  private readonly turns: Turns;

  constructor(private readonly client: GlideClient | GlideClusterClient) {
    this.isCluster = 'invokeScriptWithRoute' in client;
    const { inflightRequestsLimit = IN_FLIGHT } = (client as Inside).config ?? {};
    // Half of them are left to the user.
    this.turns = new Turns(Math.max(1, Math.floor(inflightRequestsLimit / 2)));
  }

  get state(): ClientState {
    return (this.client as Inside).isClosed === true ? 'closed' : 'ready';
  }

  get readOnlyRemedy(): string | undefined {
    return this.isCluster
      ? undefined
      : 'Make a new client: GLIDE finds out which server is the primary when it connects.';
  }

  evalsha(sha: string, keys: number, words: string[]): Promise<unknown> {
    return this.send(['EVALSHA', sha, String(keys), ...words], slotOfKey(words[0]));
  }

  eval(source: string, keys: number, words: string[]): Promise<unknown> {
    return this.send(['EVAL', source, String(keys), ...words], slotOfKey(words[0]));
  }

  /** A client is connected when it has been made, or connects when it is used. */
  connect(): void {}

  watch(watcher: ClientWatcher): () => void {
    return this.watchers.add(watcher);
  }

  openMessages(listener: MessageListener): MessageConnection {
    return new GlideMessages(this.client, listener);
  }

  /** What its client knows of the slots is not to be had. */
  primaryOf(slot: number): string {
    return this.isCluster ? String(slot) : '';
  }

  async primaries(): Promise<readonly Primary[]> {
    if (!this.isCluster) return [this.primary('', undefined)];
    const slots = (await this.send(['CLUSTER', 'SLOTS'], 'randomNode')) as SlotRange[];
    const byAddress = new Map<string, Primary>();
    for (const [, , [host, port]] of slots) {
      const address = `${host}:${port}`;
      const route = { type: 'routeByAddress', host, port };
      byAddress.set(address, this.primary(address, route));
    }
    return [...byAddress.values()];
  }

  addressOf(told: string): string {
    return told;
  }

  private primary(address: string, route: Route | undefined): Primary {
    return {
      address,
      info: async (section) => String(await this.send(['INFO', section], route)),
      scan: (cursor, pattern, count) =>
        this.send(['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(count)], route),
      open: () => {
        throw new Error('GLIDE has no connection that lives once.');
      },
    };
  }

  private send(args: string[], route: Route | undefined): Promise<unknown> {
    const options = this.isCluster && route !== undefined ? { ...TEXT, route } : TEXT;
    const ask = (): Promise<unknown> =>
      this.client.customCommand(args, options).catch((error: unknown) => {
        throw inServersWords(error);
      });
    return this.answers.of(this.turns.take(ask));
  }
}

/** From, to, and the nodes, the master first: each with its host and port. */
type SlotRange = readonly [number, number, readonly [string, number]];

const slotOfKey = (key = ''): Route => ({ type: 'primarySlotKey', key });

const SIGNALLED = /^An error was signalled by the server: - (\w+): /;

/** As `WRONGTYPE Operation …`, of which GLIDE makes `WRONGTYPE: Operation …` and worse. */
function inServersWords(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const message = error.message
    .replace(SIGNALLED, (_, kind: string) => `${CODES[kind] ?? 'ERR'} `)
    .replace(/^([A-Z]{2,}): /, '$1 ');
  const plain = new Error(message);
  plain.name = error.name;
  return plain;
}

/** Keeps more than so many requests from being under way. */
class Turns {
  private taken = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly most: number) {}

  take(ask: () => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        this.taken += 1;
        // The client throws where it has been closed.
        Promise.resolve()
          .then(ask)
          .then(resolve, reject)
          .finally(() => {
            this.taken -= 1;
            this.waiting.shift()?.();
          });
      };
      if (this.taken < this.most) start();
      else this.waiting.push(start);
    });
  }
}
