import { connect } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import type { TestServer } from './servers.ts';

/** Where a server is, and what it asks of who connects. */
export interface RedisAddress extends Pick<TestServer, 'host' | 'port'> {
  readonly password?: string | undefined;
  /** What to trust, where it speaks TLS. */
  readonly ca?: string | undefined;
}

/** Sends one command and resolves with the raw reply; for servers that no client is connected to. */
export async function redisCommand(address: RedisAddress, ...words: string[]): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const reply = await ask(address, words);
    if (reply?.startsWith('-') === true) throw new Error(`${words.join(' ')}: ${reply.trim()}`);
    if (reply !== undefined) return reply;
    if (attempt === 3) throw new Error(`${words.join(' ')}: no reply`);
  }
}

const encode = (words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

/** The reply; none if the connection ends, as Sentinel has it when it makes a replica the primary. */
async function ask(address: RedisAddress, words: string[]): Promise<string | undefined> {
  const { host, port, password, ca } = address;
  const greeting = password === undefined ? '' : '+OK\r\n';
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = ca === undefined ? connect(port, host) : connectSecurely({ port, host, ca });
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString();
      const refused = !greeting.startsWith(received.slice(0, greeting.length));
      const reply = refused ? received : received.slice(greeting.length);
      const bulk = /^\$(\d+)\r\n/.exec(reply);
      const whole = bulk === null ? 2 : bulk[0].length + Number(bulk[1]) + 2;
      if (!reply.endsWith('\r\n') || reply.length < whole) return;
      resolve(reply);
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.syscall === 'connect' || ca !== undefined) reject(error);
    });
    // Also after an error: whether a connection is ended or reset is chance.
    socket.on('close', () => resolve(undefined));
    if (password !== undefined) socket.write(encode(['AUTH', password]));
    socket.write(encode(words));
  });
}
