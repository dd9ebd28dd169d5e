import { SortedSet, type Dataset, type Value } from './dataset.ts';
import { ReplyError, Status, type Reply } from './lua.ts';

/** Where a command runs. */
export interface CommandContext {
  readonly data: Dataset;
  /** The server's clock, in µs since 1970. */
  readonly micros: number;
  publish(channel: string, message: string): number;
}

interface Command {
  readonly run: (context: CommandContext, args: string[]) => Reply;
  /** A replica refuses it. */
  readonly writes?: boolean;
  /** A server at `maxmemory` refuses it. */
  readonly grows?: boolean;
}

const WRONG_TYPE = new ReplyError(
  'WRONGTYPE Operation against a key holding the wrong kind of value',
);
const NO_INTEGER = new ReplyError('ERR value is not an integer or out of range');
const NO_FLOAT = new ReplyError('ERR value is not a valid float');
const SYNTAX = new ReplyError('ERR syntax error');

/** Thrown by what a command is given, and answered. */
class Refusal extends Error {
  constructor(readonly reply: ReplyError) {
    super(reply.message);
  }
}

function integer(text: string | undefined): number {
  if (text === undefined || !/^-?\d{1,19}$/.test(text)) throw new Refusal(NO_INTEGER);
  return Number(text);
}

function float(text: string | undefined): number {
  if (text === undefined) throw new Refusal(SYNTAX);
  const infinite = /^([+-]?)inf$/i.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? -Infinity : Infinity;
  if (!/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) throw new Refusal(NO_FLOAT);
  return Number(text);
}

function textOf(value: Value | undefined): string | null {
  if (value === undefined) return null;
  if (typeof value !== 'string') throw new Refusal(WRONG_TYPE);
  return value;
}

function sortedSetOf(value: Value | undefined): SortedSet | undefined {
  if (value === undefined || value instanceof SortedSet) return value;
  throw new Refusal(WRONG_TYPE);
}

function hashOf(value: Value | undefined): Map<string, string> | undefined {
  if (value === undefined || value instanceof Map) return value;
  throw new Refusal(WRONG_TYPE);
}

const millis = (micros: number): number => Math.floor(micros / 1_000);

/** One end of a range of scores: `(5` is without 5 itself. */
interface Bound {
  readonly score: number;
  readonly open: boolean;
}

function bound(word: string | undefined): Bound {
  const open = word?.startsWith('(') === true;
  return { score: float(open ? word?.slice(1) : word), open };
}

function inRange(set: SortedSet, from: Bound, to: Bound): string[] {
  return set.sorted().filter((member) => {
    const score = set.get(member) as number;
    const above = from.open ? score > from.score : score >= from.score;
    return above && (to.open ? score < to.score : score <= to.score);
  });
}

/** A part of a list by two indexes, of which those below 0 count from its end. */
function slice(members: readonly string[], start: number, end: number): readonly string[] {
  const { length } = members;
  const place = (index: number): number => (index < 0 ? length + index : index);
  return members.slice(Math.max(place(start), 0), Math.max(place(end) + 1, 0));
}

function shown(set: SortedSet, members: readonly string[], scores: boolean): string[] {
  if (!scores) return [...members];
  return members.flatMap((member) => [member, String(set.get(member))]);
}

function rangeByScore(context: CommandContext, args: string[], backwards: boolean): Reply {
  const [key = '', one, other, ...options] = args;
  const [low, high] = backwards ? [other, one] : [one, other];
  const [from, to] = [bound(low), bound(high)];
  let scores = false;
  let [offset, count] = [0, -1];
  for (let at = 0; at < options.length; at++) {
    const option = options[at]?.toUpperCase();
    if (option === 'WITHSCORES') scores = true;
    else if (option === 'LIMIT') {
      [offset, count] = [integer(options[at + 1]), integer(options[at + 2])];
      at += 2;
    } else return SYNTAX;
  }
  const set = sortedSetOf(context.data.get(key)) ?? new SortedSet();
  const members = inRange(set, from, to);
  if (backwards) members.reverse();
  return shown(set, members.slice(offset, count < 0 ? undefined : offset + count), scores);
}

function range({ data }: CommandContext, args: string[], backwards: boolean): Reply {
  const [key = '', start, end, option] = args;
  if (option !== undefined && option.toUpperCase() !== 'WITHSCORES') return SYNTAX;
  const [from, to] = [integer(start), integer(end)];
  const set = sortedSetOf(data.get(key)) ?? new SortedSet();
  const members = backwards ? set.sorted().toReversed() : set.sorted();
  return shown(set, slice(members, from, to), option !== undefined);
}

function removeAll(
  { data }: CommandContext,
  key: string,
  choose: (set: SortedSet) => readonly string[],
): number {
  const set = sortedSetOf(data.get(key));
  const members = set === undefined ? [] : choose(set);
  for (const member of members) set?.delete(member);
  if (set !== undefined && members.length > 0) data.changed(key, set);
  return members.length;
}

function setText({ data, micros }: CommandContext, [key = '', value = '', ...options]: string[]) {
  let expiresAt: number | undefined;
  let [keeps, answers] = [false, false];
  for (let at = 0; at < options.length; at++) {
    const option = options[at]?.toUpperCase();
    if (option === 'KEEPTTL') keeps = true;
    else if (option === 'GET') answers = true;
    else if (option === 'PX') {
      const left = integer(options[++at]);
      if (left <= 0) return new ReplyError("ERR invalid expire time in 'set' command");
      expiresAt = millis(micros) + left;
    } else throw new Error(`The model does not know SET … ${options.join(' ')}.`);
  }
  const before = answers ? textOf(data.get(key)) : Status.ok;
  data.set(key, value, keeps ? data.expiryOf(key) : expiresAt);
  return before;
}

