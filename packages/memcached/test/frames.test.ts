import { describe, expect, test } from 'vitest';
import {
  ADD,
  DELETE,
  ReplyReader,
  requestFrame,
  SET,
  setOpaque,
  type Reply,
} from '../src/frames.ts';

function replyBytes(opaque: number, value: string): Buffer {
  const bytes = Buffer.alloc(24 + 4 + Buffer.byteLength(value));
  bytes[0] = 0x81;
  bytes[1] = 0x00;
  bytes[4] = 4;
  bytes.writeUInt32BE(bytes.length - 24, 8);
  bytes.writeUInt32BE(opaque, 12);
  bytes.writeBigUInt64BE(2n ** 64n - 3n, 16);
  bytes.write(value, 28);
  return bytes;
}

describe('a request', () => {
  test('carries key, value, exptime and CAS id when it writes', () => {
    const bytes = requestFrame(SET, 'kéy', 2n ** 63n + 1n, 'välue', 2_592_000);
    setOpaque(bytes, 0xffff_ffff);
    expect(bytes.toString('hex')).toBe(
      [
        '80010004080000000000001200000000'.replace(/0{8}$/, 'ffffffff'),
        '8000000000000001',
        '00000000',
        '00278d00',
        Buffer.from('kéy').toString('hex'),
        Buffer.from('välue').toString('hex'),
      ].join(''),
    );
  });

  test('has no extras when it does not write', () => {
    const bytes = requestFrame(DELETE, 'key', 7n);
    setOpaque(bytes, 0);
    expect(bytes.toString('hex')).toBe(
      `800400030000000000000003${'00'.repeat(4)}0000000000000007${Buffer.from('key').toString('hex')}`,
    );
  });

  test('may write nothing', () => {
    expect(requestFrame(ADD, 'key', 0n, '', 1)).toHaveLength(24 + 8 + 3);
  });
});

describe('replies', () => {
  const values = ['one', '', 'drei ü', 'x'.repeat(300)];
  const stream = Buffer.concat(values.map((value, index) => replyBytes(index + 1, value)));

  test('finds replies however the stream is cut', () => {
    for (let size = 1; size <= stream.length; size++) {
      const reader = new ReplyReader();
      const found: Reply[] = [];
      for (let at = 0; at < stream.length; at += size) {
        reader.read(stream.subarray(at, at + size), (reply) => found.push(reply));
      }
      expect(found.map(({ value }) => value)).toEqual(values);
      expect(found.map(({ opaque }) => opaque)).toEqual([1, 2, 3, 4]);
      expect(found[0]).toMatchObject({ opcode: 0, status: 0, cas: 2n ** 64n - 3n });
    }
  });

  test('tells replies from anything else at the first byte', () => {
    const reader = new ReplyReader();
    const read = (): void => reader.read(Buffer.from('ERROR Too many'), () => {});
    expect(read).toThrow(/binary protocol.*Too many/);
  });
});
