import type { BoardState, TimelineEntry } from './protocol.ts';

/** Between two pictures, in ms; also what keeps proxies from closing a connection that is idle. */
const EVERY = 1_000;
/** The most pages that are open at once. */
const MOST = 200;

interface Source {
  /** Looks again. */
  refresh(): Promise<void>;
  picture(): BoardState;
  timelineSince(number: number): readonly TimelineEntry[];
}

type Viewer = { send: (text: string) => void; end: () => void; seen: number };

/** Sends the picture to all who look, once a second, made once for all. Does nothing while nobody looks. */
export class Stream {
  private readonly viewers = new Set<Viewer>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly source: Source) {}

  /** @returns `undefined` where too many look already */
  open(): ReadableStream<Uint8Array> | undefined {
    if (this.closed || this.viewers.size >= MOST) return undefined;
    const encoder = new TextEncoder();
    let viewer: Viewer;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        viewer = {
          seen: 0,
          send: (text) => {
            // A reader that is gone or far behind gets the next picture, or none.
            if ((controller.desiredSize ?? 0) > -50) controller.enqueue(encoder.encode(text));
          },
          end: () => controller.close(),
        };
        viewer.send('retry: 1000\n\n');
        this.viewers.add(viewer);
        if (this.timer === undefined) this.tick();
        else this.tell(viewer, message('state', this.source.picture()));
      },
      cancel: () => void this.viewers.delete(viewer),
    });
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const viewer of this.viewers) viewer.end();
    this.viewers.clear();
  }

  private tick(): void {
    const next = async (): Promise<void> => {
      await this.source.refresh();
      const state = message('state', this.source.picture());
      for (const viewer of this.viewers) this.tell(viewer, state);
      if (this.viewers.size === 0 || this.closed) this.timer = undefined;
      else this.timer = setTimeout(() => this.tick(), EVERY).unref();
    };
    // Until the first look is over there is no other.
    this.timer ??= setTimeout(() => {}, 0);
    void next();
  }

  private tell(viewer: Viewer, state: string): void {
    const entries = this.source.timelineSince(viewer.seen);
    viewer.seen = entries.at(-1)?.number ?? viewer.seen;
    viewer.send(entries.length === 0 ? state : message('timeline', entries) + state);
  }
}

function message(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
