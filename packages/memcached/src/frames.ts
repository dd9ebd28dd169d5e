/** The binary protocol's frames: what goes over a connection. */

export const GET = 0x00;
export const SET = 0x01;
export const ADD = 0x02;
export const DELETE = 0x04;

const REQUEST = 0x80;
const REPLY = 0x81;
const HEADER = 24;
const OPAQUE_AT = 12;
const CAS_AT = 16;
/** Of a request that writes: 4 bytes of flags, which are 0, and the exptime. */
const WRITE_EXTRAS = 8;

/** A reply, taken apart. */
export interface Reply {
  readonly opcode: number;
  readonly status: number;
  /** Copied from the request. */
  readonly opaque: number;
  readonly cas: bigint;
  /** Of an item, or what the server says of an error. */
  readonly value: string;
}

/** A request, but for its opaque field. Only one that writes has a value and an exptime. */
export function requestFrame(
  opcode: number,
  key: string,
  cas: bigint,
  value?: string,
  exptime = 0,
): Buffer {
  const extras = value === undefined ? 0 : WRITE_EXTRAS;
  const keyLength = Buffer.byteLength(key);
  const body = extras + keyLength + (value === undefined ? 0 : Buffer.byteLength(value));
  const bytes = Buffer.allocUnsafe(HEADER + body);
  bytes.writeUInt16BE((REQUEST << 8) | opcode, 0);
  bytes.writeUInt16BE(keyLength, 2);
  bytes.writeUInt32BE(extras << 24, 4);
  bytes.writeUInt32BE(body, 8);
  bytes.writeBigUInt64BE(cas, CAS_AT);
  if (value !== undefined) {
    bytes.writeUInt32BE(0, HEADER);
    bytes.writeUInt32BE(exptime, HEADER + 4);
    bytes.write(value, HEADER + extras + keyLength);
  }
  bytes.write(key, HEADER + extras, keyLength);
  return bytes;
}

export function setOpaque(frame: Buffer, opaque: number): void {
  frame.writeUInt32BE(opaque, OPAQUE_AT);
}

const NOTHING = Buffer.alloc(0);

/** Takes a stream of replies apart, however it was cut. */
export class ReplyReader {
  private rest: Buffer = NOTHING;

  /**
   * Calls back with each reply that is complete.
   *
   * @throws if these are not replies
   */
  read(chunk: Buffer, deliver: (reply: Reply) => void): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    while (at < bytes.length) {
      if (bytes[at] !== REPLY) throw notReplies(bytes, at);
      if (bytes.length - at < HEADER) break;
      const end = at + HEADER + bytes.readUInt32BE(at + 8);
      if (bytes.length < end) break;
      deliver(replyAt(bytes, at, end));
      at = end;
    }
    this.rest = at === bytes.length ? NOTHING : bytes.subarray(at);
  }
}

/** For instance `ERROR Too many open connections`. */
function notReplies(bytes: Buffer, at: number): Error {
  const said = JSON.stringify(bytes.toString('latin1', at, at + 80).trim());
  return new Error(`The server does not speak the binary protocol, but said ${said}.`);
}

function replyAt(bytes: Buffer, at: number, end: number): Reply {
  const start = at + HEADER + bytes.readUInt16BE(at + 2) + (bytes[at + 4] as number);
  return {
    opcode: bytes[at + 1] as number,
    status: bytes.readUInt16BE(at + 6),
    opaque: bytes.readUInt32BE(at + OPAQUE_AT),
    cas: bytes.readBigUInt64BE(at + CAS_AT),
    value: start < end ? bytes.toString('utf8', start, end) : '',
  };
}
