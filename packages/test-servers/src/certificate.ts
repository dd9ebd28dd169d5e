import { generateKeyPairSync, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate for servers on the loopback, of an authority of its own. */
export interface TestCertificate {
  /** PEM of the authority, to trust. */
  readonly ca: string;
  readonly caFile: string;
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

const HOUR = 3_600_000;

interface Signer {
  readonly name: Buffer;
  readonly key: KeyObject;
}

const named = (name: string): Buffer => sequence(der(0x31, sequence(COMMON_NAME, text(name))));

/** PEM of a certificate. */
function certify(
  serial: number,
  subject: Buffer,
  publicKey: KeyObject,
  issuer: Signer,
  ...extensions: readonly Buffer[]
): string {
  const now = Date.now();
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([serial])),
    ECDSA_WITH_SHA256,
    issuer.name,
    sequence(time(new Date(now - HOUR)), time(new Date(now + 24 * HOUR))),
    subject,
    publicKey.export({ format: 'der', type: 'spki' }),
    der(0xa3, sequence(...extensions)),
  );
  const signed = sequence(body, ECDSA_WITH_SHA256, bits(sign('sha256', body, issuer.key)));
  return new X509Certificate(signed).toString();
}

const keyPair = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'prime256v1' });

/**
 * Makes a certificate for `localhost`, 127.0.0.1 and other names, without any tool: Node signs, and
 * what is signed is a dozen values. It is good for a day. Some clients take no authority for a server,
 * so there is one that signs, and one that is signed.
 */
export function makeCertificate(names: readonly string[] = []): TestCertificate {
  const [authority, server] = [keyPair(), keyPair()];
  const issuer = { name: named('holdfast tests'), key: authority.privateKey };
  const isAuthority = sequence(BASIC_CONSTRAINTS, TRUE, octets(sequence(TRUE)));
  const ca = certify(1, issuer.name, authority.publicKey, issuer, isAuthority);
  const altNames = sequence(
    ...['localhost', ...names].map((one) => der(0x82, Buffer.from(one))),
    der(0x87, Buffer.from([127, 0, 0, 1])),
  );
  const alternative = sequence(SUBJECT_ALT_NAME, octets(altNames));
  const certificate = certify(2, named('holdfast server'), server.publicKey, issuer, alternative);

  const folder = mkdtempSync(join(tmpdir(), 'holdfast-certificate-'));
  const caFile = join(folder, 'ca.pem');
  const certFile = join(folder, 'cert.pem');
  const keyFile = join(folder, 'key.pem');
  writeFileSync(caFile, ca);
  writeFileSync(certFile, certificate);
  writeFileSync(keyFile, server.privateKey.export({ format: 'pem', type: 'pkcs8' }), {
    mode: 0o600,
  });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  return { ca, caFile, certFile, keyFile, remove };
}
