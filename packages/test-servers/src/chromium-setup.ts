import type { TestProject } from 'vitest/node';
import { CHROMIUM, ensureBinaries } from './binaries.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The path of a Chromium. */
    chromium: string;
  }
}

/** For tests of pages: a browser from the environment or PATH, else from apt-get. */
export async function setup(project: TestProject): Promise<void> {
  const given = process.env[CHROMIUM.variable];
  const [found] = given === undefined || given === '' ? await ensureBinaries([CHROMIUM]) : [given];
  project.provide('chromium', found as string);
}
