import type {
  AcquireReply,
  AcquireRequest,
  ReleaseRequest,
  RenewReply,
  RenewRequest,
  StoreLoss,
} from '@holdfast/core';
import { AWAITED, type ManyCall } from '../commands/script-calls.ts';
import { lockKey, queueKey, tokenKey, toWord } from '../redis-keys.ts';
import { ACQUIRE } from './acquire.ts';
import { LOSS } from './loss.ts';
import { REFRESH } from './refresh.ts';
import { RELEASE } from './release.ts';
import { RENEW } from './renew.ts';
import { RESERVED } from './reserved.ts';

// What is said to the scripts and what they answer. In few words: each costs both sides, and more than
// most of what the scripts do.

const ONE = 49;

/** A locker and a lock: who waits, or is to be told. */
export interface Registration {
  /** The locker, as the server calls it. */
  readonly member: string;
  readonly key: string;
}

/** A grant, and the locker it was made to. */
export interface KnownGrant extends Registration {
  readonly id: string;
}

/** What the script is told of an acquisition, around its id. */
interface Terms {
  /** The first that they were written for. */
  readonly request: AcquireRequest;
  readonly before: string;
  readonly after: string;
}

/** A locker that asks. */
export class Who {
  private readonly words: string;
  private terms: Terms | undefined;

  constructor(
    readonly client: string,
    readonly label: string,
    /** What the server calls it. */
    readonly member: string,
  ) {
    this.words = `${member} ${toWord(label)}`;
  }

  /** Most often the same as those before. */
  termsOf(request: AcquireRequest): Terms {
    if (this.terms !== undefined && areAlike(request, this.terms.request)) return this.terms;
    const { id, owner, ttl, tokens, wait, replaces } = request;
    const replaced = replaces === undefined ? '=' : toWord(replaces);
    const before = `${ttl} ${tokens} ${wait ? 1 : 0} ${replaced} holdfast grant `;
    const after = ` ${this.words} ${owner === id ? '=' : toWord(owner)}`;
    return (this.terms = { request, before, after });
  }
}

/** But for their ids, and without a look at owners that were given. */
function areAlike(one: AcquireRequest, other: AcquireRequest): boolean {
  return (
    one.owner === one.id &&
    other.owner === other.id &&
    one.ttl === other.ttl &&
    one.tokens === other.tokens &&
    one.wait === other.wait &&
    one.replaces === other.replaces
  );
}

/** An acquisition and who asks for it. */
export interface Wanted {
  readonly request: AcquireRequest;
  readonly who: Who;
}

export const ACQUISITIONS: ManyCall<Wanted, AcquireReply> = {
  phase: 'acquire',
  script: ACQUIRE,
  most: AWAITED,
  keysEach: 3,
  keyOf: ({ request }) => request.key,
  writeKeys: ({ request: { key } }, words) => {
    words.push(lockKey(key), queueKey(key), tokenKey(key));
  },
  writeArgs: (all, words) => {
    let last: Terms | undefined;
    for (const { request, who } of all) {
      const id = toWord(request.id);
      const terms = who.termsOf(request);
      words.push(terms === last ? id : terms.before + id + terms.after);
      last = terms;
    }
  },
  read: (answers, index, { request }, count) => {
    const answer = count === 1 ? answers : (answers as readonly unknown[])[index];
    if (typeof answer === 'number') {
      const tokens = answer < 0 ? 1 : request.tokens;
      return { granted: true, token: Math.abs(answer), tokens };
    }
    const [kind = 0, first = 0, tokens = 1] = answer as readonly number[];
    const replaced = kind >= 2;
    if (kind % 2 === 1) return { granted: true, token: first, tokens, replaced };
    return { granted: false, retryAfter: first, replaced };
  },
};

export const RELEASES: ManyCall<ReleaseRequest, boolean> = {
  phase: 'release',
  script: RELEASE,
  most: AWAITED,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => words.push(lockKey(key), queueKey(key)),
  writeArgs: (all, words) => {
    for (const { id, keepFor = 0 } of all) {
      words.push(keepFor > 0 ? `${toWord(id)} ${Math.ceil(keepFor)}` : toWord(id));
    }
  },
  read: (answer, index) => (answer as string).charCodeAt(index) === ONE,
};

/** Answers `undefined` for a grant that is gone. */
export const RENEWALS: ManyCall<RenewRequest, RenewReply | undefined> = {
  phase: 'renew',
  script: RENEW,
  keysEach: 1,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => words.push(lockKey(key)),
  writeArgs: (all, words) => {
    const usual = (all[0] as RenewRequest).ttl;
    let ids = '';
    for (const { id, ttl } of all) {
      if (ttl !== usual) ids += `=${ttl} `;
      ids += `${toWord(id)} `;
    }
    words.push(String(usual), ids);
  },
  read: (answer, index) => ((answer as string).charCodeAt(index) === ONE ? 'renewed' : undefined),
};

/** Why a grant is gone, or `held`. */
export const LOSSES: ManyCall<{ readonly key: string; readonly id: string }, StoreLoss | 'held'> = {
  phase: 'renew',
  script: LOSS,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => words.push(lockKey(key), queueKey(key)),
  writeArgs: (all, words) => {
    for (const { id } of all) words.push(toWord(id));
  },
  read: (answers, index) => (answers as readonly (StoreLoss | 'held')[])[index] ?? 'held',
};

/** All by one locker. */
export const REFRESHES: ManyCall<Registration, number> = {
  phase: 'acquire',
  script: REFRESH,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => words.push(lockKey(key), queueKey(key)),
  writeArgs: (all, words) => words.push((all[0] as Registration).member),
  read: (hints, index) => (hints as readonly number[])[index] ?? 0,
};

/** Whether a lock is reserved for a locker. */
export const RESERVATIONS: ManyCall<Registration, boolean> = {
  phase: 'acquire',
  script: RESERVED,
  keysEach: 1,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => words.push(lockKey(key)),
  writeArgs: (all, words) => {
    for (const { member } of all) words.push(member);
  },
  read: (answers, index) => (answers as readonly number[])[index] === 1,
};
