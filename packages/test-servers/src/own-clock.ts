import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { COMPILER, ensureBinaries } from './binaries.ts';

const run = promisify(execFile);

/**
 * Put before the C library of a server: the time of day, less so many seconds as a file says. What is
 * measured by another clock, such as time-outs of the server itself, stays as it is.
 *
 * Not libfaketime, whose start and jemalloc's each need the other to be done.
 */
const SOURCE = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  char text[32] = {0};
  int file = open(OFFSET_FILE, O_RDONLY);
  if (file >= 0) {
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
  }
  int failed = syscall(SYS_gettimeofday, time, zone);
  if (!failed && time) time->tv_sec -= atol(text);
  return failed;
}
`;

/** The clock of one server, which a test sets back. */
export interface OwnClock {
  /** For the server's process. */
  readonly env: NodeJS.ProcessEnv;
  setBack(seconds: number): Promise<void>;
  remove(): Promise<void>;
}

/** Whether servers can have a clock of their own: where libraries are put before others as on Linux. */
export const hasOwnClock = process.platform === 'linux';

/** @throws an error that says how to get a C compiler, where there is none */
export async function ownClock(): Promise<OwnClock> {
  const [compiler] = (await ensureBinaries([COMPILER])) as [string];
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-clock-'));
  const [source, library, offset] = ['clock.c', 'clock.so', 'offset'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  await writeFile(source, SOURCE);
  await writeFile(offset, '0');
  const define = `-DOFFSET_FILE=${JSON.stringify(offset)}`;
  await run(compiler, ['-shared', '-fPIC', define, '-o', library, source]);
  return {
    env: { LD_PRELOAD: library },
    setBack: async (seconds) => {
      // Never half written.
      await writeFile(`${offset}.next`, String(seconds));
      await rename(`${offset}.next`, offset);
    },
    remove: () => rm(folder, { recursive: true }),
  };
}