function remove({ data }: CommandContext, keys: string[]): number {
  return keys.filter((key) => data.delete(key)).length;
}

/** All commands that the scripts of Holdfast call. One that is not here is an error of the model. */
const COMMANDS: Readonly<Record<string, Command>> = {
  TIME: {
    run: ({ micros }) => [String(Math.floor(micros / 1_000_000)), String(micros % 1_000_000)],
  },
  GET: { run: ({ data }, [key = '']) => textOf(data.get(key)) },
  SET: { run: setText, writes: true, grows: true },
  SETRANGE: {
    writes: true,
    grows: true,
    run: ({ data }, [key = '', start, part = '']) => {
      const offset = integer(start);
      const before = textOf(data.get(key)) ?? '';
      if (part === '') return before.length;
      const value = before.padEnd(offset, '\0');
      const changed = value.slice(0, offset) + part + value.slice(offset + part.length);
      data.set(key, changed, data.expiryOf(key));
      return changed.length;
    },
  },
  DEL: { run: remove, writes: true },
  UNLINK: { run: remove, writes: true },
  PTTL: {
    run: ({ data, micros }, [key = '']) => {
      if (!data.has(key)) return -2;
      const expiresAt = data.expiryOf(key);
      return expiresAt === undefined ? -1 : Math.max(expiresAt - millis(micros), 0);
    },
  },
  PEXPIRE: {
    writes: true,
    run: ({ data, micros }, [key = '', left]) => {
      const ms = integer(left);
      if (!data.has(key)) return 0;
      if (ms <= 0) data.delete(key);
      else data.expireAt(key, millis(micros) + ms);
      return 1;
    },
  },
  PUBLISH: { run: (context, [channel = '', message = '']) => context.publish(channel, message) },
  HGET: { run: ({ data }, [key = '', field = '']) => hashOf(data.get(key))?.get(field) ?? null },
  HEXISTS: {
    run: ({ data }, [key = '', field = '']) => (hashOf(data.get(key))?.has(field) === true ? 1 : 0),
  },
  HSET: {
    writes: true,
    grows: true,
    run: ({ data }, [key = '', ...pairs]) => {
      const known = hashOf(data.get(key));
      const value = known ?? new Map<string, string>();
      const before = value.size;
      for (let at = 0; at < pairs.length; at += 2) {
        value.set(pairs[at] as string, pairs[at + 1] as string);
      }
      if (known === undefined) data.set(key, value, undefined);
      data.changed(key, value);
      return value.size - before;
    },
  },
  HDEL: {
    writes: true,
    run: ({ data }, [key = '', ...fields]) => {
      const value = hashOf(data.get(key));
      if (value === undefined) return 0;
      const gone = fields.filter((field) => value.delete(field)).length;
      if (gone > 0) data.changed(key, value);
      return gone;
    },
  },
  ZADD: {
    writes: true,
    grows: true,
    run: ({ data }, [key = '', ...pairs]) => {
      const scores = pairs.filter((_, at) => at % 2 === 0).map(float);
      const known = sortedSetOf(data.get(key));
      const value = known ?? new SortedSet();
      const added = scores.filter((score, at) => value.set(pairs[2 * at + 1] as string, score));
      if (known === undefined) data.set(key, value, undefined);
      data.changed(key, value);
      return added.length;
    },
  },
  ZREM: {
    writes: true,
    run: (context, [key = '', ...members]) =>
      removeAll(context, key, (value) =>
        members.filter((member) => value.get(member) !== undefined),
      ),
  },
  ZSCORE: {
    run: ({ data }, [key = '', member = '']) => {
      const score = sortedSetOf(data.get(key))?.get(member);
      return score === undefined ? null : String(score);
    },
  },
  ZCARD: { run: ({ data }, [key = '']) => sortedSetOf(data.get(key))?.size ?? 0 },
  ZCOUNT: {
    run: ({ data }, [key = '', low, high]) => {
      const [from, to] = [bound(low), bound(high)];
      return inRange(sortedSetOf(data.get(key)) ?? new SortedSet(), from, to).length;
    },
  },
  ZRANGE: { run: (context, args) => range(context, args, false) },
  ZREVRANGE: { run: (context, args) => range(context, args, true) },
  ZRANGEBYSCORE: { run: (context, args) => rangeByScore(context, args, false) },
  ZREVRANGEBYSCORE: { run: (context, args) => rangeByScore(context, args, true) },
  ZREMRANGEBYSCORE: {
    writes: true,
    run: (context, [key = '', low, high]) => {
      const [from, to] = [bound(low), bound(high)];
      return removeAll(context, key, (value) => inRange(value, from, to));
    },
  },
  ZREMRANGEBYRANK: {
    writes: true,
    run: (context, [key = '', start, end]) => {
      const [from, to] = [integer(start), integer(end)];
      return removeAll(context, key, (value) => slice(value.sorted(), from, to));
    },
  },
};

export function commandOf(name: string): Command {
  const command = COMMANDS[name.toUpperCase()];
  if (command === undefined) throw new Error(`The model does not know the command ${name}.`);
  return command;
}

/** What a command answers, also if that is a refusal. */
export function answerOf(command: Command, context: CommandContext, args: string[]): Reply {
  try {
    return command.run(context, args);
  } catch (error) {
    if (error instanceof Refusal) return error.reply;
    throw error;
  }
}
