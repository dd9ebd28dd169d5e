import type { World } from '../world.ts';
import { Dataset, Item } from './dataset.ts';
import type { Link } from './network.ts';
import { StackServer } from './stack-server.ts';

const [GET, SET, ADD, DELETE, NOOP] = [0x00, 0x01, 0x02, 0x04, 0x0a];
const [REQUEST, REPLY] = [0x80, 0x81];
const HEADER = 24;
const OPAQUE_AT = 12;
const CAS_AT = 16;

const [DONE, NOT_FOUND, EXISTS] = [0x00, 0x01, 0x02];
const SAID: Readonly<Record<number, string>> = {
  [NOT_FOUND]: 'Not found',
  [EXISTS]: 'Data exists for key.',
};

/** The clock ticks a little late, by up to so many ms. */
const LATE_TICK = 50;
/** Above this an exptime is a date. */
const LONGEST_EXPTIME = 2_592_000;

/** Told of each request for an item, after it is carried out. */
export type OnRequest = (server: MemcachedServer, key: string, client: string) => void;

/** A request of the binary protocol, decoded. Texts are bytes, one per character. */
interface Request {
  readonly opcode: number;
  readonly opaque: string;
  readonly cas: number;
  readonly flags: number;
  readonly exptime: number;
  /** As the checks call the lock that an item is for: in braces. */
  readonly key: string;
  readonly value: string;
}

/** A memcached, by its binary protocol. It knows the time in whole seconds, and ticks once in each. */
export class MemcachedServer extends StackServer {
  readonly data: Dataset;
  private lastCas = 0;
  /** Until when its clock stands where it stood when the process was frozen, by the world's. */
  private behindUntil = 0;
  private stoodAt = 0;

  constructor(
    host: string,
    port: number,
    world: World,
    rate: number,
    private readonly onRequest: OnRequest,
  ) {
    super(host, port, world, rate);
    // An item is there as long as the clock has not come to its end.
    this.data = new Dataset(() => this.seconds() * 1_000 + 1);
  }

  /** The CAS ids begin anew with the process. */
  get leastToken(): number {
    return 0;
  }

  /** It ticks only some time after a process that stood still goes on. */
  override get isBehind(): boolean {
    return this.world.now < this.behindUntil;
  }

  override freeze(ms: number): void {
    if (!this.isBehind) this.stoodAt = this.seconds();
    super.freeze(ms);
    this.behindUntil = this.frozenUntil + this.world.between(0, LATE_TICK);
  }

  /** It runs again, with nothing of what it had. */
  start(): void {
    this.isUp = true;
    this.behindUntil = 0;
    this.lastCas = 0;
    this.data.clear();
  }

  run(link: Link, [frame = '']: string[]): string {
    const request = decode(frame);
    const reply = this.answer(request);
    if (request.opcode !== NOOP) this.onRequest(this, request.key, link.host.name);
    return reply;
  }

  /** In s, as of the last tick. */
  seconds(): number {
    if (this.isBehind) return this.stoodAt;
    const now = this.now();
    const second = Math.floor(now / 1_000);
    return now - second * 1_000 < lateness(second) ? second - 1 : second;
  }

  private answer(request: Request): string {
    const { opcode, key, cas, value, flags, exptime } = request;
    const item = this.data.get(key) as Item | undefined;
    switch (opcode) {
      case GET:
        return item === undefined
          ? refusal(request, NOT_FOUND)
          : replyTo(request, DONE, item.cas, item.value, item.flags);
      case SET:
      case ADD: {
        if (opcode === ADD && item !== undefined) return refusal(request, EXISTS);
        if (cas !== 0 && item === undefined) return refusal(request, NOT_FOUND);
        if (cas !== 0 && cas !== item?.cas) return refusal(request, EXISTS);
        this.lastCas += 1;
        const ends = exptime === 0 ? 0 : this.seconds() + exptime;
        const written = new Item(value, flags, this.lastCas, ends);
        this.data.set(key, written, ends === 0 ? undefined : ends * 1_000);
        return replyTo(request, DONE, written.cas);
      }
      case DELETE:
        if (item === undefined) return refusal(request, NOT_FOUND);
        if (cas !== 0 && cas !== item.cas) return refusal(request, EXISTS);
        this.data.delete(key);
        return replyTo(request, DONE, 0);
      case NOOP:
        return replyTo(request, DONE, 0);
      default:
        throw new Error(`The model does not know the opcode ${opcode}.`);
    }
  }
}

/** How late a tick is, in ms: always the same for the same one. */
function lateness(second: number): number {
  return (Math.imul(second, 0x9e3779b1) >>> 0) % LATE_TICK;
}

function decode(frame: string): Request {
  const bytes = Buffer.from(frame, 'latin1');
  const extras = bytes[4] as number;
  const end = HEADER + extras + bytes.readUInt16BE(2);
  const exptime = extras === 8 ? bytes.readUInt32BE(HEADER + 4) : 0;
  if (bytes[0] !== REQUEST || bytes.length !== HEADER + bytes.readUInt32BE(8)) {
    throw new Error('That is no request of the binary protocol.');
  }
  if (exptime > LONGEST_EXPTIME) throw new Error('The model does not know dates.');
  return {
    opcode: bytes[1] as number,
    opaque: frame.slice(OPAQUE_AT, CAS_AT),
    cas: Number(bytes.readBigUInt64BE(CAS_AT)),
    flags: extras === 8 ? bytes.readUInt32BE(HEADER) : 0,
    exptime,
    key: `{${frame.slice(HEADER + extras, end)}}`,
    value: frame.slice(end),
  };
}

function refusal(request: Request, status: number): string {
  return replyTo(request, status, 0, SAID[status]);
}

/** @param flags of an item that is read */
function replyTo(
  { opcode, opaque }: Request,
  status: number,
  cas: number,
  value = '',
  flags?: number,
): string {
  const extras = flags === undefined ? 0 : 4;
  const bytes = Buffer.alloc(HEADER + extras);
  bytes[0] = REPLY;
  bytes[1] = opcode;
  bytes[4] = extras;
  bytes.writeUInt16BE(status, 6);
  bytes.writeUInt32BE(extras + value.length, 8);
  bytes.write(opaque, OPAQUE_AT, 'latin1');
  bytes.writeBigUInt64BE(BigInt(cas), CAS_AT);
  if (flags !== undefined) bytes.writeUInt32BE(flags, HEADER);
  return bytes.toString('latin1') + value;
}

/** The requests in what a client writes at once. */
export function framesIn(bytes: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + HEADER + bytes.readUInt32BE(at + 8);
    frames.push(bytes.toString('latin1', at, end));
    at = end;
  }
  return frames;
}
