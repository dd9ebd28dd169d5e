import { reportWarning, type Locker } from '@holdfast/core';
import { channel } from 'node:diagnostics_channel';
import type { KeyNames } from './key-names.ts';
import type { BoardAction, BoardContext, BoardOptions, BoardRelease } from './options.ts';
import { GUARD_HEADER, type ReleaseRequest } from './protocol.ts';
import { json, problem } from './replies.ts';
import type { Timeline } from './timeline.ts';

/** bytes */
const LONGEST_BODY = 200_000;
const LONGEST_REASON = 500;

const released = channel('holdfast:board-release');

/** Releases by operators: only by whom the application lets, from this page, and with a reason. */
export class Releases {
  constructor(
    private readonly lockers: ReadonlyMap<string, Locker>,
    private readonly names: KeyNames,
    private readonly timeline: Timeline,
    private readonly options: BoardOptions,
  ) {}

  /** Whoever fails to say yes says no. */
  async may(request: Request, action: BoardAction, context: BoardContext): Promise<boolean> {
    const { authorize } = this.options;
    if (authorize === undefined) return false;
    try {
      // From JavaScript it may be anything.
      const answer: unknown = await authorize(request, action, context);
      return answer === true;
    } catch {
      return false;
    }
  }

  async answer(request: Request, context: BoardContext): Promise<Response> {
    if (!fromThisPage(request)) return problem(403, 'Only the page of the board may ask for that.');
    const asked = await read(request);
    if (asked === undefined)
      return problem(400, 'It takes a locker, the id of a lock, and a reason.');
    const { locker: name, id } = asked;
    const reason = asked.reason.trim().slice(0, LONGEST_REASON);
    const locker = this.lockers.get(name);
    const key = this.names.keyOf(id);
    if (locker === undefined || key === undefined || key === '') {
      return problem(404, 'There is no such lock.');
    }
    const action = { type: 'release', locker: name, key } as const;
    if (!(await this.may(request, action, context))) {
      return problem(403, 'You may not release this lock.');
    }
    if (reason === '') return problem(422, 'Say why: others will read it.');
    const holder = await locker.inspect(key);
    const done = await locker.forceRelease(key);
    this.tell(locker, { ...action, reason, released: done, label: holder?.label, request });
    return json({ released: done });
  }

  private tell(source: Locker, release: BoardRelease): void {
    const { locker, key, label, reason } = release;
    const note = `${release.released ? '' : 'was free already; '}${reason}`;
    this.timeline.add({ event: 'operator-release', locker, key, label, note });
    released.publish(release);
    void this.callOnRelease(source, release);
  }

  /** Never rejects: the lock is free, whatever becomes of the record of it. */
  private async callOnRelease(source: Locker, release: BoardRelease): Promise<void> {
    try {
      await this.options.onRelease?.(release);
    } catch (error) {
      reportWarning(
        source,
        'HOLDFAST_ON_RELEASE_FAILED',
        `board: \`onRelease\` failed, so that a release may be missing where it keeps them: ${String(error)}`,
      );
    }
  }
}

/** A form or script of another site cannot send the header, nor claim another site to be its own. */
function fromThisPage({ headers, url }: Request): boolean {
  if (headers.get(GUARD_HEADER) !== '1') return false;
  if (!/^application\/json\b/.test(headers.get('content-type') ?? '')) return false;
  const site = headers.get('sec-fetch-site');
  if (site !== null) return site === 'same-origin';
  const origin = headers.get('origin');
  if (origin === null) return true;
  const ours = [new URL(url).host, headers.get('host'), headers.get('x-forwarded-host')];
  return URL.canParse(origin) && ours.includes(new URL(origin).host);
}

async function read(request: Request): Promise<ReleaseRequest | undefined> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += (part as Uint8Array).length;
    if (size > LONGEST_BODY) return undefined;
    parts.push(part as Uint8Array);
  }
  try {
    const value = JSON.parse(Buffer.concat(parts).toString()) as Partial<ReleaseRequest> | null;
    const { locker, id, reason } = value ?? {};
    const whole = [locker, id, reason].every((one) => typeof one === 'string');
    return whole ? (value as ReleaseRequest) : undefined;
  } catch {
    return undefined;
  }
}
