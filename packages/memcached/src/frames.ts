/** The frames of memcached's binary protocol. */

export const GET = 0x00;
export const SET = 0x01;
export const ADD = 0x02;
export const DELETE = 0x04;
export const NOOP = 0x0a;

/** The status of a reply to a request that needs credentials, or others. */
export const CREDENTIALS_REFUSED = 0x20;

const REQUEST = 0x80;
const REPLY = 0x81;
const HEADER = 24;
const OPAQUE_AT = 12;
const CAS_AT = 16;
/** Of a request that writes: 4 bytes of flags, which are 0, and the exptime. */
const WRITE_EXTRAS = 8;
/** Of a reply with an item: its flags. */
const ITEM_EXTRAS = 4;
/**
 * The longest reply, in bytes, that is kept. An item that holds a lock is far smaller; of a larger one,
 * and of a header that lies about its length, the rest is dropped as it arrives.
 */
const LONGEST_REPLY = 65_536;
/** How much of what is no reply is quoted in the error, in characters. */
const LONGEST_QUOTE = 80;

/** A reply, decoded. */
export interface Reply {
  readonly opcode: number;
  readonly status: number;
  /** Copied from the request. */
  readonly opaque: number;
  readonly cas: bigint;
  /** An item's value, or the server's text for an error. */
  readonly value: string;
}

/** A request without its opaque field, see {@link setOpaque}. Only a write has a value and an exptime. */
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

/** The server answered with something that is not a frame of the binary protocol. */
export class NotBinaryError extends Error {
  constructor(readonly said: string) {
    super(
      `the server does not speak memcached's binary protocol; it said ${JSON.stringify(said)}. ` +
        'Check its address, and that memcached runs without `-B ascii`',
    );
  }
}

const NOTHING = Buffer.alloc(0);

/** Splits a stream of bytes into replies, however it was cut. */
export class ReplyReader {
  private rest: Buffer = NOTHING;
  /** How many bytes of a reply that is too long are still to come and be dropped. */
  private toDrop = 0;

  /**
   * Calls back with each reply that is complete. Of one longer than {@link LONGEST_REPLY} it delivers
   * the beginning.
   *
   * @throws NotBinaryError, and Error for a reply that no request of ours can have
   */
  read(chunk: Buffer, deliver: (reply: Reply) => void): void {
    const dropped = Math.min(this.toDrop, chunk.length);
    this.toDrop -= dropped;
    const fresh = chunk.subarray(dropped);
    const bytes = this.rest.length === 0 ? fresh : Buffer.concat([this.rest, fresh]);
    let at = 0;
    while (at < bytes.length) {
      if (bytes[at] !== REPLY) throw notBinary(bytes, at);
      if (bytes.length - at < HEADER) break;
      const length = HEADER + bytes.readUInt32BE(at + 8);
      const kept = Math.min(length, LONGEST_REPLY);
      if (bytes.length - at < kept) break;
      deliver(replyAt(bytes, at, at + kept));
      const end = at + length;
      at = Math.min(end, bytes.length);
      this.toDrop = end - at;
    }
    this.rest = at === bytes.length ? NOTHING : bytes.subarray(at);
  }
}

function notBinary(bytes: Buffer, at: number): NotBinaryError {
  const [line = ''] = bytes
    .toString('latin1', at, at + LONGEST_QUOTE)
    .trim()
    .split(/[\r\n]/);
  return new NotBinaryError(line);
}

function replyAt(bytes: Buffer, at: number, end: number): Reply {
  const opcode = bytes[at + 1] as number;
  const status = bytes.readUInt16BE(at + 6);
  const extras = opcode === GET && status === 0 ? ITEM_EXTRAS : 0;
  const value = at + HEADER + extras;
  // With wrong lengths a value would look shorter than it is, and an empty item is a lock that is free.
  if (bytes.readUInt16BE(at + 2) !== 0 || bytes[at + 4] !== extras || value > end) {
    throw new Error('the server sent a reply whose lengths cannot be right');
  }
  return {
    opcode,
    status,
    opaque: bytes.readUInt32BE(at + OPAQUE_AT),
    cas: bytes.readBigUInt64BE(at + CAS_AT),
    value: bytes.toString('utf8', value, end),
  };
}
