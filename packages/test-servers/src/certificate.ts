import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate for servers on the loopback, which is its own authority. */
export interface TestCertificate {
  /** PEM, to trust. */
  readonly ca: string;
  readonly certFile: string;
  readonly keyFile: string;
  remove(): void;
}

/** One value of DER: its tag, its length, and what is in it. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const text = (value: string): Buffer => der(0x0c, Buffer.from(value));
const bits = (value: Buffer): Buffer => der(0x03, Buffer.from([0]), value);
const octets = (value: Buffer): Buffer => der(0x04, value);
const time = (value: Date): Buffer =>
  der(0x18, Buffer.from(value.toISOString().replaceAll(/[-:T]|\.\d+/g, '')));

const TRUE = Buffer.from([0x01, 0x01, 0xff]);
const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const COMMON_NAME = oid('550403');
const BASIC_CONSTRAINTS = oid('551d13');
const SUBJECT_ALT_NAME = oid('551d11');

/**
 * Makes a certificate for `localhost`, 127.0.0.1 and other names, without any tool: Node signs, and
 * what is signed is a dozen values. It is good for a day.
 */
export function makeCertificate(names: readonly string[] = []): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const name = sequence(der(0x31, sequence(COMMON_NAME, text('holdfast tests'))));
  const now = Date.now();
  const hour = 3_600_000;
  const altNames = sequence(
    ...['localhost', ...names].map((one) => der(0x82, Buffer.from(one))),
    der(0x87, Buffer.from([127, 0, 0, 1])),
  );
  const extensions = sequence(
    sequence(BASIC_CONSTRAINTS, TRUE, octets(sequence(TRUE))),
    sequence(SUBJECT_ALT_NAME, octets(altNames)),
  );
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ECDSA_WITH_SHA256,
    name,
    sequence(time(new Date(now - hour)), time(new Date(now + 24 * hour))),
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
    der(0xa3, extensions),
  );
  const signed = sequence(body, ECDSA_WITH_SHA256, bits(sign('sha256', body, privateKey)));
  const ca = new X509Certificate(signed).toString();

  const folder = mkdtempSync(join(tmpdir(), 'holdfast-certificate-'));
  const certFile = join(folder, 'cert.pem');
  const keyFile = join(folder, 'key.pem');
  writeFileSync(certFile, ca);
  writeFileSync(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  return { ca, certFile, keyFile, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
