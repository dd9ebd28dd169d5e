import {
  GUARD_HEADER,
  type BoardState,
  type LockDetails,
  type LockPageReply,
  type LockRow,
  type ReleaseRequest,
  type TimelineEntry,
} from '../src/protocol.ts';

async function ask<T>(path: string, init?: RequestInit): Promise<T | undefined> {
  const response = await fetch(path, { ...init, credentials: 'same-origin' });
  if (response.status === 404) return undefined;
  if (response.ok) return (await response.json()) as T;
  const { title } = (await response.json().catch(() => ({}))) as { title?: string };
  throw new Error(title ?? `The server answered ${response.status}.`);
}

export async function page(
  locker: string,
  filter: string,
  cursor?: string,
): Promise<LockPageReply> {
  const query = new URLSearchParams({ locker });
  if (filter !== '') query.set('filter', filter);
  if (cursor !== undefined) query.set('cursor', cursor);
  return (await ask<LockPageReply>(`./api/locks?${query}`)) ?? { locks: [] };
}

export function details({ locker, id }: LockRow): Promise<LockDetails | undefined> {
  return ask<LockDetails>(`./api/lock?${new URLSearchParams({ locker, id })}`);
}

export async function release(request: ReleaseRequest): Promise<boolean> {
  const reply = await ask<{ released: boolean }>('./api/release', {
    method: 'POST',
    headers: { 'content-type': 'application/json', [GUARD_HEADER]: '1' },
    body: JSON.stringify(request),
  });
  return reply?.released ?? false;
}

interface Listener {
  state(state: BoardState): void;
  timeline(entries: readonly TimelineEntry[]): void;
  connected(is: boolean): void;
}

/** @returns ends it */
export function listen(listener: Listener): () => void {
  const source = new EventSource('./api/events');
  const data = (event: Event): unknown => JSON.parse((event as MessageEvent<string>).data);
  source.addEventListener('open', () => listener.connected(true));
  source.addEventListener('error', () => listener.connected(false));
  source.addEventListener('state', (event) => listener.state(data(event) as BoardState));
  source.addEventListener('timeline', (event) =>
    listener.timeline(data(event) as readonly TimelineEntry[]),
  );
  return () => source.close();
}
